"""The classes of every series: voxels, overlap, distances in mm, millilitres."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
from scripts.evaluation.confusion import Confusion
from scripts.evaluation.nodules import stack_distance
from scripts.evaluation.series import Series
from scripts.evaluation.surface import SurfaceDistance

OVERLAPS = ("iou", "dice")
DISTANCES = ("assd_mm", "hd95_mm")
CLASS_COLUMNS = (
    *("series_uid", "patient", "class", "name", "known", "slices_evaluated", "whole_volume"),
    *("tp", "fp", "fn", "tn", "iou", "dice", "sensitivity", "specificity"),
    *("annotated_ml", "predicted_ml", *DISTANCES, "distance_kind"),
)
VOLUME_COLUMNS = (
    *("series_uid", "patient", "slices_evaluated", "slices_in_volume", "whole_volume"),
    *("classes_known", "iou_mean", "dice_mean", "pixel_accuracy"),
)

Row = dict[str, Any]


@dataclass(frozen=True)
class ClassResult:
    """One foreground class of one series in which it is known.

    Args:
        value: of the class in the label map.
        confusion: voxels, this class against all others.
        distance: in mm.
        distance_kind: see :func:`~scripts.evaluation.nodules.stack_distance`.
    """

    value: int
    confusion: Confusion
    distance: SurfaceDistance
    distance_kind: str


@dataclass(frozen=True)
class SeriesClasses:
    """All classes of one series.

    Args:
        uid: SeriesInstanceUID, or the name that the data gave it.
        patient: the patient's id; for grouping, never written.
        known: for each class, background included, whether the annotation tells of it.
        matrix: (C, C) voxels, annotated by predicted; see :mod:`scripts.evaluation.classes`.
        classes: the known foreground classes.
        slices: number of evaluated slices.
        slices_in_volume: None when unknown.
        voxel_ml: volume of a voxel.
        duplicates: slices that came more than once.
    """

    uid: str
    patient: str
    known: tuple[bool, ...]
    matrix: Matrix
    classes: tuple[ClassResult, ...]
    slices: int
    slices_in_volume: int | None
    voxel_ml: float
    duplicates: int

    @property
    def is_whole(self) -> bool | None:
        """Whether the whole volume was evaluated; None when that is not known."""
        return None if self.slices_in_volume is None else self.slices == self.slices_in_volume

    def mean(self, figure: str) -> float:
        """Average ``iou`` or ``dice`` over the known foreground classes; NaN without any."""
        values = [getattr(result.confusion, figure) for result in self.classes]
        return float(np.mean(values)) if values else math.nan


def evaluate_classes(series: Series, known: Sequence[bool]) -> SeriesClasses:
    """Work out every figure of one series.

    Args:
        series: its predictions and instances are class values.
        known: for each class, whether the annotation tells of it.
    """
    prediction = merge_unknown(np.asarray(series.prediction, np.uint8), known)
    annotation = series.instances
    matrix = confusion_matrix(prediction, annotation, known)
    rows = slice(0, len(series.slices))
    results = []
    for value in (k for k in range(1, len(known)) if known[k]):
        masks = prediction == value, annotation == value
        distance, kind = stack_distance(*masks, rows=rows, series=series)
        results.append(ClassResult(value, class_confusion(matrix, value), distance, kind))
    return SeriesClasses(
        uid=series.uid,
        patient=series.patient,
        known=tuple(map(bool, known)),
        matrix=matrix,
        classes=tuple(results),
        slices=len(series.slices),
        slices_in_volume=series.slices_in_volume,
        voxel_ml=math.prod(series.spacing_mm) / 1000,
        duplicates=series.duplicates,
    )


def class_rows(result: SeriesClasses, patient: int, names: Sequence[str]) -> list[Row]:
    """Return a row for each foreground class, also the unknown ones, with :data:`CLASS_COLUMNS`."""
    found = {one.value: one for one in result.classes}
    return [
        {
            "series_uid": result.uid,
            "patient": patient,
            "class": value,
            "name": names[value],
            "known": result.known[value],
            "slices_evaluated": result.slices,
            "whole_volume": result.is_whole,
            **_cells(found.get(value), result.voxel_ml),
        }
        for value in range(1, len(names))
    ]


def _cells(result: ClassResult | None, voxel_ml: float) -> Row:
    """Figures of a class; empty where it is unknown."""
    if result is None:
        return dict.fromkeys(CLASS_COLUMNS[7:])
    counts = result.confusion
    figures = ("tp", "fp", "fn", "tn", *OVERLAPS, "sensitivity", "specificity")
    return {
        **{name: getattr(counts, name) for name in figures},
        "annotated_ml": (counts.tp + counts.fn) * voxel_ml,
        "predicted_ml": (counts.tp + counts.fp) * voxel_ml,
        **{name: getattr(result.distance, name) for name in DISTANCES},
        "distance_kind": result.distance_kind,
    }


def volume_row(result: SeriesClasses, patient: int, names: Sequence[str]) -> Row:
    """Return the row of a series, with :data:`VOLUME_COLUMNS`."""
    known = [name for name, is_known in zip(names, result.known, strict=True) if is_known]
    return {
        "series_uid": result.uid,
        "patient": patient,
        "slices_evaluated": result.slices,
        "slices_in_volume": result.slices_in_volume,
        "whole_volume": result.is_whole,
        "classes_known": " ".join(known),
        "iou_mean": result.mean("iou"),
        "dice_mean": result.mean("dice"),
        "pixel_accuracy": pixel_accuracy(result.matrix),
    }


def confusion_rows(results: Sequence[SeriesClasses], names: Sequence[str]) -> list[Row]:
    """Return the pooled confusion matrix, a row for each annotated class."""
    total = pooled_matrix(results, len(names))
    return [
        {"annotated": name, **dict(zip(names, row, strict=True))}
        for name, row in zip(names, total.tolist(), strict=True)
    ]


def pooled_matrix(results: Sequence[SeriesClasses], classes: int) -> Matrix:
    """Add up the matrices of all series."""
    return sum((result.matrix for result in results), np.zeros((classes, classes), np.int64))


def known_of(case: Mapping[str, Any], classes: int) -> list[bool]:
    """Read from a case which classes its patient's annotation tells of.

    Raises:
        ValueError: when it does not say, or was prepared with another number of classes.
    """
    known = case.get("class_known")
    if known is None or len(known) != classes:
        raise ValueError(
            f"cases: each must have class_known, {classes} times true or false, got {known}; "
            "prepare again, with the classes that the config names"
        )
    return [bool(value) for value in known]
