"""Detection of nodules by the rules of LUNA16's evaluation.

*Candidate*: a connected component of predicted voxels (by face, edge or corner, on consecutive
slices), at its centre of mass.

*Hit*: a candidate's centre is closer to a nodule's centre than the nodule's radius, or at most half
a voxel from it along every axis. Several candidates may hit one nodule, which is detected once.

*False positive*: a candidate that hits no nodule, and lies in no excluded finding (by the same
distance), which is neither a nodule nor a false positive.

Centre and diameter are those annotated, or else the centroid and the diameter of the annotated
mask.

Source: Setio et al., Medical Image Analysis 42:1-13, 2017, and the evaluation script of LUNA16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scripts.evaluation.figures.confusion import Mask
from scripts.evaluation.series import Series, Sphere
from scripts.volumes.boxes import box_of

Points = npt.NDArray[np.float64]
ROUNDING = 1e-6  # of a voxel


@dataclass(frozen=True)
class Detection:
    """Detected nodules of a series, and the candidates by what they lie on.

    Args:
        nodules: ids of the nodules that were hit.
        candidates: number of candidates.
        false_positives: number of candidates on nothing.
        excluded: number of candidates on excluded findings only.
    """

    nodules: frozenset[int]
    candidates: int
    false_positives: int
    excluded: int


@dataclass(frozen=True)
class Components:
    """Connected components of masks on the slices of a series.

    Args:
        labels: (R, Y, X), the number of the component; a row for each slice, and an empty one at
            every gap between slices.
        count: number of components.
        rows: (N,) row of each slice.
        slices: (N,) index of each slice in the volume.
    """

    labels: npt.NDArray[np.int32]
    count: int
    rows: npt.NDArray[np.int64]
    slices: npt.NDArray[np.int64]

    @classmethod
    def of(cls, slices: npt.NDArray[np.int64], masks: Mask) -> Components:
        """Find the components of masks (N, Y, X) on slices in ascending order."""
        after_gap = np.concatenate([[False], np.diff(slices) != 1])
        rows = np.arange(len(slices)) + np.cumsum(after_gap)
        stack = np.zeros((int(rows[-1]) + 1, *masks.shape[1:]), bool)
        stack[rows] = masks
        labels, count = ndimage.label(stack, structure=np.ones((3, 3, 3)))
        return cls(labels, count, rows, slices)

    def centres(self) -> Points:
        """Return the centres of mass, (count, 3): index (z, y, x) in the volume."""
        slice_of_row = np.zeros(len(self.labels), np.int64)
        slice_of_row[self.rows] = self.slices
        z, y, x = np.nonzero(self.labels)
        numbers = self.labels[z, y, x]
        sizes = np.bincount(numbers, minlength=self.count + 1)[1:]
        axes = (slice_of_row[z], y, x)
        sums = [np.bincount(numbers, axis, self.count + 1)[1:] for axis in axes]
        return np.stack(sums, axis=1) / sizes[:, None]


def detect(series: Series) -> Detection:
    """Detect the nodules of a series."""
    centres = candidate_centres(series)
    on_nodule = np.zeros(len(centres), bool)
    found = set()
    for number, sphere in nodule_spheres(series).items():
        hits = _hits(series, centres, sphere)
        on_nodule |= hits
        if hits.any():
            found.add(number)
    excluded = np.zeros(len(centres), bool)
    for sphere in series.excluded:
        excluded |= _hits(series, centres, sphere)
    return Detection(
        nodules=frozenset(found),
        candidates=len(centres),
        false_positives=int((~on_nodule & ~excluded).sum()),
        excluded=int((~on_nodule & excluded).sum()),
    )


def candidate_centres(series: Series) -> Points:
    """Return the centres of mass of the candidates, (N, 3): index (z, y, x) in the volume."""
    return Components.of(series.slices, series.prediction).centres()


def nodule_spheres(series: Series) -> dict[int, Sphere]:
    """Return id -> centre and diameter of every nodule on the evaluated slices."""
    spheres = {}
    for number in np.unique(series.instances[series.instances > 0]).tolist():
        annotated = series.nodules.get(number)
        if annotated is not None and annotated.centre_zyx is not None:
            spheres[number] = annotated
            continue
        box = box_of(series.instances == number)
        mask = series.instances[box] == number
        diameter = annotated.diameter_mm if annotated else mask_diameter_mm(mask, series.spacing_mm)
        row, y, x = (np.argwhere(mask) + [edge.start for edge in box]).mean(axis=0)
        z = float(np.interp(row, np.arange(len(series.slices)), series.slices))
        spheres[number] = Sphere(diameter, (z, float(y), float(x)))
    return spheres


def mask_diameter_mm(mask: Mask, spacing_mm: Sequence[float]) -> float:
    """Return the diameter of a ball with a mask's volume; on one slice, of a disc with its area.

    Args:
        mask: (N, Y, X), not empty.
        spacing_mm: z, y, x.
    """
    voxels = int(np.count_nonzero(mask))
    if int(mask.any(axis=(1, 2)).sum()) == 1:
        return 2 * math.sqrt(voxels * spacing_mm[1] * spacing_mm[2] / math.pi)
    return 2 * math.pow(3 / (4 * math.pi) * voxels * math.prod(spacing_mm), 1 / 3)


def _hits(series: Series, centres: Points, sphere: Sphere) -> npt.NDArray[np.bool_]:
    """Return which candidates hit a sphere; distances hold for oblique volumes too."""
    apart = np.abs(centres - np.asarray(sphere.centre_zyx, float))
    distances_mm = np.linalg.norm(apart * series.spacing_mm, axis=1)
    in_its_voxel = (apart <= 0.5 + ROUNDING).all(axis=1)
    hits: npt.NDArray[np.bool_] = (distances_mm < sphere.diameter_mm / 2) | in_its_voxel
    return hits
