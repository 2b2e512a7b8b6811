"""A file of trained weights says what it is: network, input, classes, training data, versions.

Training writes ``{"model": state_dict, "settings": ..., "data": ..., "versions": ...}``, a package
the bare ``state_dict`` with the rest as an attribute of it, since other tools take it as it is.
Everything beside the weights is plain Python, so that ``torch.load(weights_only=True)`` reads it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from custom_nets.definition import SOURCES, TARGET, Defined, build_network
from scripts.bundle.record import versions
from scripts.storage.files import plain

logger = logging.getLogger(__name__)

NETWORK = "network_def"
CHANGEABLE = ("threshold",)
"""Settings that may be chosen anew for a trained network: a difference is logged, not refused."""

HINTS = {
    "input_kind": "; add the file of configs/data that training used",
    NETWORK: "; leave the network's settings out, they are in the file",
}


@dataclass(frozen=True)
class ModelFile:
    """Content of a file of trained weights.

    Attributes:
        path: of the file.
        weights: names -> tensors, on the CPU.
        settings: ``network_def`` and the config's ``model_settings``; None in a file that was not
            written by this software.
        record: all else: data, versions, strategy.
    """

    path: Path
    weights: dict[str, torch.Tensor]
    settings: dict[str, Any] | None = None
    record: dict[str, Any] = field(default_factory=dict)


def settings_of(network: nn.Module, model_settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model file says of its network and of the input that it was trained on.

    Args:
        network: that was trained.
        model_settings: the config's id of this name, resolved.
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
        data: on what it was trained, see :func:`scripts.datasets.datalist.training_data`.
    """
    return {
        "model": dict(weights),
        "settings": dict(settings),
        "data": plain(data),
        "versions": versions(),
    }


def bare(model: ModelFile, weights: Mapping[str, torch.Tensor]) -> OrderedDict[str, torch.Tensor]:
    """Return a ``state_dict`` that other tools load as it is, and that still says what it is."""
    alone = OrderedDict((key, tensor.contiguous()) for key, tensor in weights.items())
    if model.settings is not None:
        alone.__dict__["record"] = {**model.record, "settings": model.settings}
    return alone


def read_model(path: str | Path) -> ModelFile:
    """Read a file of trained weights; nothing in the file is run.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it holds no weights.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"ckpt_path: no trained network at {path}; run training first, or pass --ckpt_path FILE"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # zip, pickle and torch have no common error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise _no_weights(path, f"{type(error).__name__}: {reason}") from error
    if not isinstance(content, dict):
        raise _no_weights(path, f"got a {type(content).__name__}")
    weights = content.get("model", content)
    if not isinstance(weights, dict):
        raise _no_weights(path, f"got a {type(weights).__name__}")
    not_tensors = [key for key, value in weights.items() if not isinstance(value, torch.Tensor)]
    if not_tensors:
        raise _no_weights(path, f"{not_tensors[0]!r} is no tensor")
    beside = {key: value for key, value in content.items() if key != "model"}
    record = getattr(content, "record", beside if "model" in content else {})
    settings = record.get("settings")
    if settings is not None and not isinstance(settings, dict):
        raise _no_weights(path, f"settings is a {type(settings).__name__}")
    others = {key: value for key, value in record.items() if key != "settings"}
    return ModelFile(path, dict(weights), settings, others)


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
    """Compare what a model file says of itself with what a config asks for, by name.

    Args:
        model: the file.
        asked: of the config, see :func:`settings_of`.
        unchecked_model: accept a file that says nothing of itself, with a warning.
        ignoring: settings and arguments of the network that need not be equal.

    Raises:
        ValueError: naming each difference; or for a file that says nothing.
    """
    if model.settings is None:
        _refuse_silent(model, asked, unchecked_model)
        return
    told, wanted = (
        {key: value for key, value in found.items() if key not in ignoring}
        for found in (model.settings, plain(asked))
    )
    names = [name for name in wanted if name != NETWORK or wanted[name] is not None]
    wrong = {name: _difference(name, told, wanted, ignoring) for name in names}
    for name in CHANGEABLE:
        if wrong.pop(name, ""):
            logger.warning(
                "%s: %s; %s was trained with %s",
                *(name, wanted[name], model.path.name, told.get(name, "none")),
            )
    named = {name: difference for name, difference in wrong.items() if difference}
    if named:
        hint = next((HINTS[name] for name in named if name in HINTS), "")
        raise ValueError(
            f"ckpt_path: {model.path} was trained otherwise than the config asks for: "
            f"{'; '.join(named.values())}{hint or '; use the settings of the file'}"
        )


def _refuse_silent(model: ModelFile, asked: Mapping[str, Any], unchecked_model: bool) -> None:
    """Refuse a file without settings, or warn of what cannot be checked."""
    unknown = ", ".join(name for name in asked if asked[name] is not None)
    if not unchecked_model:
        raise ValueError(
            f"ckpt_path: {model.path} does not say how it was trained, so that {unknown} cannot be "
            "checked; if all of them fit, pass --unchecked_model true"
        )
    logger.warning(
        "unchecked_model: %s does not say how it was trained; not checked: %s", model.path, unknown
    )


def _difference(
    name: str, told: Mapping[str, Any], asked: Mapping[str, Any], ignoring: Collection[str]
) -> str:
    """Say where one setting differs; empty where it does not."""
    if name not in told:
        return f"{name}: not in the file, the config has {asked[name]!r}"
    if name != NETWORK or not isinstance(told[name], Mapping):
        return "" if told[name] == asked[name] else _words(name, told[name], asked[name])
    return "; ".join(network_differences(told[name], asked[name], ignoring))


def network_differences(
    told: Mapping[str, Any], asked: Mapping[str, Any], ignoring: Collection[str] = ()
) -> list[str]:
    """List the arguments of two networks that differ; where weights come from does not count.

    >>> network_differences({"_target_": "a.Net", "norm": "group"}, {"_target_": "a.Net"})
    ["network_def::norm: the file has 'group', the config has None"]
    """
    if told.get(TARGET) != asked.get(TARGET):
        return [_words(f"{NETWORK}::{TARGET}", told.get(TARGET), asked.get(TARGET))]
    names = [name for name in {**told, **asked} if name not in (*ignoring, *SOURCES)]
    return [
        _words(f"{NETWORK}::{name}", told.get(name), asked.get(name))
        for name in names
        if told.get(name) != asked.get(name)
    ]


def _words(name: str, told: Any, asked: Any) -> str:
    return f"{name}: the file has {told!r}, the config has {asked!r}"


def trained_settings(path: str | Path, untrained: str | Path) -> dict[str, Any]:
    """Return the settings of a model file, for the ids of a config to take theirs from.

    Args:
        path: of the model file. Where there is none yet, a bundle can still be built and verified.
        untrained: the training config, whose ``model_settings`` and ``network_def`` stand in for a
            file that is not there or does not say; :func:`check_settings` refuses such a file, or
            warns of it, before anything is computed.

    Raises:
        ValueError: for a file that cannot be read.
    """
    usual = _usual_settings(Path(untrained)) if Path(untrained).is_file() else {}
    model = read_model(path) if Path(path).is_file() else None
    told = {} if model is None or model.settings is None else dict(model.settings)
    if told.get(NETWORK, {}) is None:  # a network of somebody else's class
        del told[NETWORK]
    return {NETWORK: {}, **usual, **told}


def _usual_settings(file: Path) -> dict[str, Any]:
    """Read what a training config would write into a model file, but for the weights' source."""
    parser = ConfigParser()
    parser.read_config(str(file))
    parser.update({"encoder_weights": "none", "normalise": None})
    parser.parse()
    names = [name for name in parser[NETWORK] if name not in SOURCES]
    network = {name: parser.get_parsed_content(f"{NETWORK}::{name}") for name in names}
    return {NETWORK: network, **parser.get_parsed_content("model_settings")}


def trained_network(settings: Mapping[str, Any], **asked: Any) -> nn.Module:
    """Build the network that a model file describes, with random weights.

    Args:
        settings: of :func:`trained_settings`.
        asked: arguments in place of the file's: :func:`check_settings` refuses those that differ
            from what was trained, so that they serve files that do not say what they are.

    Raises:
        ValueError: for what is no network of ours.
    """
    return build_network({**settings[NETWORK], **plain(asked)})
