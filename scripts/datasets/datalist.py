"""The datalist of prepared data: which samples and volumes are in which partition, checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.datasets.missing_data import MissingData
from scripts.datasets.shares import PARTITIONS
from scripts.datasets.stored_slices import ARRAYS, CONTEXT, OPTIONAL_ARRAYS
from scripts.storage.files import read_json, sha256_of
from scripts.volumes.geometry import is_inside, world_to_index
from scripts.volumes.grids import difference_of_grids, stored_grid

ANNOTATIONS = ("label", "nodules", "target", "class_known")
"""What an entry says of the lesions or organs in its image."""
IMAGES = ("image", "lung")
"""What an entry says of its CT."""
SCAN_RECORD = "scan.json"
"""File that ``prepare`` writes last into the folder of a scan."""
_APART = ("volumes", "provenance")


def load_datalist(path: str | Path, section: str, *, labelled: bool = True) -> list[dict[str, Any]]:
    """Return the entries of one partition, with absolute paths and a number ``case`` each.

    Args:
        path: ``datalist.json``, written by ``python -m scripts prepare DATASET``.
        section: the partition: ``training``, ``validation`` or ``test`` for prepared slices;
            ``volumes/training`` and so on for whole volumes (``image`` and ``label``).
        labelled: False for what learns from images alone: entries need no label, and those that
            have one are returned without it and without their list of lesions.

    Raises:
        FileNotFoundError: when the datalist, or a file that it lists, does not exist.
        ValueError: for an unknown section, or a file that is not such a datalist; for volumes, a
            scan in several partitions, a label on another grid than its image, or a nodule outside.
    """
    whole = section.startswith("volumes/")
    name = section.removeprefix("volumes/")
    if name not in PARTITIONS:
        valid = ", ".join([*PARTITIONS, *(f"volumes/{known}" for known in PARTITIONS)])
        raise ValueError(f"section: must be one of {valid}, got {section!r}")
    path = Path(path).resolve()
    content = read_datalist(path)
    if whole:
        _check_volumes(path, content)
    entries = content["volumes"][name] if whole else content[name]
    files: tuple[str, ...] = ("image", "label") if whole else ARRAYS
    if not labelled:
        files = tuple(key for key in files if key != "label")
        entries = [{k: v for k, v in one.items() if k not in ANNOTATIONS} for one in entries]
    required = [key for key in files if key not in OPTIONAL_ARRAYS]
    needed = required if whole else [*required, "rows", "slice", "affine_lps"]
    for number, entry in enumerate(entries):
        instead = {"label"} if "target" in entry else set()  # classified, not segmented
        lacking = [key for key in needed if key not in entry and key not in instead]
        if lacking:
            raise ValueError(f"{path}: {section}[{number}] lacks {', '.join(lacking)}")
    resolved = _resolve(path, section, entries, files)
    if whole and labelled:
        _check_grids(path, section, resolved)
    return resolved


def declared_samples(
    path: str | Path, section: str, *, labelled: bool = True
) -> list[dict[str, Any]]:
    """Return the entries of one partition, for a config: see :func:`load_datalist`.

    Without data it returns :class:`~scripts.datasets.missing_data.MissingData`: the bundle can be
    built, a run is refused.

    Raises:
        ValueError: see :func:`load_datalist`.
    """
    try:
        return load_datalist(path, section, labelled=labelled)
    except FileNotFoundError as reason:
        return MissingData(reason)


def read_datalist(path: Path) -> dict[str, Any]:
    """Read a datalist with its partitions.

    Raises:
        FileNotFoundError: when it does not exist.
        ValueError: when it is not such a file.
    """
    if path.parent.is_file():
        raise FileNotFoundError(
            f"dataset_dir: {path.parent} is a file; give the folder that holds {path.name}"
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"datalist: {path} not found; `python -m scripts prepare DATASET` writes it"
        )
    lists = read_json(path)
    if not all(isinstance(lists.get(name), list) for name in PARTITIONS):
        keys = ", ".join(lists) or "nothing"
        raise ValueError(f"{path}: must hold the lists {', '.join(PARTITIONS)}, got {keys}")
    return lists


def _check_volumes(path: Path, content: Mapping[str, Any]) -> None:
    """Refuse a datalist without volumes, or with a volume in several partitions."""
    if "volumes" not in content:
        split = content.get("provenance", {}).get("split") or {}
        raise ValueError(
            f"{path}: lists no volumes; {prepare_again(content)} with --volumes true and a split "
            f"that keeps scans whole, such as patient (its split is {split.get('kind', 'unknown')})"
        )
    owners: dict[Any, set[str]] = {}
    for name in PARTITIONS:
        for entry in content["volumes"].get(name, ()):
            owners.setdefault(entry.get("series_uid"), set()).add(name)
    twice = [(uid, names) for uid, names in owners.items() if uid and len(names) > 1]
    if twice:
        uid, names = twice[0]
        raise ValueError(
            f"{path}: {len(twice)} volumes are in several partitions, the first: {uid} in "
            f"{' and '.join(sorted(names))}; {prepare_again(content)} with --split patient"
        )


def _check_grids(path: Path, section: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Refuse volumes whose label is on another grid, or whose nodules lie outside, by headers."""
    for entry in entries:
        name = f"{path}: {section}: {entry.get('series_uid', entry['image'])}"
        grid = stored_grid(entry["image"])
        maps = [(f"{CONTEXT} map", file) for file in entry.get(CONTEXT, ())]
        for what, file in [("label", entry["label"]), *maps]:
            if difference := difference_of_grids(grid, stored_grid(file)):
                raise ValueError(
                    f"{name}: {what} {file} is not on the grid of its image: {difference}; "
                    "prepare the data again"
                )
        for nodule in entry.get("nodules", ()):
            centre = nodule.get("centre_lps_mm")
            if centre is not None and not is_inside(world_to_index(centre, grid.affine), grid.size):
                raise ValueError(
                    f"{name}: nodule {nodule['id']} at {centre} mm lies outside the volume; "
                    "prepare the data again"
                )


def prepare_again(content: Mapping[str, Any]) -> str:
    """Return the advice to prepare the data set of a datalist again."""
    return f"prepare again (python -m scripts prepare {content.get('name', 'DATASET')})"


def _resolve(
    path: Path, section: str, entries: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> list[dict[str, Any]]:
    """Make paths absolute, check that the files exist, and number the entries."""
    resolved = [
        {**with_files_of(path.parent, entry, keys), "case": case}
        for case, entry in enumerate(entries)
    ]
    files = sorted({file for entry in resolved for file in files_of(entry, keys)})
    missing = [file for file in files if not Path(file).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{path}: {len(missing)} of the {len(files)} files listed in {section} are missing, "
            f"the first: {missing[0]}. Move a prepared folder as a whole, with its datalist; "
            f"after moving the scans themselves, prepare again"
        )
    return resolved


def with_files_of(
    folder: Path, entry: Mapping[str, Any], keys: Sequence[str] = ARRAYS
) -> dict[str, Any]:
    """Return an entry of a datalist in ``folder``, the paths of its files absolute."""
    resolved: dict[str, Any] = {key: str(folder / entry[key]) for key in keys if key in entry}
    if CONTEXT in entry:
        resolved[CONTEXT] = [str(folder / file) for file in entry[CONTEXT]]
    return {**entry, **resolved}


def lists_of(content: Mapping[str, Any]) -> Iterator[tuple[str, str, Sequence[Mapping[str, Any]]]]:
    """Yield the lists of a datalist: prefix (empty or ``volumes/``), partition, entries."""
    for prefix, lists in (("", content), ("volumes/", content.get("volumes", {}))):
        for partition in PARTITIONS:
            if partition in lists:
                yield prefix, partition, lists[partition]


def with_lists(
    content: Mapping[str, Any], lists: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """Return a datalist with some of its lists replaced: (prefix, partition) -> entries."""
    result = dict(content)
    if "volumes" in content:
        result["volumes"] = dict(content["volumes"])
    for (prefix, partition), entries in lists.items():
        (result["volumes"] if prefix else result)[partition] = list(entries)
    return result


def absolute(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the datalist of a folder with absolute paths, so that it can be written elsewhere."""
    return with_lists(
        content,
        {
            (prefix, partition): [with_files_of(folder, entry) for entry in entries]
            for prefix, partition, entries in lists_of(content)
        },
    )


def files_of(entry: Mapping[str, Any], keys: Sequence[str] = ARRAYS) -> list[str]:
    """List the files of an entry: its arrays or volumes, and its context maps."""
    return [*(entry[key] for key in keys if key in entry), *entry.get(CONTEXT, ())]


def content_sha256(path: str | Path) -> str:
    """Return the SHA-256 of what a datalist holds: its samples and the content of their files.

    Data that are prepared again, from the same scans in the same way, have the same: when, where
    and by which version does not count. The order of the samples does, as batches follow from it.
    Files that ``prepare`` wrote are not read: each scan's record says what they were made of.

    Args:
        path: ``datalist.json``.

    Raises:
        FileNotFoundError: when it does not exist.
        ValueError: when it is no datalist.
    """
    path = Path(path).resolve()
    content = absolute(read_datalist(path), path.parent)
    own = {key: value for key, value in content.items() if key not in (*PARTITIONS, *_APART)}
    own["split"] = content.get("provenance", {}).get("split")
    digest, known = hashlib.sha256(json.dumps(own, sort_keys=True).encode()), dict[str, str]()
    for prefix, partition, entries in lists_of(content):
        for entry in entries:
            said = {key: value for key, value in entry.items() if key not in (*ARRAYS, CONTEXT)}
            for file in files_of(entry):
                if file not in known:
                    known[file] = _origin(Path(file), path.parent, str(entry.get("series_uid")))
            files = [known[file] for file in files_of(entry)]
            text = json.dumps([prefix, partition, said, files], sort_keys=True)
            digest.update(text.encode())
    return digest.hexdigest()


def images_sha256(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the SHA-256 of what a network reads of entries, without their labels.

    What a network made of them (labels, maps) is theirs as long as it is the same; where they lie
    does not count.

    Args:
        entries: with absolute paths.
    """
    digest, known = hashlib.sha256(), dict[str, str]()
    for entry in entries:
        scan = str(entry.get("series_uid"))
        files = files_of(entry, IMAGES)
        for file in files:
            if file not in known:
                known[file] = _origin(Path(file), Path(file).parent.parent, scan)
        text = json.dumps([scan, entry.get("rows"), [known[file] for file in files]])
        digest.update(text.encode())
    return digest.hexdigest()


def _origin(file: Path, folder: Path, scan: str) -> str:
    """Return what a prepared file was made of, as its scan's record says; else its own hash.

    Labels of patients who count as unlabelled may be absent.
    """
    for record in (file.parent / SCAN_RECORD, folder / "scans" / scan / SCAN_RECORD):
        try:
            known = read_json(record)
            return json.dumps([file.name, known["request"], known["content"]], sort_keys=True)
        except (OSError, ValueError, KeyError):
            continue
    return sha256_of(file) if file.exists() else "absent"


def are_plain_volumes(samples: Sequence[Mapping[str, Any]]) -> bool:
    """Whether samples are pairs of image and label files, as MONAI Label gives them.

    Entries of a datalist state more, at least their number.

    Example:
        >>> are_plain_volumes([{"image": "a.nii.gz", "label": "b.nii.gz"}])
        True
    """
    return bool(samples) and all(set(sample) == {"image", "label"} for sample in samples)


def class_names_of(content: Mapping[str, Any]) -> list[str]:
    """Return the class names of a datalist in the order of their values, background first.

    Example:
        >>> class_names_of({"classes": {"1": "liver", "0": "background"}})
        ['background', 'liver']
    """
    classes = content.get("classes", {})
    return [str(classes[value]) for value in sorted(classes, key=int)]


def check_labels(
    path: str | Path,
    content: Mapping[str, Any],
    *,
    kind: str | None = None,
    class_names: Sequence[str] | None = None,
    learnt: bool = False,
) -> None:
    """Refuse a datalist whose labels mean something else than a config takes them for.

    Args:
        path: ``datalist.json``, for messages.
        content: of this file.
        kind: expected kind of labels: ``instances`` (numbers of single lesions) or ``classes``;
            None for any.
        class_names: expected names of the classes, background first; None for any.
        learnt: whether the names are those of a trained network, and cannot be others.

    Raises:
        ValueError: for another kind (classes would be scored as lesions, or lesions as classes), or
            for other class names or another order of them (masks would carry wrong names).
    """
    prepared_kind = content.get("kind", kind)
    if kind is not None and prepared_kind != kind:
        raise ValueError(
            f"dataset_dir: {path} has labels of kind {prepared_kind}, this bundle takes {kind}; "
            f"use a bundle for {prepared_kind} (python -m scripts new_bundle), or "
            f"{prepare_again(content)} with labels of kind {kind}"
        )
    prepared = class_names_of(content)
    if class_names is not None and prepared and prepared != list(class_names):
        advice = f'give the names of the datalist, with --class_names "{prepared}"'
        if learnt:
            advice = "prepare the scans with those that the network has learnt, in its order"
        raise ValueError(
            f"class_names: {path} has {prepared}, the config {list(class_names)}; {advice}"
        )
