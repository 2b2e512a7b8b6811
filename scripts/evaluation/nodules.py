"""Figures of single nodules, and false positive components outside their neighbourhoods.

*Neighbourhood*: the box around a nodule's annotated voxels, grown by a margin (5 mm by default) on
every side, without the voxels of other nodules. Towards head and feet it ends before the first
slice that was not evaluated. Inside it every voxel is compared with this nodule's annotation.

*Detected*: at least one predicted voxel is in the annotation.

*False positive component*: a connected component of predicted voxels (by face, edge or corner, on
consecutive slices) without a voxel in any nodule's neighbourhood. Every false positive voxel thus
either lowers a nodule's figures or belongs to such a component, unless its component extends into
a neighbourhood from outside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from scripts.evaluation.boxes import Box, box_of, grow_box
from scripts.evaluation.confusion import Confusion, Mask, count_voxels
from scripts.evaluation.series import Series
from scripts.evaluation.surface import SurfaceDistance, surface_distance

MARGIN_MM = 5.0

SIZE_GROUPS = ("under_6_mm", "6_to_10_mm", "10_to_20_mm", "over_20_mm")


def size_group(diameter_mm: float) -> str:
    """Return the size group of a nodule: d < 6, 6 <= d <= 10, 10 < d <= 20, d > 20 mm.

    Raises:
        ValueError: when the diameter is not a number above 0.

    Example:
        >>> [size_group(d) for d in (5.9, 6, 10, 20, 20.1)]
        ['under_6_mm', '6_to_10_mm', '6_to_10_mm', '10_to_20_mm', 'over_20_mm']
    """
    if not diameter_mm > 0:
        raise ValueError(f"diameter_mm: must be above 0, got {diameter_mm}")
    below = (diameter_mm < 6, diameter_mm <= 10, diameter_mm <= 20, True)
    return SIZE_GROUPS[below.index(True)]


@dataclass(frozen=True)
class NoduleResult:
    """Figures of one nodule of a series.

    Args:
        nodule: id in the instance map.
        diameter_mm: annotated diameter; if unknown, that of the mask, see
            :func:`mask_diameter_mm`.
        is_diameter_annotated: whether the diameter was annotated.
        slices: number of evaluated slices that contain it.
        confusion: counts inside its neighbourhood.
        distance: surface distances inside its neighbourhood, see :func:`stack_distance`.
    """

    nodule: int
    diameter_mm: float
    is_diameter_annotated: bool
    slices: int
    confusion: Confusion
    distance: SurfaceDistance

    @property
    def is_detected(self) -> bool:
        """Whether at least one predicted voxel is in the annotation."""
        return self.confusion.tp > 0


def evaluate_nodules(series: Series, *, margin_mm: float = MARGIN_MM) -> list[NoduleResult]:
    """Evaluate every nodule of a series, in the order of their ids."""
    return [
        _evaluate(series, nodule, neighbourhood)
        for nodule, neighbourhood in _neighbourhoods(series, margin_mm)
    ]


def _evaluate(series: Series, nodule: int, neighbourhood: Box) -> NoduleResult:
    """Evaluate one nodule inside its neighbourhood."""
    instances = series.instances[neighbourhood]
    annotation = instances == nodule
    within = annotation | (instances == 0)
    prediction = series.prediction[neighbourhood] & within
    annotated = series.diameters_mm.get(nodule)
    return NoduleResult(
        nodule=nodule,
        diameter_mm=annotated or mask_diameter_mm(annotation, series.spacing_mm),
        is_diameter_annotated=annotated is not None,
        slices=int(annotation.any(axis=(1, 2)).sum()),
        confusion=count_voxels(prediction, annotation, within=within),
        distance=stack_distance(prediction, annotation, rows=neighbourhood[0], series=series),
    )


def stack_distance(
    prediction: Mask, annotation: Mask, *, rows: slice, series: Series
) -> SurfaceDistance:
    """Measure surface distances on evaluated slices of a series, some of which may be missing.

    Masks on a single slice whose neighbours were not evaluated are measured in the plane, those on
    consecutive slices in three dimensions. In a stack with gaps distances are undefined.

    Args:
        prediction: (N, Y, X) mask.
        annotation: (N, Y, X) mask.
        rows: positions of the N slices in the series.
        series: the series, with the indices of its slices and the spacing.
    """
    if not prediction.any() or not annotation.any():
        return SurfaceDistance()
    occupied = box_of(prediction | annotation)[0]
    prediction, annotation = prediction[occupied], annotation[occupied]
    slices = series.slices[rows][occupied]
    adjacent = [slices[0] - 1, slices[0] + 1]
    if len(slices) == 1 and not np.isin(adjacent, series.slices).all():
        return surface_distance(prediction[0], annotation[0], spacing_mm=series.spacing_mm[1:])
    if np.any(np.diff(slices) != 1):
        return SurfaceDistance()
    return surface_distance(prediction, annotation, spacing_mm=series.spacing_mm)


def mask_diameter_mm(mask: Mask, spacing_mm: tuple[float, float, float]) -> float:
    """Return the diameter of a ball with a mask's volume; on one slice, of a disc with its area.

    Args:
        mask: (N, Y, X), not empty.
        spacing_mm: z, y, x.
    """
    voxels = int(np.count_nonzero(mask))
    if int(mask.any(axis=(1, 2)).sum()) == 1:
        return 2 * math.sqrt(voxels * spacing_mm[1] * spacing_mm[2] / math.pi)
    return 2 * math.pow(3 / (4 * math.pi) * voxels * math.prod(spacing_mm), 1 / 3)


def count_false_positive_components(series: Series, *, margin_mm: float = MARGIN_MM) -> int:
    """Count the predicted components of a series without a voxel in a nodule's neighbourhood."""
    after_gap = np.concatenate([[False], np.diff(series.slices) != 1])
    rows = np.arange(len(series.slices)) + np.cumsum(after_gap)  # an empty slice at every gap
    stack = np.zeros((int(rows[-1]) + 1, *series.prediction.shape[1:]), bool)
    stack[rows] = series.prediction
    components, count = ndimage.label(stack, structure=np.ones((3, 3, 3)))
    near: set[int] = set()
    for _, (of_slices, in_y, in_x) in _neighbourhoods(series, margin_mm):
        near.update(np.unique(components[rows[of_slices]][:, in_y, in_x]).tolist())
    return int(count) - len(near - {0})


def _neighbourhoods(series: Series, margin_mm: float) -> Iterator[tuple[int, Box]]:
    """Yield each nodule's id and neighbourhood, with positions of evaluated slices as rows."""
    for nodule in np.unique(series.instances[series.instances > 0]).tolist():
        box = box_of(series.instances == nodule)
        reach = math.floor(margin_mm / series.spacing_mm[0] + 1e-9)
        start, stop = box[0].start, box[0].stop
        for _ in range(reach):
            start -= start > 0 and series.slices[start] - series.slices[start - 1] == 1
            stop += stop < len(series.slices) and series.slices[stop] - series.slices[stop - 1] == 1
        plane = grow_box(
            box[1:],
            margin_mm=margin_mm,
            spacing_mm=series.spacing_mm[1:],
            shape=series.instances.shape[1:],
        )
        yield nodule, (slice(int(start), int(stop)), *plane)
