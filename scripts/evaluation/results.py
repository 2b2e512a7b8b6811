"""Figures of an evaluated series, annotated with nodules or with classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.datasets.candidates import Candidate
from scripts.evaluation.figures.classes import (
    Matrix,
    class_confusion,
    confusion_matrix,
    merge_unknown,
)
from scripts.evaluation.figures.confusion import Confusion, count_voxels
from scripts.evaluation.figures.detection import Detection, detect
from scripts.evaluation.figures.froc import Marks, mark_scan
from scripts.evaluation.figures.nodules import NoduleResult, evaluate_nodules, stack_distance
from scripts.evaluation.figures.series_candidates import (
    excluded_points,
    nodule_points,
    series_candidates,
)
from scripts.evaluation.figures.surface import SurfaceDistance
from scripts.evaluation.series import Series


@dataclass(frozen=True, kw_only=True)
class SeriesResult:
    """Extent of one evaluated series; its figures are in the subclasses.

    Args:
        uid: SeriesInstanceUID, or the series' name in the data set.
        patient: id of the patient, for grouping; never written to files.
        slices: number of evaluated slices.
        slices_in_volume: number of slices of the scan; None if unknown.
        is_whole: whether the whole volume was evaluated; None if unknown.
        duplicates: number of repeated evaluations of slices.
        contradictions: number of duplicates with a different prediction.
    """

    uid: str
    patient: str
    slices: int
    slices_in_volume: int | None
    is_whole: bool | None
    duplicates: int
    contradictions: int


def _extent(series: Series) -> dict[str, Any]:
    """Return the fields of :class:`SeriesResult`."""
    same = ("uid", "patient", "slices_in_volume", "is_whole", "duplicates", "contradictions")
    return {"slices": len(series.slices), **{name: getattr(series, name) for name in same}}


@dataclass(frozen=True, kw_only=True)
class NoduleSeries(SeriesResult):
    """Figures of one series annotated with nodules.

    Args:
        nodules: figures of each nodule.
        planes: index in the volume, number of nodules and counts of each evaluated slice.
        volume: counts over all evaluated slices.
        distance: surface distances over all evaluated slices.
        detection: candidates, and the nodules that they hit.
        candidates: with their confidence, also fainter ones; of whole scans only.
        marks: these candidates by LUNA16's rules; None without confidence.
    """

    nodules: list[NoduleResult]
    planes: list[tuple[int, int, Confusion]]
    volume: Confusion
    distance: SurfaceDistance
    detection: Detection
    candidates: tuple[Candidate, ...] = ()
    marks: Marks | None = None


@dataclass(frozen=True, kw_only=True)
class ClassSeries(SeriesResult):
    """Figures of one series annotated with classes.

    Args:
        known: whether each class, background included, was annotated.
        matrix: (C, C) voxel counts, annotated by predicted; see
            :mod:`scripts.evaluation.figures.classes`.
        classes: value of each known foreground class -> its counts against all others, and its
            surface distances.
        voxel_ml: volume of a voxel in ml.
    """

    known: tuple[bool, ...]
    matrix: Matrix
    classes: dict[int, tuple[Confusion, SurfaceDistance]]
    voxel_ml: float

    def mean(self, figure: str) -> float:
        """Return the mean ``iou`` or ``dice`` of the known foreground classes; NaN without any."""
        values = [getattr(confusion, figure) for confusion, _ in self.classes.values()]
        return float(np.mean(values)) if values else math.nan


def evaluate_instances(series: Series, *, margin_mm: float) -> NoduleSeries:
    """Compute the figures of a series annotated with nodules."""
    annotation = series.instances > 0
    stacks = zip(series.slices, series.prediction, series.instances, strict=True)
    planes = [
        (int(index), len(np.unique(plane[plane > 0])), count_voxels(predicted, plane > 0))
        for index, predicted, plane in stacks
    ]
    rows = slice(0, len(series.slices))
    detection = detect(series)
    candidates, marks = _marked(series)
    return NoduleSeries(
        **_extent(series),
        nodules=evaluate_nodules(series, detection.nodules, margin_mm=margin_mm),
        planes=planes,
        volume=sum((confusion for _, _, confusion in planes), Confusion()),
        distance=stack_distance(series.prediction, annotation, rows=rows, series=series),
        detection=detection,
        candidates=candidates,
        marks=marks,
    )


def _marked(series: Series) -> tuple[tuple[Candidate, ...], Marks | None]:
    """Return the candidates of a whole scan, and what they lie on; none without confidence."""
    if series.confidence is None or not series.is_whole:
        return (), None
    candidates = series_candidates(series)
    return tuple(candidates), mark_scan(candidates, nodule_points(series), excluded_points(series))


def evaluate_classes(series: Series, known: Sequence[bool]) -> ClassSeries:
    """Compute the figures of a series annotated with classes.

    Args:
        series: a series with class values as predictions and instances.
        known: whether each class was annotated.
    """
    prediction = merge_unknown(np.asarray(series.prediction, np.uint8), known)
    annotation = series.instances
    matrix = confusion_matrix(prediction, annotation, known)
    rows = slice(0, len(series.slices))
    classes = {}
    for value in (k for k in range(1, len(known)) if known[k]):
        masks = prediction == value, annotation == value
        distance = stack_distance(*masks, rows=rows, series=series)
        classes[value] = class_confusion(matrix, value), distance
    return ClassSeries(
        **_extent(series),
        known=tuple(map(bool, known)),
        matrix=matrix,
        classes=classes,
        voxel_ml=math.prod(series.spacing_mm) / 1000,
    )


def pooled_matrix(results: Sequence[ClassSeries], classes: int) -> Matrix:
    """Add up the confusion matrices of all series."""
    return sum((result.matrix for result in results), np.zeros((classes, classes), np.int64))
