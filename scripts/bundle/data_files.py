"""The files of ``configs/data`` that a trained network's input needs, as its model file names them.

A training whose overlay changes the input (whole volumes, two windows, maps of earlier networks)
sets ``data_files``: the file itself, the one that makes the same input of a CT, and the numbers of
both. They become settings of the model file, so that the file alone is enough for ``predict`` and
``package``. A model file may come from anywhere: only names below ``configs/data`` and numbers are
taken from it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

ID, TRAINING, PREDICTION = "data_files", "training", "prediction"
KIND = "input_kind"
_NETWORK = "network_def"
_NAME = re.compile(r"configs/data/\w+\.json")
_OTHER = {
    "domains": "write the network of one domain with python -m scripts domain_model, and use that "
    "file",
    "window and lung field": "earlier versions gave every slice the lung field of the middle one; "
    "train the network again with configs/data/luna16_window_and_lung.json",
    "crops": "a classifier of crops is for predict --reduce or --suspicion, or for evaluating with "
    "the config of its training",
}
"""Kinds of input that no file of ``configs/data`` makes of a CT -> what to do."""


@dataclass(frozen=True)
class DataFiles:
    """Overlays for the input of a network.

    Attributes:
        training: for training and evaluation; empty if it is not known.
        prediction: for a CT; empty if no file makes this input of one.
        numbers: ids of both files -> the values of the training.
    """

    training: str = ""
    prediction: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)


def data_files(settings: Mapping[str, Any]) -> DataFiles:
    """Return the files that the settings of a model file name; none for slices of one window.

    Raises:
        ValueError: for a name of another folder, or anything but names and numbers.

    Example:
        >>> files = {"prediction": "configs/data/ct_volume_patches.json", "volume_patch_size": [8]}
        >>> data_files({"data_files": files}).numbers
        {'volume_patch_size': [8]}
    """
    content = settings.get(ID) or {}
    if not isinstance(content, Mapping):
        raise ValueError(f"{ID}: must hold names and numbers, the model file has {content!r}")
    numbers = {str(key): value for key, value in content.items()}
    names = {key: numbers.pop(key, "") for key in (TRAINING, PREDICTION)}
    for name in filter(None, names.values()):
        if not _NAME.fullmatch(str(name)):
            raise ValueError(f"{ID}: must name files of configs/data, the model file has {name!r}")
    for key, value in numbers.items():
        if not key.isidentifier() or not all(map(_is_number, _listed(value))):
            raise ValueError(f"{ID}: must hold numbers, the model file has {key!r}: {value!r}")
    return DataFiles(**names, numbers=numbers)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def refuse_other_bundle(settings: Mapping[str, Any], own: Collection[str]) -> None:
    """Refuse a network that needs its own files, and was trained with another bundle.

    Args:
        settings: of the model file.
        own: names of the settings of this bundle.

    Raises:
        ValueError: with the settings that this bundle does not have.
    """
    others = sorted(settings.keys() - {*own, _NETWORK})
    if settings.get(ID) and others:
        raise ValueError(
            f"ckpt_path: the network was trained with the settings {', '.join(others)}, which this "
            "bundle does not have; name the bundle of its training"
        )


def advice(settings: Mapping[str, Any]) -> str:
    """Say which files of ``configs/data`` make the input that the settings of a model file name.

    Example:
        >>> advice({"data_files": {"training": "configs/data/a.json"}}).partition(", ")[0]
        'add for training and evaluation configs/data/a.json'
    """
    if other := _OTHER.get(str(settings.get(KIND))):
        return other
    found = data_files(settings)
    if not found.training:
        return (
            "add the file of configs/data that makes this input: that of the training, or for a CT "
            "ct_*.json (lungs) or abdomen_*.json"
        )
    of_a_ct = (
        f"for a CT {found.prediction}"
        if found.prediction
        else "for a CT there is none: such networks are evaluated only"
    )
    return f"add for training and evaluation {found.training}, {of_a_ct}"
