"""A trained model as users have it, and what belongs to it: bundle, data set, preparation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.bundle.config_files import files_below, read_config
from scripts.bundle.data_set import DeclaredDataSet, declared_data_set
from scripts.bundle.model_file import ModelFile
from scripts.datasets.known import KNOWN, data_set_class
from scripts.preparation.prepare_command import signature_of
from scripts.storage.archive import ArchiveReader, Location
from scripts.storage.files import write_bytes
from scripts.storage.shipped import shipped, shipped_below

BUNDLES = "bundles"
IN_PACKAGE = "models/model.pt"
MOST_BYTES = 4 << 30  # of the weights in a zip


def model_file(path: Path, folder: Path) -> Path:
    """Return the file of the trained weights of a model.

    Args:
        path: ``model.pt``, the folder of a training, the folder of a bundle or package, or the zip
            of a package. Of a zip only the weights are read: none of its code is run.
        folder: folder to unpack the weights of a zip to.

    Raises:
        FileNotFoundError: when there are none, with the places looked at.
        ValueError: for a damaged zip.
    """
    if path.suffix.lower() == ".zip" and path.is_file():
        return _unpacked(path, folder)
    places = [path / "model.pt", path / IN_PACKAGE] if path.is_dir() else [path]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f"model: no trained network at {' or '.join(map(str, places))}; give model.pt, the folder "
        "of a training, or a package"
    )


def _unpacked(path: Path, folder: Path) -> Path:
    with ArchiveReader() as reader:
        names = [info.filename for info in reader.directory(Location(path))]
        found = [name for name in names if name.partition("/")[2] == IN_PACKAGE]
        if not found:
            raise FileNotFoundError(
                f"model: {path} holds no {IN_PACKAGE}; if it has large_files.yml, download the "
                "weights and give their file"
            )
        content = reader.read(Location(path, (found[0],)), max_bytes=MOST_BYTES)
    write_bytes(folder / "model.pt", content)
    return folder / "model.pt"


def bundle_of(model: ModelFile, given: str | None) -> Path:
    """Return the bundle whose configs evaluate a model.

    Args:
        model: the model file.
        given: folder of the bundle; None for the one in ``bundles/`` with the model's classes.

    Raises:
        FileNotFoundError: when the folder is not a bundle.
        ValueError: when none, or several, have these classes.
    """
    if given is not None:
        if not shipped(Path(given) / "configs" / "evaluate.json").is_file():
            raise FileNotFoundError(f"bundle: {given} holds no configs/evaluate.json")
        return Path(given)
    classes = list((model.settings or {}).get("class_names") or ())
    suited = [one for one in shipped_below(BUNDLES, "*") if _class_names(one) == classes]
    if len(suited) == 1:
        return suited[0]
    found = " and ".join(map(str, suited)) or f"none in {Path(BUNDLES).absolute()}"
    raise ValueError(
        f"bundle: {model.path} has the classes {classes}, as {found}; name the one to evaluate "
        "with, --bundle bundles/NAME"
    )


def _class_names(folder: Path) -> Any:
    file = shipped(folder / "configs" / "train.json")
    return read_config(file, files_below()).get("class_names") if file.is_file() else None


@dataclass(frozen=True)
class Preparation:
    """How scans are prepared for a model.

    Attributes:
        data_set: name of the data set.
        options: of ``prepare``.
        assumed: what the model file does not say, for the screen.
    """

    data_set: str
    options: Mapping[str, Any] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()


def preparation_of(model: ModelFile, bundle: Path, given: str | None) -> Preparation:
    """Return how scans are prepared as those that a model was trained on.

    Files of older versions name only the kind of label: the data set is then the one with this
    kind, and all slices of each lesion are used.

    Args:
        model: the model file.
        bundle: its bundle.
        given: name of the data set; None for that of the training.

    Raises:
        ValueError: when the data set is unknown or cannot be determined.
    """
    data = model.record.get("data")
    data = data if isinstance(data, Mapping) else {}
    recorded = data.get("data_set")
    recorded = dict(recorded) if isinstance(recorded, Mapping) else {}
    of_training = recorded.pop("name", None)
    declared = declared_data_set(bundle)
    name = given or of_training or _by_label(data.get("labels"), declared.name)
    parameters = signature_of(name).parameters
    options: dict[str, Any] = {**_declared_for(name, declared), **recorded}
    if recorded:
        return Preparation(name, {k: v for k, v in options.items() if k in parameters})
    if "slices" in parameters:
        options["slices"] = "all"
    labels = list(data.get("labels") or ())
    if "label" in parameters and len(labels) == 1:
        options["label"] = labels[0]
    unsaid = (
        f"{model.path.name} does not say how its scans were prepared: data set {name}, options "
        f"{options}, all others those of `prepare {name}`"
    )
    return Preparation(name, options, (unsaid,))


def _declared_for(name: str, declared: DeclaredDataSet) -> Mapping[str, Any]:
    """Return the options of a data set that a bundle's own data set determines.

    A data set of any kind of labels gets the kind of the bundle's.
    """
    if name == declared.name:
        return declared.options
    kind = declared.options.get("kind") or data_set_class(declared.name).kind
    return {"kind": kind} if "kind" in signature_of(name).parameters else {}


def _by_label(labels: Any, declared: str) -> str:
    """Return the data set with some kinds of label: the bundle's own, or the only one."""
    wanted = set(labels or ())
    suited = [name for name in KNOWN if wanted <= set(data_set_class(name).label_kinds)]
    if declared in suited:
        return declared
    if len(suited) == 1:
        return suited[0]
    raise ValueError(
        f"data_set: the model file does not name it, and labels of kind {', '.join(sorted(wanted))}"
        f" are those of {' and '.join(suited) or 'none'}; give --data_set, one of "
        f"{', '.join(KNOWN)}"
    )
