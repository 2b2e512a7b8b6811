"""Figures of every series, and its nodules, slices or classes, as rows for CSV files.

Patients are numbered, never named: the number groups the rows of one patient and means nothing
else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.evaluation.classes import (
    Matrix,
    class_confusion,
    confusion_matrix,
    merge_unknown,
    pixel_accuracy,
)
from scripts.evaluation.confusion import Confusion, count_voxels
from scripts.evaluation.nodules import (
    NoduleResult,
    count_false_positive_components,
    evaluate_nodules,
    size_group,
    stack_distance,
)
from scripts.evaluation.series import Series
from scripts.evaluation.surface import SurfaceDistance

OVERLAPS = ("iou", "dice")
DISTANCES = ("assd_mm", "hd95_mm")
COUNT_COLUMNS = ("tp", "fp", "fn", "tn")
CONFUSION_COLUMNS = (*COUNT_COLUMNS, "dice", "iou", "sensitivity", "specificity")
DISTANCE_COLUMNS = (*DISTANCES, "distance_kind")
NODULE_COLUMNS = (
    *("series_uid", "patient", "nodule", "diameter_mm", "diameter_from", "size_group"),
    *("slices", "detected", *CONFUSION_COLUMNS, *DISTANCE_COLUMNS),
)
SLICE_COLUMNS = ("series_uid", "patient", "slice", "nodules", *CONFUSION_COLUMNS)
EXTENT_COLUMNS = ("slices_evaluated", "slices_in_volume", "whole_volume")
VOLUME_COLUMNS = (
    *("series_uid", "patient", *EXTENT_COLUMNS, "nodules"),
    *("false_positive_components", *CONFUSION_COLUMNS, *DISTANCE_COLUMNS),
)
CLASS_FIGURES = (
    *(*COUNT_COLUMNS, *OVERLAPS, "sensitivity", "specificity"),
    *("annotated_ml", "predicted_ml", *DISTANCE_COLUMNS),
)
CLASS_COLUMNS = (
    *("series_uid", "patient", "class", "name", "known", "slices_evaluated", "whole_volume"),
    *CLASS_FIGURES,
)
CLASS_VOLUME_COLUMNS = (
    *("series_uid", "patient", *EXTENT_COLUMNS),
    *("classes_known", "iou_mean", "dice_mean", "pixel_accuracy"),
)

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SeriesResult:
    """Extent of one evaluated series; its figures are in the subclasses.

    Args:
        uid: SeriesInstanceUID, or the series' name in the data set.
        patient: the patient's id; for grouping, never written.
        slices: number of evaluated slices.
        slices_in_volume: None when unknown.
        is_whole: whether the whole volume was evaluated; None when unknown.
        duplicates: number of repeated evaluations of a slice.
        contradictions: how many of them were predicted differently.
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
        distance: in mm over all evaluated slices.
        false_positive_components: away from any nodule.
    """

    nodules: list[NoduleResult]
    planes: list[tuple[int, int, Confusion]]
    volume: Confusion
    distance: SurfaceDistance
    false_positive_components: int


@dataclass(frozen=True, kw_only=True)
class ClassSeries(SeriesResult):
    """Figures of one series annotated with classes.

    Args:
        known: for each class, background included, whether it was annotated.
        matrix: (C, C) voxels, annotated by predicted; see :mod:`scripts.evaluation.classes`.
        classes: of each known foreground class, by its value: voxels of this class against all
            others, and distances in mm.
        voxel_ml: volume of a voxel.
    """

    known: tuple[bool, ...]
    matrix: Matrix
    classes: dict[int, tuple[Confusion, SurfaceDistance]]
    voxel_ml: float

    def mean(self, figure: str) -> float:
        """Average ``iou`` or ``dice`` over the known foreground classes; NaN without any."""
        values = [getattr(confusion, figure) for confusion, _ in self.classes.values()]
        return float(np.mean(values)) if values else math.nan


def evaluate_instances(series: Series, *, margin_mm: float) -> NoduleSeries:
    """Compute every figure of one series annotated with nodules."""
    annotation = series.instances > 0
    stacks = zip(series.slices, series.prediction, series.instances, strict=True)
    planes = [
        (int(index), len(np.unique(plane[plane > 0])), count_voxels(predicted, plane > 0))
        for index, predicted, plane in stacks
    ]
    rows = slice(0, len(series.slices))
    return NoduleSeries(
        **_extent(series),
        nodules=evaluate_nodules(series, margin_mm=margin_mm),
        planes=planes,
        volume=sum((confusion for _, _, confusion in planes), Confusion()),
        distance=stack_distance(series.prediction, annotation, rows=rows, series=series),
        false_positive_components=count_false_positive_components(series, margin_mm=margin_mm),
    )


def evaluate_classes(series: Series, known: Sequence[bool]) -> ClassSeries:
    """Compute every figure of one series annotated with classes.

    Args:
        series: its predictions and instances are class values.
        known: for each class, whether it was annotated.
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


def number_patients(results: Sequence[SeriesResult]) -> dict[str, int]:
    """Number the patients from 1, in the order of their first series' UID."""
    ordered = [result.patient for result in sorted(results, key=lambda result: result.uid)]
    return {patient: number for number, patient in enumerate(dict.fromkeys(ordered), start=1)}


def nodule_rows(result: NoduleSeries, patient: int) -> list[Row]:
    """Return a row per nodule, with :data:`NODULE_COLUMNS`."""
    return [
        {
            **_name_cells(result, patient),
            "nodule": nodule.nodule,
            "diameter_mm": round(nodule.diameter_mm, 3),
            "diameter_from": "annotation" if nodule.is_diameter_annotated else "mask",
            "size_group": size_group(nodule.diameter_mm),
            "slices": nodule.slices,
            "detected": nodule.is_detected,
            **_figure_cells(nodule.confusion, nodule.distance),
        }
        for nodule in result.nodules
    ]


def slice_rows(result: NoduleSeries, patient: int) -> list[Row]:
    """Return a row per evaluated slice, with :data:`SLICE_COLUMNS`."""
    names = _name_cells(result, patient)
    return [
        {**names, "slice": index, "nodules": nodules, **_figure_cells(confusion)}
        for index, nodules, confusion in result.planes
    ]


def volume_row(result: NoduleSeries, patient: int) -> Row:
    """Return the row of a series annotated with nodules, with :data:`VOLUME_COLUMNS`."""
    return {
        **_name_cells(result, patient),
        **_extent_cells(result),
        "nodules": len(result.nodules),
        "false_positive_components": result.false_positive_components,
        **_figure_cells(result.volume, result.distance),
    }


def class_rows(result: ClassSeries, patient: int, names: Sequence[str]) -> list[Row]:
    """Return a row per foreground class, with :data:`CLASS_COLUMNS`.

    A class that is unknown in the series has a row without figures.
    """
    return [
        {
            **_name_cells(result, patient),
            "class": value,
            "name": names[value],
            "known": result.known[value],
            "slices_evaluated": result.slices,
            "whole_volume": result.is_whole,
            **_class_cells(result, value),
        }
        for value in range(1, len(names))
    ]


def class_volume_row(result: ClassSeries, patient: int, names: Sequence[str]) -> Row:
    """Return the row of a series annotated with classes, with :data:`CLASS_VOLUME_COLUMNS`."""
    known = [name for name, is_known in zip(names, result.known, strict=True) if is_known]
    return {
        **_name_cells(result, patient),
        **_extent_cells(result),
        "classes_known": " ".join(known),
        **{f"{figure}_mean": result.mean(figure) for figure in OVERLAPS},
        "pixel_accuracy": pixel_accuracy(result.matrix),
    }


def confusion_rows(matrix: Matrix, names: Sequence[str]) -> list[Row]:
    """Return a confusion matrix as a row per annotated class."""
    return [
        {"annotated": name, **dict(zip(names, row, strict=True))}
        for name, row in zip(names, matrix.tolist(), strict=True)
    ]


def pooled_matrix(results: Sequence[ClassSeries], classes: int) -> Matrix:
    """Add up the confusion matrices of all series."""
    return sum((result.matrix for result in results), np.zeros((classes, classes), np.int64))


def _name_cells(result: SeriesResult, patient: int) -> Row:
    return {"series_uid": result.uid, "patient": patient}


def _extent_cells(result: SeriesResult) -> Row:
    cells = result.slices, result.slices_in_volume, result.is_whole
    return dict(zip(EXTENT_COLUMNS, cells, strict=True))


def _figure_cells(confusion: Confusion, distance: SurfaceDistance | None = None) -> Row:
    """Return counts with their ratios and, where measured, distances in mm."""
    cells = {name: getattr(confusion, name) for name in CONFUSION_COLUMNS}
    if distance is not None:
        cells |= {name: getattr(distance, name) for name in DISTANCES}
        cells["distance_kind"] = distance.kind
    return cells


def _class_cells(result: ClassSeries, value: int) -> Row:
    """Return the figures of a class; empty where it is unknown."""
    if value not in result.classes:
        return dict.fromkeys(CLASS_FIGURES)
    counts, distance = result.classes[value]
    return {
        **_figure_cells(counts, distance),
        "annotated_ml": (counts.tp + counts.fn) * result.voxel_ml,
        "predicted_ml": (counts.tp + counts.fp) * result.voxel_ml,
    }
