"""Nodules with their readers' ratings, each cut out of its scan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scripts.datasets.contract import DataSet, Labelled, Scan
from scripts.datasets.problems import Problem
from scripts.running.workers import work_through
from scripts.suspicion.labels import LabelRule
from scripts.volumes.geometry import Floats, index_to_world, spacing_of

RATINGS = "malignancy"  # key of a data set's objects
REACH_PIXELS = 24  # around a nodule within its slices, as a network needs them
REACH_SLICES = 6


@dataclass(frozen=True)
class Nodule:
    """One nodule, cut out of its scan.

    Attributes:
        id: name of the scan and number of the nodule.
        scan_id: the scan, as in the record of a training.
        patient: all nodules of a patient are in one fold.
        ratings: of the readers, 1 to 5.
        hu: (Z, Y, X) int16.
        mask: (Z, Y, X) bool, the annotated nodule.
        affine_lps: (4, 4), index (i, j, k) of the part that was cut out to LPS mm.
        diameter_mm: of the data set.
        series_uid: of the whole scan, if the data set is of crops; else empty.
    """

    id: str
    scan_id: str
    patient: str
    ratings: tuple[int, ...]
    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    affine_lps: Floats
    diameter_mm: float
    series_uid: str = ""

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Edges of a voxel along (z, y, x)."""
        x, y, z = spacing_of(self.affine_lps).tolist()
        return z, y, x

    def with_mask(self, mask: NDArray[np.bool_]) -> Nodule:
        """Return the nodule with another outline."""
        return replace(self, mask=mask)


@dataclass
class RatedNodules:
    """The nodules of a source.

    Attributes:
        nodules: in the order of the scans.
        problems: scans that could not be used.
        unrated: number of annotated nodules without ratings.
        scans: patient -> ids of all scans that were read, also of those without a nodule.
        with_ct: whether their CTs are there; without them only size and shape are known.
    """

    nodules: list[Nodule] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unrated: int = 0
    scans: dict[str, set[str]] = field(default_factory=dict)
    with_ct: bool = True

    def counts(self, rule: LabelRule) -> dict[str, int]:
        """Count the nodules of each label, and those without a label by the reason."""
        return {**rule.count(one.ratings for one in self.nodules), "unrated": self.unrated}


def read_nodules(data_set: DataSet, source: Path, *, jobs: int = 1) -> RatedNodules:
    """Read all nodules of a source, with their ratings.

    Args:
        data_set: of instances, whose objects have ``malignancy``.
        source: its folder.
        jobs: scans read in parallel.

    Raises:
        ValueError: when no nodule has ratings, or for a source that the data set refuses.
        OSError: for a folder of another layout.
    """
    data_set = data_set.at(source)
    listing = data_set.find(source)
    found = RatedNodules(problems=list(listing.problems))
    left_out = {problem.scan_id for problem in found.problems if problem.left_out}
    scans = [scan for scan in listing.scans if scan.id not in left_out]
    read = dict(work_through(_read, [(data_set, scan) for scan in scans], jobs))
    for scan in scans:
        nodules, problem, unrated = read[scan.id]
        found.nodules += nodules
        found.problems += [problem] if problem else []
        found.unrated += unrated
        if problem is None:
            names = {scan.id, scan.scan_uid or scan.id}
            found.scans.setdefault(scan.patient_id, set()).update(names)
    if not found.nodules:
        raise ValueError(
            f"source: none of the {found.unrated} nodules in {source} has ratings of malignancy; "
            f"{data_set.name} must be read with the readers' outlines"
        )
    return found


Read = tuple[list[Nodule], Problem | None, int]


def _read(task: tuple[DataSet, Scan]) -> tuple[str, Read]:
    data_set, scan = task
    try:
        labelled = data_set.read(scan)
    except (OSError, ValueError) as error:  # the other scans are still used
        return scan.id, ([], Problem(scan.id, "scan", str(error)), 0)
    nodules = list(cut_out(scan, labelled))
    return scan.id, (nodules, None, len(labelled.objects) - len(nodules))


def cut_out(scan: Scan, labelled: Labelled) -> Iterator[Nodule]:
    """Cut every rated nodule out of a scan, with its surroundings."""
    boxes = ndimage.find_objects(labelled.label)
    affine = labelled.volume.affine_lps
    for item in labelled.objects:
        number, ratings = int(item["id"]), tuple(item.get(RATINGS) or ())
        if not ratings or number > len(boxes) or boxes[number - 1] is None:
            continue
        box = around(boxes[number - 1], labelled.label.shape)
        yield Nodule(
            id=f"{scan.id}#{number}",
            scan_id=scan.id,
            patient=scan.patient_id,
            ratings=ratings,
            hu=labelled.volume.hu[box].astype(np.int16),
            mask=labelled.label[box] == number,
            affine_lps=_moved(affine, box),
            diameter_mm=float(item["diameter_mm"]),
            series_uid=str(item.get("scan_uid", "")),
        )


def _moved(affine_lps: Floats, box: Sequence[slice]) -> Floats:
    """Return the affine of a part of a volume, of the slices (z, y, x)."""
    moved = affine_lps.copy()
    moved[:3, 3] = index_to_world([part.start for part in reversed(box)], affine_lps)
    return moved


def around(box: Sequence[slice], shape: Sequence[int]) -> tuple[slice, ...]:
    """Widen the box (z, y, x) of a nodule by its surroundings, within the volume."""
    reaches = (REACH_SLICES, REACH_PIXELS, REACH_PIXELS)
    return tuple(
        slice(max(part.start - reach, 0), min(part.stop + reach, size))
        for part, reach, size in zip(box, reaches, shape, strict=True)
    )


def record_of(nodule: Nodule) -> Mapping[str, Any]:
    """Return the columns of a table that describe a nodule."""
    return {
        "nodule": nodule.id,
        "patient": nodule.patient,
        "ratings": " ".join(map(str, nodule.ratings)),
        "diameter_mm": nodule.diameter_mm,
    }
