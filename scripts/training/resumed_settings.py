"""Settings of a run that is resumed: which of them differ, and which of those may."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from custom_nets.definition import settled_definition
from scripts.bundle.model_file import DESCRIPTIVE, NETWORK
from scripts.running.reasons import listed_reasons
from scripts.storage.files import plain

logger = logging.getLogger(__name__)

SHOWN_DIFFERENCES = 6
EPOCH_LENGTH = "epoch_length"  # iterations
VAL_INTERVAL = "val_interval"  # epochs; checkpoints of earlier versions lack it
NOTED = ("num_workers", "validation_num_workers")  # only change random numbers: logged
BUILT = ("tensors", "class", "groups")
"""Last words of the settings without which a state cannot be loaded."""


def differing_settings(saved: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[str]]:
    """List the differences of a checkpoint's settings from those of the run, by setting."""
    saved, now = _as_of_today(saved, now), _as_of_today(now, now)
    differences = {
        name: list_differences(saved.get(name), now.get(name), name)
        for name in dict.fromkeys([*saved, *now])
    }
    return {name: texts for name, texts in differences.items() if texts}


def accept_by_name(
    file: Path, differences: Mapping[str, list[str]], names: Sequence[str]
) -> list[str]:
    """Return the differences that are accepted.

    Args:
        file: the checkpoint, for messages.
        differences: see :func:`differing_settings`.
        names: settings that may differ.

    Raises:
        ValueError: for another setting, or one with which the state cannot be loaded.
    """
    differences = dict(differences)
    noted = [text for name in NOTED for text in differences.pop(name, [])]
    if noted:
        logger.info("resume: other random numbers than in one run: %s", "; ".join(noted))
    open_ = [name for name in differences if name not in names]
    if open_ == [EPOCH_LENGTH] and len(differences) > 1:
        open_ = []  # follows from an accepted change of batch size or data
    built = [name for name in differences if name.rpartition(" ")[2] in BUILT]
    if open_ or built:
        raise ValueError(_refusal(file, differences, open_, built))
    return [text for texts in differences.values() for text in texts]


def _as_of_today(saved: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Complete the settings of a checkpoint by what runs of earlier versions did not record.

    The network is as :func:`settled_definition` gives it.
    """
    added = (*DESCRIPTIVE, VAL_INTERVAL)
    found = {**{name: now[name] for name in added if name in now}, **saved}
    if isinstance(network := found.get(NETWORK), Mapping):
        found[NETWORK] = plain(settled_definition(network))
    return found


def _refusal(
    file: Path, differences: Mapping[str, list[str]], names: Sequence[str], built: Sequence[str]
) -> str:
    """Describe differences of settings that prevent a run from being resumed."""
    texts = [text for name in dict.fromkeys([*built, *names]) for text in differences[name]]
    on_purpose = (
        f", or, for a change on purpose, --accepted_changes {','.join(names)}"
        if not built
        else "; with these a checkpoint cannot be loaded"
    )
    return (
        f"resume: {file} was written with other settings: "
        f"{listed_reasons(texts, most=SHOWN_DIFFERENCES)}; use its settings, another "
        f"output_dir{on_purpose}"
    )


def list_differences(saved: Any, now: Any, where: str = "") -> list[str]:
    """List the differences of two plain values as text.

    Example:
        >>> list_differences({"seed": 0, "stages": [{"epochs": 2}]},
        ...                  {"seed": 1, "stages": [{"epochs": 3}]})
        ['seed: 0 then, 1 now', 'stages[0].epochs: 2 then, 3 now']
    """
    classes = [one.get("class") if isinstance(one, dict) else None for one in (saved, now)]
    if classes[0] != classes[1]:
        saved, now = (one or value for one, value in zip(classes, (saved, now), strict=True))
    if isinstance(saved, dict) and isinstance(now, dict):
        keys = [*saved, *(key for key in now if key not in saved)]
        pairs = [(f"{where}.{key}".lstrip("."), saved.get(key), now.get(key)) for key in keys]
    elif isinstance(saved, list) and isinstance(now, list) and len(saved) == len(now):
        pairs = [(f"{where}[{i}]", *pair) for i, pair in enumerate(zip(saved, now, strict=True))]
    else:
        return [] if saved == now else [f"{where}: {_short(saved)} then, {_short(now)} now"]
    return [text for name, a, b in pairs for text in list_differences(a, b, name)]


def _short(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        value = [str(one.get("class", one)).rpartition(".")[2] for one in value]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
