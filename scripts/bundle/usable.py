"""Settings of the right kind that no run can use, found before anything runs.

Without these checks some would fail far from the cause, in MONAI or torch, and others would train a
network that marks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scripts.bundle.compose import COMMAND, Composition
from scripts.bundle.values import is_code
from scripts.running.options import check_choice, check_device

BACKGROUND = "background"
INSTANCES = "instances"  # kind of labels of lesions


def check_usable(composed: Composition, sign: str = "") -> None:
    """Check device, threshold, section and classes, where the config states them as values.

    Args:
        composed: the config with overlays and overrides, macros replaced.
        sign: prefix of the ids on the command line, for messages.

    Raises:
        ValueError: naming the id, and the file if the value is from one: for a device that is not
            there, a threshold that no probability reaches, a section that the data do not have,
            or classes that do not fit the network's output.
    """
    config = composed.config
    for id_, check in (
        ("device", _check_device),
        ("threshold", _check_threshold),
        ("section", _check_section),
        ("class_names", _check_classes),
        ("out_channels", _check_channels),
    ):
        if id_ not in config or is_code(config[id_]):
            continue
        try:
            check(config)
        except ValueError as error:
            file = composed.file_of(id_)
            raise ValueError(f"{sign if file == COMMAND else f'{file}: '}{error}") from error


def _check_device(config: Mapping[str, Any]) -> None:
    check_device(config["device"])


def _check_threshold(config: Mapping[str, Any]) -> None:
    value = config["threshold"]
    if not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"threshold: must be a probability above 0 and below 1, got {value!r}")


def _check_section(config: Mapping[str, Any]) -> None:
    samples = config.get("samples")
    if isinstance(samples, Mapping) and "_target_" not in samples:
        check_choice("section", config["section"], samples)


def _check_classes(config: Mapping[str, Any]) -> None:
    names = config["class_names"]
    if not isinstance(names, list) or any(map(is_code, names)):
        return
    if not set(names) - {BACKGROUND} or len(set(names)) < len(names):
        raise ValueError(
            f"class_names: must be different names, of at least one class besides {BACKGROUND}, "
            f"got {names!r}"
        )


def _check_channels(config: Mapping[str, Any]) -> None:
    names, channels = config.get("class_names"), config["out_channels"]
    if not isinstance(names, list) or any(map(is_code, names)):
        return
    is_probability = channels == 1 and len(names) <= 2
    are_classes = channels == len(names) and config.get("labels_kind") != INSTANCES
    if not (is_probability or are_classes):
        raise ValueError(
            f"out_channels: {channels!r} does not fit class_names, {names!r}: a network of lesions "
            f"has 1 channel and 1 class besides {BACKGROUND}, one of classes a channel a name"
        )
