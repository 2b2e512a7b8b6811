"""The names that a study may use: bundles, and the networks, strategies, losses ... of configs/.

Paths are relative to the current folder, those of ``bundles/`` and ``configs/`` else to the
installation.
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custom_nets.encoders.published import NAMED
from scripts.bundle.data_set import declared_data_set
from scripts.commands import COMMANDS, sketch
from scripts.datasets.contract import DataSet, Kind
from scripts.datasets.known import KNOWN, data_set_class
from scripts.preparation.prepare_command import signature_of
from scripts.preparation.splits import Split, splits_of
from scripts.storage.shipped import shipped, shipped_below

SCRATCH = "scratch"
IMAGENET = "imagenet"
OWN = "own"
WEIGHTS = (*NAMED, OWN, "none")
BUNDLES = "bundles"
LOSSES: Mapping[Kind, str] = {"instances": "configs/losses", "classes": "configs/class_losses"}
# of `prepare`: set by the study itself, or on its command line
STUDY_OPTIONS = ("source", "output", "split", "seed", "label", "jobs", "audit")


@dataclass(frozen=True)
class Bundle:
    """A bundle and the data set on which it is trained.

    Args:
        folder: of the bundle.
        data: the data set, with the options that the study declares.
        options: those options.
    """

    folder: str
    data: DataSet
    options: Mapping[str, Any]

    @property
    def data_set(self) -> str:
        """Name of the data set."""
        return self.data.name

    @property
    def labels(self) -> tuple[str, ...]:
        """Kinds of reference annotation that the data set can be prepared with."""
        return self.data.label_kinds

    @property
    def splits(self) -> Mapping[str, Split]:
        """Its splits, by name."""
        return splits_of(self.data)

    @property
    def leaking(self) -> tuple[str, ...]:
        """Splits with one patient in several partitions."""
        return tuple(name for name, split in self.splits.items() if split.leak)

    @property
    def untested(self) -> tuple[str, ...]:
        """Splits without a test partition, as in a paper; the validation partition is evaluated."""
        return tuple(name for name, split in self.splits.items() if not split.tested)

    @property
    def losses(self) -> str:
        """Folder of its losses."""
        return LOSSES[self.data.kind]

    @property
    def phantom_options(self) -> tuple[str, ...] | None:
        """Options of the command that makes phantoms of the data set; None if there is none."""
        if self.data.phantom is None:
            return None
        command = sketch(COMMANDS["phantom", self.data.phantom].target)
        return tuple(name for name in inspect.signature(command).parameters if name != "output")


def prepare_options(data_set: str) -> tuple[str, ...]:
    """List the options of ``prepare`` that a study may declare for a data set."""
    folders = data_set_class(data_set).label_folders.values()
    reserved = {*STUDY_OPTIONS, *folders}
    return tuple(name for name in signature_of(data_set).parameters if name not in reserved)


def bundle_of(
    name: object, declared: Mapping[str, Any], data_set: object = None, *, where: str = "data"
) -> Bundle:
    """Return a bundle with the data set that a study trains it on.

    Args:
        name: of its folder in ``bundles/``.
        declared: the options of ``prepare`` that the study declares.
        data_set: data set instead of that of the bundle.
        where: position of the options in the study's file, for messages.

    Raises:
        ValueError: for an unknown bundle, data set or option, or a data set of the other kind.
    """
    folder = f"{BUNDLES}/{check_name('bundle', name, bundles())}"
    own = declared_data_set(folder)
    chosen = own.name if data_set is None else check_name("data_set", data_set, list(KNOWN))
    check_keys(f"{where}: prepare", declared, prepare_options(chosen))
    options = {**(own.options if chosen == own.name else {}), **declared}
    data = _built(chosen, options)
    if data.kind != _built(own.name, own.options).kind:
        raise ValueError(
            f"data_set: {folder} is trained on {own.name}, which has labels of another kind than "
            f"{chosen} ({data.kind}); choose a bundle for {data.kind}, or set the option kind in "
            "data: prepare"
        )
    return Bundle(folder, data, options)


def _built(data_set: str, options: Mapping[str, Any]) -> DataSet:
    own = inspect.signature(data_set_class(data_set)).parameters
    return data_set_class(data_set)(**{name: options[name] for name in own if name in options})


def bundles() -> list[str]:
    """List the names of the bundles that declare their data set."""
    return sorted(
        path.parents[1].name
        for path in shipped_below(BUNDLES, "*/configs/metadata.json")
        if "data_set" in json.loads(shipped(path).read_text(encoding="utf-8"))
    )


def data_file(name: str) -> Path:
    """Path of a config of ``configs/data``, the ``data`` of a method."""
    return shipped(f"configs/data/{name}.json")


def named(folder: str) -> list[str]:
    """List the names of the config files in a folder."""
    return sorted(path.stem for path in shipped_below(folder, "*.json"))


def check_name(where: str, value: object, valid: Collection[str]) -> str:
    """Return a name if it is valid.

    Raises:
        ValueError: with its position, the nearest valid names, and all of them.

    Example:
        >>> check_name("strategy", "bstf", ["bsft", "full"])
        Traceback (most recent call last):
        ...
        ValueError: strategy: no 'bstf'; did you mean bsft? Valid are bsft, full
    """
    if isinstance(value, str) and value in valid:
        return value
    near = difflib.get_close_matches(str(value), list(valid), n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    raise ValueError(f"{where}: no {value!r}{hint} Valid are {', '.join(valid)}")


def check_files(where: str, files: Sequence[str]) -> Sequence[str]:
    """Return config files if they exist.

    Raises:
        FileNotFoundError: for the first that does not.
    """
    for file in files:
        if not shipped(file).is_file():
            raise FileNotFoundError(f"{where}: no file {file} (here or in the installation)")
    return files


def check_keys(where: str, keys: Collection[str], valid: Collection[str]) -> None:
    """Refuse unknown keys.

    Raises:
        ValueError: for the first of them.
    """
    for key in keys:
        check_name(f"{where}: key", key, valid)
