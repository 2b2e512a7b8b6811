"""Which config files are laid over which workflow of a package, and whether they fit the network.

Most overlays suit every workflow. Files of ``configs/data`` for an input other than slices of one
window come in pairs, for training and for a CT (:mod:`scripts.bundle.data_files`): each is laid
over its own workflows alone, and added if the trained network needs it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from scripts.bundle.compose import flatten
from scripts.bundle.config_files import Config, Read, read_config
from scripts.bundle.data_files import (
    ID,
    KIND,
    PREDICTION,
    TRAINING,
    advice,
    data_files,
    refuse_other_bundle,
)
from scripts.storage.shipped import shipped_below

DATA = "configs/data"
INFERENCE = "inference"
Named = tuple[str, Config]
"""Name of a config file, and its content without macros."""


def overlays_of(
    workflow: str,
    files: Sequence[str | Path],
    settings: Mapping[str, Any],
    *,
    read: Read,
) -> list[Named]:
    """Return the config files to lay over a workflow, in order.

    Args:
        workflow: ``train``, ``evaluate`` or ``inference``.
        files: as the user names them; later ones win.
        settings: of the trained network; the file that it needs comes first.
        read: reader of config files.

    Raises:
        ValueError: when one is missing or no config.
    """
    predicts = workflow == INFERENCE
    pairs = [read_config(path, read).get(ID, {}) for path in shipped_below(DATA, "*.json")]
    others = {pair.get(TRAINING if predicts else PREDICTION) for pair in pairs} - {None}
    elsewhere = {Path(name).resolve() for name in others}
    own = [file for file in files if Path(file).resolve() not in elsewhere]
    made = [(str(file), flatten(read_config(file, read), read)) for file in own]
    needed = data_files(settings)
    first = needed.prediction if predicts else needed.training
    if first and Path(first).resolve() not in {Path(file).resolve() for file in own}:
        content = flatten(read_config(first, read), read)
        numbers = {key: value for key, value in needed.numbers.items() if key in content}
        made.insert(0, (first, {**content, **numbers}))
    return made


def check_inputs(configs: Mapping[str, Config], settings: Mapping[str, Any]) -> None:
    """Check that each workflow gives the network the kind of input that it was trained on.

    Args:
        configs: workflow -> flattened config, with overlays.
        settings: of the trained network.

    Raises:
        ValueError: with the workflow, both kinds, and the files to add; for another bundle.
    """
    refuse_other_bundle(settings, configs["train"].get("model_settings", ()))
    wanted = settings.get(KIND)
    for name, config in configs.items():
        if wanted is None or KIND not in config:
            continue
        if (found := ConfigParser(config=dict(config)).get_parsed_content(KIND)) != wanted:
            raise ValueError(
                f"config_file: {name}.json gives the network {found!r}, it was trained on "
                f"{wanted!r}; {advice(settings)}"
            )
