"""What a bundle is, from its files alone: names, labels, workflows, trained network.

Nothing is evaluated and no code of a bundle is run, so a value that only its code could tell is
left out. Packages have all values in their configs; a bundle of the repository takes those of its
trained network from ``models/model.pt``, and without it from ``train.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scripts.bundle.model_summary import CASES, read_summary
from scripts.storage.archive import ArchiveReader, Location
from scripts.storage.shipped import shipped

WORKFLOWS = {
    "train": "training",
    "pretrain": "pretraining",
    "evaluate": "evaluating",
    "inference": "inferring",
}
MODEL, PROGRAM = "models/model.pt", "models/model.pt2"
DESCRIBED = ("name", "version", "task", "description", "intended_use", "monai_version")
Json = dict[str, Any]
Read = Callable[[str], Json]
"""Returns a JSON file of a bundle by its name; empty if there is none."""


def summary_of(path: Path) -> Json:
    """Describe a bundle's folder, the zip of a package, or a model file.

    Raises:
        FileNotFoundError: when there is none at the path.
        ValueError: for a damaged file, or one that is none of these.
    """
    place = shipped(path)
    if place.is_dir():
        return _of_folder(path, place)
    if not place.is_file():
        raise FileNotFoundError(
            f"bundle: no file or folder {path}; give a bundle's folder, a package's zip or model.pt"
        )
    if place.suffix.lower() == ".zip":
        return _of_zip(place)
    model = _model(place)
    settings = model.get("settings", {})
    return {
        **_described({}, str(path), "model"),
        "labels": _labels(settings.get("class_names"), None),
        "window_hu": settings.get("window_hu"),
        "model": model,
    }


def _of_folder(given: Path, folder: Path) -> Json:
    def read(name: str) -> Json:
        file = folder / name
        return _parsed(file.read_bytes(), str(file)) if file.is_file() else {}

    file = next((one for one in (given / MODEL, folder / MODEL) if one.is_file()), None)
    model = None if file is None else _model(file)
    return _of_bundle(str(given), "folder", read, model)


def _model(file: Path) -> Json:
    """Describe a model file; of the scans of its training and its tests only their numbers."""
    summary = read_summary(file)
    data = dict(summary.get("data", {}))
    data.pop("salt", None)
    stated = data.get("partitions", {})
    counts = {name: stated.get(own, {}).get("cases") for own, name in CASES.items()}
    # cases, validation_cases, test_cases: hashes of ids, which the salt would let be tried; a case
    # may have several
    data |= {
        name: len(value) if counts.get(name) is None else counts[name]
        for name, value in data.items()
        if name.endswith("cases") and isinstance(value, list)
    }
    return {"file": str(file), **summary, **({"data": data} if data else {})}


def _of_zip(path: Path) -> Json:
    with ArchiveReader() as reader:
        names = {info.filename for info in reader.directory(Location(path))}
        roots = sorted(name for name in names if name.endswith("/configs/metadata.json"))
        if len(roots) != 1 or roots[0].count("/") != 2:
            raise ValueError(f"bundle: {path} is not the zip of one package")
        root = roots[0].partition("/")[0]

        def read(name: str) -> Json:
            member = f"{root}/{name}"
            if member not in names:
                return {}
            return _parsed(reader.read(Location(path, (member,))), f"{path}/{member}")

        model = {"file": MODEL} if f"{root}/{MODEL}" in names else None
        return _of_bundle(str(path), "zip", read, model)


def _parsed(content: bytes, name: str) -> Json:
    try:
        parsed = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"bundle: {name} must be JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ValueError(f"bundle: {name} must be a JSON object")
    return parsed


def _of_bundle(path: str, form: str, read: Read, model: Json | None) -> Json:
    metadata = read("configs/metadata.json")
    if not metadata:
        raise ValueError(f"bundle: {path} holds no configs/metadata.json; is it a bundle?")
    inference, train = read("configs/inference.json"), read("configs/train.json")
    definition = inference.get("network_def")
    if model is None and isinstance(definition, Mapping) and "module" in definition:
        model = {"file": PROGRAM}  # of a plain package
    settings = (model or {}).get("settings", {})

    def value(name: str) -> Any:
        own = inference.get(name)
        if name in settings:
            return settings[name]
        return train.get(name) if own is None or isinstance(own, str) else own

    segments = inference.get("segments")
    given = segments.get("numbered") if isinstance(segments, Mapping) else None
    numbered = given if isinstance(given, list) else []
    names = value("class_names")
    return {
        **_described(metadata, path, form),
        "labels": _labels(names if isinstance(names, list) else _channels(metadata), numbered),
        "window_hu": value("window_hu"),
        "workflows": [run for name, run in WORKFLOWS.items() if read(f"configs/{name}.json")],
        "model": model,
    }


def _described(metadata: Mapping[str, Any], path: str, form: str) -> Json:
    words = {name: metadata.get(name) for name in DESCRIBED}
    return {"path": path, "form": form, **words, "workflows": []}


def _channels(metadata: Mapping[str, Any]) -> list[str]:
    """Return the names of the classes by the metadata, background first."""
    output = metadata.get("network_data_format", {}).get("outputs", {}).get("pred", {})
    names = [str(name) for name in output.get("channel_def", {}).values()]
    return names if len(names) > 1 else ["background", *names]


def _labels(names: Any, numbered: list[str] | None) -> list[Json] | None:
    """List the classes; None if they are unknown.

    Args:
        names: of the classes, background first.
        numbered: those whose objects a mask numbers 1, 2, 3 ...; None if this is not known.

    Example:
        >>> _labels(["background", "liver"], [])
        [{'label': 1, 'name': 'liver', 'numbered': False}]
    """
    if not isinstance(names, (list, tuple)):
        return None
    return [
        {
            "label": label,
            "name": str(name),
            "numbered": None if numbered is None else name in numbered,
        }
        for label, name in enumerate(names)
        if label
    ]
