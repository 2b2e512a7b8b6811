"""``python -m scripts new_bundle``: create a bundle for a prepared data set from a shipped one.

Its configs list every id of the shipped bundle's configs. Settings of the data, numbers and texts
are written as values to read and change. Parts composed of transforms, handlers and so on are
macros for the shipped file (``%bundles/...::id``), which are replaced when the config is read.
MONAI merges files before that, and a macro has no parts, so what a file of ``configs/`` changes or
adds to is written entry by entry.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from scripts.bundle.data_set import KEY, DeclaredDataSet
from scripts.bundle.overlays import changed_in_part
from scripts.datasets.contract import Kind
from scripts.datasets.datalist import class_names_of
from scripts.datasets.known import data_set_class
from scripts.datasets.segment_classes import classes_of
from scripts.datasets.shares import PARTITIONS
from scripts.packaging.configs import as_json
from scripts.packaging.new_bundle_texts import LICENCE_TO_FILL_IN, described, readme
from scripts.packaging.package_command import TASK
from scripts.storage.files import write_text
from scripts.storage.output_folder import portable_path
from scripts.storage.shipped import shipped

SHIPPED: Mapping[str, str] = {
    "instances": "bundles/lung_nodule_ct_segmentation",
    "classes": "bundles/liver_ct_segmentation",
}
"""The bundle for each kind of labels."""

WORKFLOWS = ("train", "evaluate", "inference")
FROM_MODEL = "$@trained["  # a value that evaluation and inference take from the trained network
COPIED = ("LICENSE", "configs/logging.conf")
ENGINES = {"train::trainer", "validate::evaluator", "evaluator"}
"""Ids whose arguments are often given on the command line, as ``--train#trainer#max_epochs 1``."""


@dataclass(frozen=True)
class Prepared:
    """Settings that a bundle takes from a datalist.

    Args:
        folder: folder of the prepared data, relative to the current directory.
        source: folder of the scans, relative to the current directory.
        data_set: name of the data set, and the options that determine the kind of labels.
        kind: kind of labels.
        class_names: names of the classes, background first.
        window_hu: display window.
        with_lung: whether every sample has a lung field.
    """

    folder: str
    source: str
    data_set: DeclaredDataSet
    kind: Kind
    class_names: tuple[str, ...]
    window_hu: tuple[float, float]
    with_lung: bool

    @property
    def lesion(self) -> str | None:
        """Class whose objects are numbered instances; None for labels of classes."""
        return self.class_names[1] if self.kind == "instances" else None


def new_bundle(datalist: str, output: str) -> None:
    """Create a bundle for a prepared data set from the shipped one for its kind of labels.

    It can train, evaluate and predict without changes; its docs/README.md lists the commands. Read
    its configs, and fill in docs/data_license.txt before sharing it.

    Args:
        datalist: datalist.json written by ``prepare``.
        output: folder to write, such as bundles/spleen_ct_segmentation; its name must contain
            "segmentation", by which MONAI Label knows the task.

    Raises:
        ValueError: for a datalist that does not name classes, or a name without "segmentation".
        FileExistsError: when the folder exists.
        FileNotFoundError: when the datalist does not exist.
    """
    folder = Path(output)
    if TASK not in folder.resolve().name:
        raise ValueError(
            f"output: the folder's name must contain {TASK!r}, by which MONAI Label knows its "
            f"task; got {folder.name!r}"
        )
    if folder.exists():
        raise FileExistsError(f"output: {folder} exists; name another folder, or remove it")
    prepared = read_prepared(Path(datalist))
    base = SHIPPED[prepared.kind]
    configs = {name: config_for(prepared, base, folder, name) for name in WORKFLOWS}
    metadata = metadata_for(prepared, _read(Path(base) / "configs" / "metadata.json"), folder)
    for name, config in {**configs, "metadata": metadata}.items():
        write_text(folder / "configs" / f"{name}.json", as_json(config))
    (folder / "docs").mkdir()
    for part in COPIED:
        shutil.copyfile(shipped(Path(base, part)), folder / part)
    write_text(folder / "docs" / "data_license.txt", LICENCE_TO_FILL_IN)
    write_text(folder / "docs" / "README.md", readme(folder.as_posix(), metadata))
    print(f"{folder}: a bundle for {', '.join(prepared.class_names[1:])}, from {base}")
    for name in uncoded(prepared):
        print(
            f"class {name!r}: no SNOMED CT code is known for this name; add it to class_codes in "
            f"{folder}/configs/inference.json before writing DICOM"
        )


def read_prepared(file: Path) -> Prepared:
    """Read the settings that a bundle takes from a datalist.

    Raises:
        FileNotFoundError: when the datalist does not exist.
        ValueError: when it lacks an entry, or has no class other than the background.
    """
    if file.is_dir():
        file = file / "datalist.json"
    if not file.is_file():
        raise FileNotFoundError(f"datalist: no file {file}; `prepare DATASET` writes it")
    content = _read(file)
    needed = ("name", "kind", "classes", "window_hu", "provenance", *PARTITIONS)
    lacking = [key for key in needed if key not in content]
    if lacking:
        raise ValueError(f"datalist: {file} lacks {', '.join(lacking)}; prepare the data again")
    names = class_names_of(content)
    if len(names) < 2:
        raise ValueError(f"datalist: {file} names no class besides {', '.join(names) or 'none'}")
    samples = [sample for partition in PARTITIONS for sample in content[partition]]
    low, high = (int(hu) if hu == int(hu) else hu for hu in content["window_hu"])
    return Prepared(
        portable_path(file.parent, Path.cwd()),
        portable_path(file.parent / content["provenance"]["source"], Path.cwd()),
        DeclaredDataSet(content["name"], _deciding(content["name"], content["provenance"])),
        content["kind"],
        tuple(names),
        (low, high),
        with_lung=all("lung" in sample for sample in samples),
    )


def _deciding(data_set: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the option that determines the kind of labels, if the data set has one."""
    options = {option.name for option in fields(data_set_class(data_set))}  # type: ignore[arg-type]
    return {"kind": provenance["kind"]} if "kind" in options else {}


def config_for(prepared: Prepared, source: str, folder: Path, workflow: str) -> dict[str, Any]:
    """Return one config, with the ids of the shipped one in its order.

    Args:
        prepared: settings of the data.
        source: folder of the shipped bundle.
        folder: folder of the new bundle.
        workflow: train, evaluate or inference.
    """
    file = f"{source}/configs/{workflow}.json"
    base = _read(Path(file))
    own = _own_values(prepared, folder, workflow)
    if workflow == "inference":
        own |= _inference_values(prepared, base, f"%{file}")
    taken = {name: v for name, v in own.items() if not str(base.get(name)).startswith(FROM_MODEL)}
    config = _overlaid(base, f"%{file}", taken)
    lead = f"%{source}/configs/train.json::"
    training = _read(Path(source) / "configs" / "train.json")
    for name, value in config.items():
        if name not in own and value == base[name] and str(value).startswith(lead):
            config[name] = _of_own_training(value, lead, training, folder)
    return config


def _of_own_training(value: str, lead: str, training: Mapping[str, Any], folder: Path) -> str:
    """Point a reference at the new bundle's training, where that has the value itself.

    Its composed parts are references to the shipped file, and MONAI follows one reference only.
    """
    id_ = value.removeprefix(lead)
    is_value = id_ in training and not _is_composed(training[id_])
    return f"%{folder.as_posix()}/configs/train.json::{id_}" if is_value else value


def _overlaid(base: Mapping[str, Any], reference: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part with the shipped keys: own values, plain values, macros for composed values."""
    return {
        key: own[key] if key in own else _referred(value, f"{reference}::{key}")
        for key, value in base.items()
    }


def _referred(value: Any, reference: str) -> Any:
    """Return a macro for a composed value, by item where it must have parts.

    That is where it has macros itself, which MONAI cannot nest, and where overlays or command lines
    change a part.
    """
    if not _is_composed(value):
        return value
    _, _, id_ = reference.partition("::")
    if '"%' not in json.dumps(value) and id_ not in changed_in_part() | ENGINES:
        return reference
    if isinstance(value, Mapping):
        return _overlaid(value, reference, {})
    return [_referred(part, f"{reference}::{index}") for index, part in enumerate(value)]


def _is_composed(value: object) -> bool:
    """Whether a value consists of components rather than of numbers, texts and ids."""
    if isinstance(value, Mapping):
        nested = any(isinstance(part, (Mapping, list)) for part in value.values())
        return nested or "_target_" in value
    return isinstance(value, list) and any(isinstance(part, Mapping) for part in value)


def _own_values(prepared: Prepared, folder: Path, workflow: str) -> dict[str, Any]:
    return {
        "bundle_root": folder.as_posix(),
        "dataset_dir": prepared.source if workflow == "inference" else prepared.folder,
        "class_names": list(prepared.class_names),
        "window_hu": [*prepared.window_hu],
        **({} if prepared.with_lung else {"outside_window": "clip"}),
        "lung_masking": prepared.with_lung,
        "lung_field": prepared.with_lung,
        "pad_to_patch": True,
        "one_piece": [],
        "filled": [],
        "shown_slices": [],
    }


def _inference_values(
    prepared: Prepared, base: Mapping[str, Any], reference: str
) -> dict[str, Any]:
    """Return the settings of the output, and of steps that need lungs if the data have none."""
    postfix = "_".join(prepared.class_names[1:]).replace(" ", "_")
    saving = _overlaid(base["saving"], f"{reference}::saving", {"output_postfix": postfix})
    segments = {**base["segments"], "class_codes": {}}
    own = {"segments": segments, "saving": saving}
    if prepared.lesion is None:
        return own
    segments |= {"class_names": list(prepared.class_names), "numbered": [prepared.lesion]}
    if prepared.with_lung:
        return own
    steps = [
        f"{reference}::cleaning::transforms::{index}"
        for index, step in enumerate(base["cleaning"]["transforms"])
        if step.get("mask_key") != "lung"
    ]
    cleaning = {**base["cleaning"], "transforms": steps}
    organs = f"{SHIPPED['classes']}/configs/inference.json"
    without = {name: _read(Path(organs))[name] for name in ("preprocessing", "restoring")}
    return {**own, "cleaning": cleaning, **_overlaid(without, f"%{organs}", {})}


def metadata_for(prepared: Prepared, base: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the metadata: the shipped bundle's versions and input, the data set's classes."""
    data_format = json.loads(json.dumps(base["network_data_format"]))
    pred = data_format["outputs"]["pred"]
    channels = prepared.class_names[1:] if prepared.lesion else prepared.class_names
    pred["num_channels"] = len(channels)
    pred["channel_def"] = {str(number): name for number, name in enumerate(channels)}
    title = data_set_class(prepared.data_set.name).title
    return {
        **base,
        **described(folder.resolve().name, prepared.class_names, title),
        "version": "0.1.0",
        "changelog": {"0.1.0": f"written by new_bundle for {prepared.data_set.name} data"},
        KEY: prepared.data_set.as_json(),
        "network_data_format": data_format,
    }


def uncoded(prepared: Prepared) -> list[str]:
    """List the classes without a known SNOMED CT code."""
    meanings = classes_of(prepared.class_names[1:])
    return [name for name, meaning in meanings.items() if meaning is None]


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(shipped(file).read_text(encoding="utf-8"))
    return content
