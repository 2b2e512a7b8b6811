"""Files of trained weights, which also describe network, input, classes and training data.

Training writes ``{"model": state_dict, "settings": ..., "data": ..., "versions": ...}``. A package
contains the bare ``state_dict``, which other tools can load, with the other entries as an attribute
of it. They are plain Python objects, so that ``torch.load(weights_only=True)`` can read them.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from custom_nets.definition import (
    KEY,
    SOURCES,
    TARGET,
    Defined,
    build_network,
    network_differences,
    unequal,
)
from custom_nets.state_dicts import UnreadableError, flattened, read_content
from scripts.bundle.config_files import find_shipped_files
from scripts.bundle.data_files import ID, KIND, advice
from scripts.bundle.record import versions
from scripts.storage.files import plain
from scripts.storage.shipped import shipped

logger = logging.getLogger(__name__)

NETWORK = "network_def"
CHANGEABLE = ("threshold",)
"""Settings that may be changed for a trained network: a difference is logged, not refused."""

DESCRIPTIVE = (ID,)
"""Settings that say how the input is made, see :mod:`scripts.bundle.data_files`: not compared."""

HINT = "leave the network's settings out, they are in the file"

EVALUATED = ("$", "@", "%")
"""First letters of a config's expressions, references and macros."""


@dataclass(frozen=True)
class ModelFile:
    """Content of a file of trained weights.

    Attributes:
        path: path of the file.
        weights: name -> tensor, on the CPU; as other tools name them, if they wrote the file.
        settings: ``network_def`` and the config's ``model_settings``; None for a file that was not
            written by this software.
        record: all other entries: data, versions, strategy.
        definition: of the network, from the metadata of its ``state_dict``, see :class:`Defined`.
    """

    path: Path
    weights: dict[str, torch.Tensor]
    settings: dict[str, Any] | None = None
    record: dict[str, Any] = field(default_factory=dict)
    definition: dict[str, Any] | None = None


def settings_of(network: nn.Module, model_settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a model file stores: its network and its input.

    Args:
        network: the trained network.
        model_settings: value of the config's ``model_settings``, resolved.
    """
    definition = network.definition if isinstance(network, Defined) else None
    settings: dict[str, Any] = plain({NETWORK: definition, **model_settings})
    return settings


def content_of(
    weights: Mapping[str, torch.Tensor], settings: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of a model file, to be written with ``torch.save``.

    Args:
        weights: the network's ``state_dict``.
        settings: see :func:`settings_of`.
        data: training data, see :func:`scripts.datasets.training_data.training_data`.
    """
    return {
        "model": _described(weights, settings.get(NETWORK)),
        "settings": dict(settings),
        "data": plain(data),
        "versions": versions(),
    }


def bare(model: ModelFile, weights: Mapping[str, torch.Tensor]) -> OrderedDict[str, torch.Tensor]:
    """Return a bare ``state_dict`` for other tools, with settings and record as an attribute."""
    tensors = {key: tensor.contiguous() for key, tensor in weights.items()}
    state = _described(tensors, (model.settings or {}).get(NETWORK))
    if model.settings is not None:
        state.__dict__["record"] = {**model.record, "settings": model.settings}
    return state


def weights_sha256(weights: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of tensors with their names, in whatever file they are stored.

    The file of a training and its package are different files with the same weights.

    Example:
        >>> weights = {"a": torch.ones(2), "b": torch.zeros(1)}
        >>> weights_sha256(weights) == weights_sha256(dict(reversed(weights.items())))
        True
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _described(
    weights: Mapping[str, torch.Tensor], definition: Any
) -> OrderedDict[str, torch.Tensor]:
    """Return a ``state_dict`` that says of which network it is, see :class:`Defined`."""
    state = OrderedDict(weights)
    if definition is not None:
        state.__dict__["_metadata"] = OrderedDict({"": {"version": 1, KEY: definition}})
    return state


def read_model(path: str | Path) -> ModelFile:
    """Read a file of trained weights without running code in it.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when it does not contain weights.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"ckpt_path: no trained network at {path}; run training first, or pass --ckpt_path FILE"
        )
    try:
        content = read_content(path)
    except UnreadableError as error:
        raise _no_weights(path, str(error)) from error
    if not isinstance(content, dict):
        raise _no_weights(path, f"got a {type(content).__name__}")
    inner = content.get("model")
    state = inner if isinstance(inner, dict) else content
    weights = flattened(state)
    if not weights and "settings" not in content:
        raise _no_weights(path, "it holds no tensors")
    entries = {key: value for key, value in content.items() if key != "model"}
    record = getattr(content, "record", entries if "model" in content else {})
    settings = record.get("settings")
    if settings is not None and not isinstance(settings, dict):
        raise _no_weights(path, f"settings is a {type(settings).__name__}")
    others = {key: value for key, value in record.items() if key != "settings"}
    return ModelFile(path, weights, settings, others, _definition_in(state))


def _definition_in(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the definition that a ``state_dict``, or one inside it, says of its network."""
    metadata = getattr(state, "_metadata", None)
    entries = metadata.values() if isinstance(metadata, dict) else ()
    found = [
        one[KEY] for one in entries if isinstance(one, dict) and isinstance(one.get(KEY), dict)
    ]
    found += [
        one for each in state.values() if isinstance(each, dict) if (one := _definition_in(each))
    ]
    return found[0] if found else None


def _no_weights(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"ckpt_path: {path} holds no weights that can be read without running code "
        f"({reason}); give the model.pt that training wrote"
    )


def check_settings(
    model: ModelFile,
    asked: Mapping[str, Any],
    *,
    unchecked_model: bool = False,
    ignoring: Collection[str] = (),
) -> None:
    """Check that the settings stored in a model file equal those of a config.

    Args:
        model: the model file.
        asked: settings of the config, see :func:`settings_of`.
        unchecked_model: accept a file without settings, with a warning.
        ignoring: settings and arguments of the network that may differ.

    Raises:
        ValueError: with each difference; or for a file without settings.
    """
    asked = {name: value for name, value in asked.items() if name not in DESCRIPTIVE}
    if model.settings is None:
        _refuse_unknown_settings(model, asked, unchecked_model)
        return
    stored, wanted = (
        {key: value for key, value in settings.items() if key not in ignoring}
        for settings in (model.settings, plain(asked))
    )
    names = [name for name in wanted if name != NETWORK or wanted[name] is not None]
    differences = {name: _difference(name, stored, wanted, ignoring) for name in names}
    for name in CHANGEABLE:
        if differences.pop(name, ""):
            logger.warning(
                "%s: %s; %s was trained with %s",
                *(name, wanted[name], model.path.name, stored.get(name, "none")),
            )
    wrong = {name: difference for name, difference in differences.items() if difference}
    if wrong:
        hint = "use the settings of the file"
        if KIND in wrong:
            hint = advice(model.settings)
        elif NETWORK in wrong:
            hint = HINT
        raise ValueError(
            f"ckpt_path: {model.path} was trained with other settings than the config's: "
            f"{'; '.join(wrong.values())}; {hint}"
        )


def _refuse_unknown_settings(
    model: ModelFile, asked: Mapping[str, Any], unchecked_model: bool
) -> None:
    """Refuse a file without settings, or warn of what cannot be checked."""
    unknown = ", ".join(name for name in asked if asked[name] is not None) or "its input"
    if not unchecked_model:
        raise ValueError(
            f"ckpt_path: {model.path} does not say how it was trained, so that {unknown} cannot be "
            "checked; if all of them are right, pass --unchecked_model true"
        )
    logger.warning(
        "unchecked_model: %s does not say how it was trained; not checked: %s", model.path, unknown
    )


def _difference(
    name: str, stored: Mapping[str, Any], asked: Mapping[str, Any], ignoring: Collection[str]
) -> str:
    """Describe the difference in one setting; empty if there is none."""
    if name not in stored:
        return f"{name}: not in the file, the config has {asked[name]!r}"
    if name != NETWORK or not isinstance(stored[name], Mapping):
        return "" if stored[name] == asked[name] else unequal(name, stored[name], asked[name])
    return "; ".join(network_differences(stored[name], asked[name], ignoring))


def trained_settings(path: str | Path, untrained: str | Path) -> dict[str, Any]:
    """Return the settings of a model file, for use in a config.

    Args:
        path: model file. If it does not exist, a bundle can still be built and verified.
        untrained: the training config, whose ``model_settings`` and ``network_def`` are used for a
            file that does not exist or has no settings; :func:`check_settings` refuses such a
            file, or warns of it, before anything is computed. What such a network reads is unknown:
            the result has no ``input_kind``.

    Raises:
        ValueError: for a file that cannot be read, or whose settings are not data.
    """
    config = shipped(untrained)
    default = settings_of_config(config) if config.is_file() else {}
    model = read_model(path) if Path(path).is_file() else None
    if model is None or model.settings is None:
        return {NETWORK: {}, **{name: v for name, v in default.items() if name != KIND}}
    _refuse_evaluated(model.path, "settings", model.settings)
    stored = dict(model.settings)
    if stored.get(NETWORK, {}) is None:  # a network class of another project
        del stored[NETWORK]
    return {NETWORK: {}, **default, **stored}


def _refuse_evaluated(path: Path, name: str, value: Any) -> None:
    """Refuse settings that a config would evaluate or look up: those of a file are data.

    Raises:
        ValueError: with the setting.
    """
    called = isinstance(value, Mapping) and TARGET in value and NETWORK not in name
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_evaluated(path, f"{name}::{key}", inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _refuse_evaluated(path, name, inner)
    if called or (isinstance(value, str) and value.startswith(EVALUATED)):
        raise ValueError(
            f"ckpt_path: {path}: {name} is {value!r}, which a config would evaluate; training "
            "writes numbers and words only: do not use this file"
        )


def settings_of_config(file: Path) -> dict[str, Any]:
    """Read the settings that a training config stores in a model file."""
    find_shipped_files()
    parser = ConfigParser()
    parser.read_config(str(file))
    parser.update({"encoder_weights": "none", "normalise": None})
    parser.parse()
    names = [name for name in parser[NETWORK] if name not in SOURCES]
    network = {name: parser.get_parsed_content(f"{NETWORK}::{name}") for name in names}
    return {NETWORK: network, **parser.get_parsed_content("model_settings")}


def trained_network(
    settings: Mapping[str, Any], *, input_kind: str | None = None, **asked: Any
) -> nn.Module:
    """Build the network that a model file describes, with random weights.

    Args:
        settings: result of :func:`trained_settings`.
        input_kind: of the config, if it is to be that of the network.
        asked: arguments that replace the file's, for files without settings;
            :func:`check_settings` refuses arguments that differ from those of the trained network.

    Raises:
        ValueError: when it is not a network of this project, or one for another input.
    """
    if input_kind is not None and settings.get(KIND, input_kind) != input_kind:
        raise ValueError(
            f"ckpt_path: the network was trained on {settings[KIND]!r}, the config gives it "
            f"{input_kind!r}; {advice(settings)}"
        )
    return build_network({**settings[NETWORK], **plain(asked)})
