"""Preparation of one scan: arrays of its slices and its record, made by a worker process.

``scan.json`` is written last, so a folder with it is complete. The scan is reused if the request in
that file equals the present one and its files have the same content, and otherwise prepared again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from scripts.bundle.record import sha256_of
from scripts.datasets.contract import DataSet, Labelled, Scan
from scripts.datasets.datalist import SCAN_RECORD
from scripts.datasets.instance_maps import place_objects
from scripts.datasets.problems import Problem
from scripts.preparation.prepare_options import SliceOptions
from scripts.preparation.slices import class_slices, draw_empty, empty_candidates, object_slices
from scripts.running.reasons import one_line
from scripts.storage.files import (
    PART,
    atomic_path,
    clear_leftovers,
    plain,
    read_json,
    write_json,
)
from scripts.storage.output_folder import writing_into
from scripts.transforms.neighbours import stored_slices
from scripts.volumes.formats.nifti import nifti_of
from scripts.volumes.geometry import world_to_index
from scripts.volumes.hounsfield import why_not_hounsfield, why_not_int16
from scripts.volumes.volume import hash_of_voxels, turned

FORMAT = 3  # version of a prepared scan's folder; after a change every scan is prepared again


@dataclass(frozen=True)
class CaseTask:
    """One scan and the options of its preparation.

    Args:
        data_set: the data set of the scan.
        scan: the scan and its files.
        output: the prepared folder.
        slices: which slices are stored.
        volumes: whether to write whole volumes too.
        empty_wanted: number of slices without an object to store.
        check_hu: refuse images whose values cannot be HU.
    """

    data_set: DataSet
    scan: Scan
    output: Path
    slices: SliceOptions
    volumes: bool = True
    empty_wanted: int = 0
    check_hu: bool = True

    @property
    def folder(self) -> Path:
        """The folder of the scan's arrays."""
        return self.output / "scans" / self.scan.id

    def volume_files(self) -> dict[str, Path]:
        """Return the volumes to write: the label, and the image unless training can read the file.

        Example:
            >>> task = CaseTask(None, Scan("a", "p", ()), Path("out"), SliceOptions("all"))
            >>> sorted(path.as_posix() for path in task.volume_files().values())
            ['out/volumes/a_image.nii.gz', 'out/volumes/a_label.nii.gz']
        """
        if not self.volumes:
            return {}
        folder, name = self.output / "volumes", self.scan.id
        if self.scan.image_file is not None:
            return {"label": folder / f"{name}.nii.gz"}
        return {kind: folder / f"{name}_{kind}.nii.gz" for kind in ("image", "label")}

    def request(self) -> dict[str, Any]:
        """Return everything the result depends on except the content of the files."""
        request: dict[str, Any] = plain(
            {
                "format": FORMAT,
                "data_set": self.data_set.name,
                "reading": self.data_set.depends_on(self.scan),
                **self.slices.stored(self.data_set.kind),
                "volumes": sorted(path.name for path in self.volume_files().values()),
            }
        )
        return request

    def stamp(self) -> str:
        """Return a hash of sizes and times of the files, which changes with every write.

        The time of the last change of the file's record (ctime) cannot be set by programs that copy
        files with their times.
        """
        return _digest(sorted(map(_state, self.scan.files)))

    def content(self) -> str:
        """Return a hash of names and content of all files that the scan is read from.

        The name of a mask says which class it is of.
        """
        files = (path for path in self.scan.files if path.is_file())
        return _digest(sorted((path.name, sha256_of(path)) for path in files))


def _state(path: Path) -> tuple[str, int, int, int, int]:
    name = f"{path.parent.name}/{path.name}"
    try:
        status = path.stat()
    except OSError:  # reported when the scan is read
        return name, -1, -1, -1, -1
    return name, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True)
class CaseOutcome:
    """The result of preparing a scan: its record, or the problem that excludes it."""

    scan_id: str
    record: dict[str, Any] | None = None
    problem: Problem | None = None
    reused: bool = False


def find_prepared(task: CaseTask) -> CaseOutcome | None:
    """Return the outcome of a scan that can be reused; None if it must be prepared."""
    try:
        record = read_json(task.folder / SCAN_RECORD)
    except (OSError, ValueError):
        return None
    if record.get("request") != task.request():
        return None
    try:
        arrays = [task.folder / f"{name}.npy" for name in record["arrays"]]
        enough = int(record["empty_wanted"]) >= task.empty_wanted
        enough = enough and bool(record["hu_checked"] or not task.check_hu)
    except (KeyError, TypeError, ValueError):  # changed by hand: prepared again
        return None
    complete = all(file.is_file() for file in [*arrays, *task.volume_files().values()])
    if not enough or not complete:
        return None
    stamp = task.stamp()
    if record.get("stamp") != stamp:  # copied or moved files may have the same content
        if record.get("content") != task.content():
            return None
        record["stamp"] = stamp
        with writing_into(task.output):
            write_json(task.folder / SCAN_RECORD, record)
    return CaseOutcome(task.scan.id, record, reused=True)


def prepare_case(task: CaseTask) -> CaseOutcome:
    """Prepare one scan; errors of the scan are returned as a problem.

    Raises:
        OutputError: when the output cannot be written.
    """
    scan = task.scan
    file = "" if scan.image_file is None else scan.image_file.name
    try:
        # before reading: a file replaced meanwhile is read again next time
        known = {"request": task.request(), "stamp": task.stamp(), "content": task.content()}
        labelled = task.data_set.read(scan)
        if task.check_hu:
            _check_hu(task.data_set, labelled)
        record = _record(task, labelled)
        stacks = _stacks(labelled, record["stored_slices"])
        volumes = {path: _volume(labelled, kind) for kind, path in task.volume_files().items()}
    except MemoryError:
        reason = "not enough memory; try again with --jobs 1"
        return CaseOutcome(scan.id, problem=Problem(scan.id, file, reason))
    except (OSError, ValueError, RuntimeError) as error:
        return CaseOutcome(scan.id, problem=Problem(scan.id, file, one_line(error)))
    except Exception as error:  # of a damaged file: the other scans are still prepared
        reason = f"cannot be read: {type(error).__name__}: {one_line(error)}"
        return CaseOutcome(scan.id, problem=Problem(scan.id, file, reason))
    record |= {"arrays": list(stacks), **known, "empty_wanted": task.empty_wanted}
    record["hu_checked"] = task.check_hu
    _write(task, record, stacks, volumes)
    return CaseOutcome(scan.id, plain(record))


def _check_hu(data_set: DataSet, labelled: Labelled) -> None:
    if why_not := why_not_int16(labelled.volume.hu):  # which no option allows
        raise ValueError(f"values must be HU, {why_not}")
    if why_not := why_not_hounsfield(labelled.volume.hu, shows_air=data_set.shows_air):
        raise ValueError(f"values must be HU, {why_not}; --check_hu false uses it all the same")


def lost_case(task: CaseTask, reason: str) -> CaseOutcome:
    """Report a scan whose process died; what it had begun to write is removed."""
    _clear(task)
    file = "" if task.scan.image_file is None else task.scan.image_file.name
    return CaseOutcome(task.scan.id, problem=Problem(task.scan.id, file, reason))


def _write(
    task: CaseTask,
    record: dict[str, Any],
    stacks: Mapping[str, NDArray[Any]],
    volumes: Mapping[Path, nibabel.Nifti1Image],
) -> None:
    """Write arrays and volumes of a scan, and ``scan.json`` last."""
    with writing_into(task.output):
        (task.folder / SCAN_RECORD).unlink(missing_ok=True)
        _clear(task)
        for name, stack in stacks.items():
            with atomic_path(task.folder / f"{name}.npy") as temporary:
                np.save(temporary, stack)
        for path, volume in volumes.items():
            with atomic_path(path) as temporary:
                nibabel.save(volume, temporary)
        write_json(task.folder / SCAN_RECORD, record)


def _clear(task: CaseTask) -> None:
    """Remove unfinished files of a process that was killed."""
    for leftover in task.folder.glob(f"{PART}*"):
        leftover.unlink(missing_ok=True)
    for path in task.volume_files().values():
        clear_leftovers(path)


def _record(task: CaseTask, labelled: Labelled) -> dict[str, Any]:
    """Return the entries from which datalist and report are made."""
    describe = _objects if task.data_set.kind == "instances" else _classes
    own, chosen = describe(task, labelled)
    depth = len(labelled.label)
    return {
        "scan_id": task.scan.id,
        "label_kind": task.data_set.label_kind,
        "size": list(labelled.volume.size),
        "spacing_mm": labelled.volume.spacing_mm,
        "affine_lps": labelled.volume.affine_lps,
        "image_hash": hash_of_voxels(whole_hu(labelled.volume.hu)),
        "stored_slices": stored_slices(chosen, task.slices.neighbours, depth),
        **own,
        "doubts": [*labelled.warnings, *labelled.volume.notes],
        "notes": labelled.notes,
        "facts": labelled.facts,
    }


def _objects(task: CaseTask, labelled: Labelled) -> tuple[dict[str, Any], list[int]]:
    """Return the record of objects, and the chosen slices: with and without an object."""
    affine, label, lung = labelled.volume.affine_lps, labelled.label, labelled.lung
    objects = place_objects(label, labelled.objects, affine, by_centre=labelled.by_centre)
    area = np.ones(len(label), int)
    if lung is not None:
        area = np.count_nonzero(lung, axis=(1, 2))
        for item in objects:
            span = slice(item["slices"][0], item["slices"][-1] + 1)
            inside = lung[span][label[span] == item["id"]]
            item["share_in_lung"] = float(np.mean(inside > 0))
    occupied = _occupied(objects, labelled)
    free = empty_candidates(area, occupied, labelled.volume.spacing_mm[2])
    empty = draw_empty(free, task.empty_wanted, seed=task.slices.seed, uid=task.scan.id)
    chosen = [*object_slices(objects, task.slices.which), *empty]
    record = {"nodules": objects, "empty_slices": empty, "excluded": labelled.excluded}
    return record, chosen


def _occupied(objects: list[dict[str, Any]], labelled: Labelled) -> Iterator[tuple[float, float]]:
    """Yield the slice ranges of objects and findings, not available as slices without an object."""
    for item in objects:
        yield item["slices"][0], item["slices"][-1]
    for x, y, z, diameter in labelled.avoid:
        centre = world_to_index((x, y, z), labelled.volume.affine_lps)[2]
        reach = diameter / 2 / labelled.volume.spacing_mm[2]
        yield centre - reach, centre + reach


def _classes(task: CaseTask, labelled: Labelled) -> tuple[dict[str, Any], list[int]]:
    """Return the record of a class map, and the chosen slices."""
    names = task.data_set.classes()
    counts = np.bincount(labelled.label.ravel(), minlength=len(names)).tolist()
    if len(counts) > len(names):
        raise ValueError(f"label: classes are 0 to {len(names) - 1}, got {len(counts) - 1}")
    shown = [np.unique(image).tolist() for image in labelled.label]
    focus = set(task.data_set.slice_classes) or set(names.values()) - {names[0]}
    wanted = {value for value, name in names.items() if name in focus}
    chosen = class_slices(shown, wanted, task.slices.which, task.slices.every)
    record = {
        "chosen_slices": chosen,
        "classes_shown": shown,
        "known_classes": tuple(names) if labelled.known is None else labelled.known,
        "voxels": {name: counts[value] for value, name in names.items()},
    }
    return record, chosen


def _stacks(labelled: Labelled, stored: list[int]) -> dict[str, NDArray[Any]]:
    """Return image (int16 HU), label and, if there is one, lung field (uint8), each (S, H, W)."""
    stacks: dict[str, NDArray[Any]] = {
        "image": whole_hu(labelled.volume.hu[stored]),
        "label": labelled.label[stored],
    }
    if labelled.lung is not None:
        stacks["lung"] = labelled.lung[stored].astype(np.uint8)
    return stacks


def _volume(labelled: Labelled, kind: str) -> nibabel.Nifti1Image:
    affine = labelled.volume.affine_lps
    if kind == "image":
        return nifti_of(whole_hu(labelled.volume.hu), affine)
    if labelled.file_affine is None:
        return nifti_of(labelled.label, affine)
    label = turned(labelled.label, affine, labelled.file_affine)
    return nifti_of(label, labelled.file_affine)


def whole_hu(hu: NDArray[Any]) -> NDArray[np.int16]:
    """Return HU as int16; fractions are rounded.

    Raises:
        ValueError: when a value does not fit.
    """
    if hu.dtype == np.int16:
        return np.asarray(hu, np.int16)
    low, high = (hu.min(), hu.max()) if hu.size else (0, 0)
    if not (low >= -32768 and high <= 32767):
        raise ValueError(f"image: HU must fit into 16 bits, got {low:g} to {high:g}")
    return np.asarray(np.rint(hu), np.int16)
