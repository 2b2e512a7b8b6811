"""Figures of single nodules, each inside its neighbourhood.

*Neighbourhood*: the box around a nodule's annotated voxels, grown by a margin (5 mm by default) on
every side, without the voxels of other nodules. Towards head and feet it ends before the first
slice that was not evaluated. Inside it every voxel is compared with this nodule's annotation.

Predictions outside all neighbourhoods count in the false positives of
:mod:`scripts.evaluation.figures.detection`, and in the figures of slices and volumes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from scripts.evaluation.figures.confusion import Confusion, Mask, count_voxels
from scripts.evaluation.figures.detection import mask_diameter_mm
from scripts.evaluation.figures.surface import SurfaceDistance, surface_distance
from scripts.evaluation.series import Series
from scripts.volumes.boxes import Box, box_of, grow_box

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
        is_detected: whether it was hit, see :mod:`scripts.evaluation.figures.detection`.
        texture: group of its texture, if it was rated; see :mod:`scripts.datasets.ratings`.
    """

    nodule: int
    diameter_mm: float
    is_diameter_annotated: bool
    slices: int
    confusion: Confusion
    distance: SurfaceDistance
    is_detected: bool
    texture: str = ""

    @property
    def size_group(self) -> str:
        """The size group of its diameter."""
        return size_group(self.diameter_mm)


def evaluate_nodules(
    series: Series, detected: Collection[int], *, margin_mm: float = MARGIN_MM
) -> list[NoduleResult]:
    """Evaluate every nodule of a series, in the order of their ids; ``detected`` were hit."""
    return [
        _evaluate(series, nodule, neighbourhood, nodule in detected)
        for nodule, neighbourhood in _neighbourhoods(series, margin_mm)
    ]


def _evaluate(series: Series, nodule: int, neighbourhood: Box, is_detected: bool) -> NoduleResult:
    """Evaluate one nodule inside its neighbourhood."""
    instances = series.instances[neighbourhood]
    annotation = instances == nodule
    within = annotation | (instances == 0)
    prediction = series.prediction[neighbourhood] & within
    annotated = series.nodules.get(nodule)
    return NoduleResult(
        nodule=nodule,
        diameter_mm=annotated.diameter_mm
        if annotated
        else mask_diameter_mm(annotation, series.spacing_mm),
        is_diameter_annotated=annotated is not None,
        slices=int(annotation.any(axis=(1, 2)).sum()),
        confusion=count_voxels(prediction, annotation, within=within),
        distance=stack_distance(prediction, annotation, rows=neighbourhood[0], series=series),
        is_detected=is_detected,
        texture=annotated.texture if annotated else "",
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
