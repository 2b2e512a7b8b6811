"""One scan turned into arrays of slices: what a worker process does, and can be repeated.

A finished scan is a folder whose ``scan.json`` was written last. It is taken as it is when the
request in it equals the one that comes, and made anew otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from scripts.datasets.instance_maps import Map
from scripts.datasets.luna16.annotations import Annotation
from scripts.datasets.luna16.instances import (
    Nodules,
    ball_instances,
    mask_instances,
    place_nodules,
)
from scripts.datasets.luna16.outlines import read_outlines, reader_instances
from scripts.datasets.luna16.scans import Scan
from scripts.datasets.problems import Problem
from scripts.preparation.label_volume import label_in_source_grid
from scripts.preparation.options import LabelOptions, SliceOptions
from scripts.preparation.slices import draw_empty, empty_candidates, nodule_slices
from scripts.storage.files import atomic_path, plain, write_json
from scripts.storage.output_folder import writing_into
from scripts.transforms.lung_field import lung_field, lung_field_from_labels
from scripts.transforms.neighbours import stored_slices
from scripts.volumes.geometry import affine_of, grid_difference, spacing_of, to_lps
from scripts.volumes.geometry import world_to_index as to_index
from scripts.volumes.readers import read_image
from scripts.volumes.volume_files import read_metaimage_header

FORMAT = 1  # of a prepared scan's folder; another number makes every scan anew


@dataclass(frozen=True)
class ScanTask:
    """One scan and what is wanted of it.

    Args:
        scan: where it lies.
        output: the prepared folder.
        annotations: its rows of the list of nodules.
        findings: (x, y, z, diameter) mm of excluded findings, kept out of slices without nodule.
        labels: how the truth is made; ``truth_file`` is the XML or mask that it is made from.
        slices: which are kept.
        empty_wanted: how many slices without a nodule to store.
        volumes: whether to write the label of the whole volume too.
        truth_file: None for balls.
    """

    scan: Scan
    output: Path
    annotations: tuple[Annotation, ...]
    findings: tuple[tuple[float, ...], ...]
    labels: LabelOptions
    slices: SliceOptions
    empty_wanted: int
    volumes: bool
    truth_file: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the scan's arrays go."""
        return self.output / "scans" / self.scan.uid

    @property
    def label_volume(self) -> Path:
        """Where the label of the whole volume goes."""
        return self.output / "volumes" / f"{self.scan.uid}.nii.gz"

    def leftovers(self) -> list[Path]:
        """Files that a run killed while writing this scan left beside the real ones."""
        volumes = self.label_volume.parent.glob(f".part-*-{self.label_volume.name}")
        return [*self.folder.glob(".part-*"), *volumes]

    def request(self) -> dict[str, Any]:
        """Everything that the result hangs on, with sizes and times of the files read."""
        wanted: dict[str, Any] = plain(
            {
                "format": FORMAT,
                "label": self.labels.kind,
                "min_readers": self.labels.min_readers if self.labels.kind == "readers" else None,
                "slices": self.slices.which,
                "neighbours": self.slices.neighbours,
                "seed": self.slices.seed,
                "volumes": self.volumes,
                "annotations": [asdict(row) for row in self.annotations],
                "findings": self.findings,
                "files": {f"{p.parent.name}/{p.name}": _state(p) for p in self._files()},
            }
        )
        return wanted

    def _files(self) -> Iterator[Path]:
        for header in (self.scan.image, self.scan.lungs):
            if header is not None:
                yield header
                with suppress(OSError, ValueError):
                    yield header.parent / read_metaimage_header(header)[0]["ElementDataFile"]
        if self.truth_file is not None:
            yield self.truth_file


def _state(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


@dataclass(frozen=True)
class ScanOutcome:
    """A scan's record, or the problem that left it out."""

    uid: str
    record: dict[str, Any] | None = None
    problem: Problem | None = None
    reused: bool = False


def prepare_scan(task: ScanTask) -> ScanOutcome:
    """Prepare one scan; what is wrong with the scan comes back as a problem.

    Raises:
        OutputError: when the output cannot be written.
    """
    uid = task.scan.uid
    request = task.request()  # before reading: a file replaced meanwhile is read again next time
    try:
        image = read_image(task.scan.image)
        content = _Content(task, image)
    except MemoryError:
        reason = "not enough memory; try again with --jobs 1"
        return ScanOutcome(uid, problem=Problem(uid, task.scan.image.name, reason))
    except (OSError, ValueError, RuntimeError) as error:
        return ScanOutcome(uid, problem=Problem(uid, task.scan.image.name, str(error)))
    record = {**content.record(), "request": request, "empty_wanted": task.empty_wanted}
    with writing_into(task.output):
        (task.folder / "scan.json").unlink(missing_ok=True)
        for left in task.leftovers():
            left.unlink(missing_ok=True)
        for name, stack in content.stacks().items():
            with atomic_path(task.folder / f"{name}.npy") as beside:
                np.save(beside, stack)
        if task.volumes:
            with atomic_path(task.label_volume) as beside:
                nibabel.save(label_in_source_grid(content.instances, image), beside)
        write_json(task.folder / "scan.json", record)
    return ScanOutcome(uid, plain(record))


def find_prepared(task: ScanTask) -> ScanOutcome | None:
    """Return the outcome of a scan that is there as wanted; None when it must be made."""
    try:
        record = json.loads((task.folder / "scan.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("request") != task.request():
        return None
    arrays = [task.folder / f"{name}.npy" for name in ("image", "label", "lung")]
    files = [*arrays, task.label_volume] if task.volumes else arrays
    if record["empty_wanted"] < task.empty_wanted or not all(file.is_file() for file in files):
        return None
    return ScanOutcome(task.scan.uid, record, reused=True)


class _Content:
    """What a scan gives: its truth, its lungs, and the slices to be stored."""

    def __init__(self, task: ScanTask, image: sitk.Image) -> None:
        self.task = task
        self.image_lps = to_lps(image)
        self.affine = affine_of(self.image_lps)
        kind = task.labels.kind
        self.instances, nodules, self.outlined_z_mm = _truth(task, image)
        self.nodules = place_nodules(self.instances, nodules, self.affine, by_centre=kind == "ball")
        self.lung, self.lung_source = read_lungs(task.scan, image, self.image_lps)
        area = np.count_nonzero(self.lung, axis=(1, 2))
        free = empty_candidates(area, self._occupied(), float(spacing_of(self.affine)[2]))
        self.empty = draw_empty(free, task.empty_wanted, seed=task.slices.seed, uid=task.scan.uid)
        chosen = [*nodule_slices(self.nodules, task.slices.which), *self.empty]
        self.stored = stored_slices(chosen, task.slices.neighbours, len(self.lung))

    def _occupied(self) -> Iterator[tuple[float, float]]:
        """Slice ranges of nodules, and of all that readers measured in this scan."""
        for nodule in self.nodules:
            yield nodule["slices"][0], nodule["slices"][-1]
        measured: list[tuple[float, ...]] = [
            (*row.centre_lps_mm, row.diameter_mm) for row in self.task.annotations
        ]
        measured += [(0.0, 0.0, z, 0.0) for z in self.outlined_z_mm]  # of axial slices
        for x, y, z, diameter in [*measured, *self.task.findings]:
            centre = to_index((x, y, z), self.affine)[2]
            reach = diameter / 2 / spacing_of(self.affine)[2]
            yield centre - reach, centre + reach

    def stacks(self) -> dict[str, NDArray[Any]]:
        """Return image (int16 HU), label and lung (uint8), each (S, H, W)."""
        hu = sitk.GetArrayViewFromImage(self.image_lps)[self.stored]
        return {
            "image": whole_hu(hu),
            "label": self.instances[self.stored],
            "lung": self.lung[self.stored].astype(np.uint8),
        }

    def record(self) -> dict[str, Any]:
        """Return what the datalist is made from."""
        for nodule in self.nodules:
            span = slice(nodule["slices"][0], nodule["slices"][-1] + 1)
            inside = self.lung[span][self.instances[span] == nodule["id"]]
            nodule["share_in_lung"] = float(np.mean(inside > 0))
        return {
            "series_uid": self.task.scan.uid,
            "label_kind": self.task.labels.kind,
            "size": list(self.image_lps.GetSize()),
            "spacing_mm": spacing_of(self.affine),
            "affine_lps": self.affine,
            "stored_slices": self.stored,
            "nodules": self.nodules,
            "empty_slices": self.empty,
            "lung_source": self.lung_source,
        }


def _truth(task: ScanTask, image: sitk.Image) -> tuple[Map, Nodules, list[float]]:
    """Return map, nodules, and z in mm of everything that any reader outlined."""
    kind, file = task.labels.kind, task.truth_file
    if kind == "ball":
        return *ball_instances(task.annotations, to_lps(image)), []
    if file is None:
        raise FileNotFoundError(f"no {kind} for this series: no file names its uid")
    if kind == "masks":
        return *mask_instances(file, image), []
    outlines = read_outlines(file, series_uid=task.scan.uid)
    every = [line for nodules in outlines.readers for nodule in nodules for line in nodule.outlines]
    found = reader_instances(outlines, image, min_readers=task.labels.min_readers)
    return *found, [outline.z_mm for outline in every]


def read_lungs(
    scan: Scan, image: sitk.Image, image_lps: sitk.Image
) -> tuple[NDArray[np.bool_], str]:
    """Return the lungs (Z, Y, X) in LPS order, and whether from ``seg-lungs`` or ``computed``.

    Either way they are closed, so that nodules on the pleura stay inside.

    Raises:
        ValueError: when the lung mask is on another grid than the scan, or marks no lung.
    """
    spacing = spacing_of(affine_of(image_lps)).tolist()
    if scan.lungs is None:
        return lung_field(sitk.GetArrayViewFromImage(image_lps), spacing), "computed"
    mask = read_image(scan.lungs)
    place = f"{scan.lungs.parent.name}/{scan.lungs.name}"
    if difference := grid_difference(image, mask):
        raise ValueError(f"{place}: not on the scan's grid: {difference}")
    turned = to_lps(mask)  # named: an array view does not keep its image alive
    try:
        labels = sitk.GetArrayViewFromImage(turned)
        return lung_field_from_labels(labels, spacing), "seg-lungs"
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error


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
