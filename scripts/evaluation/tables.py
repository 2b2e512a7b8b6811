"""Rows of the CSV files: nodules, slices, classes and series.

Patients are identified by an arbitrary number, which groups the rows of a patient, never by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from scripts.evaluation.figures.classes import Matrix, pixel_accuracy
from scripts.evaluation.figures.confusion import Confusion
from scripts.evaluation.figures.froc import RATES, Froc
from scripts.evaluation.figures.surface import SurfaceDistance
from scripts.evaluation.results import ClassSeries, NoduleSeries, SeriesResult, pooled_matrix

OVERLAPS = ("iou", "dice")
DISTANCES = ("assd_mm", "hd95_mm")
COUNT_COLUMNS = ("tp", "fp", "fn", "tn")
CONFUSION_COLUMNS = (*COUNT_COLUMNS, "dice", "iou", "sensitivity", "specificity")
DISTANCE_COLUMNS = (*DISTANCES, "distance_kind")
NODULE_COLUMNS = (
    *("series_uid", "patient", "nodule", "diameter_mm", "diameter_from", "size_group"),
    *("texture", "slices", "detected", *CONFUSION_COLUMNS, *DISTANCE_COLUMNS),
)
SLICE_COLUMNS = ("series_uid", "patient", "slice", "nodules", *CONFUSION_COLUMNS)
CANDIDATE_COLUMNS = ("candidates", "false_positives", "candidates_on_excluded")
EXTENT_COLUMNS = ("slices_evaluated", "slices_in_volume", "whole_volume")
VOLUME_COLUMNS = (
    *("series_uid", "patient", *EXTENT_COLUMNS, "nodules"),
    *("nodules_detected", *CANDIDATE_COLUMNS, *CONFUSION_COLUMNS, *DISTANCE_COLUMNS),
)
FROC_COLUMNS = ("false_positives_per_scan", "sensitivity", "low_95", "high_95", "probability")
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
Tables = dict[str, tuple[Sequence[str], list[Row]]]
"""Name of a CSV file without its suffix -> columns and rows."""
Result = TypeVar("Result", bound=SeriesResult)


def nodule_tables(results: Sequence[NoduleSeries]) -> Tables:
    """Return the tables of an evaluation of nodules."""
    pairs = _with_numbers(results)
    return {
        "per_nodule": (NODULE_COLUMNS, [row for pair in pairs for row in nodule_rows(*pair)]),
        "per_slice": (SLICE_COLUMNS, [row for pair in pairs for row in slice_rows(*pair)]),
        "per_volume": (VOLUME_COLUMNS, [volume_row(*pair) for pair in pairs]),
    }


def class_tables(results: Sequence[ClassSeries], names: Sequence[str]) -> Tables:
    """Return the tables of an evaluation of classes."""
    pairs = _with_numbers(results)
    matrix = pooled_matrix(results, len(names))
    return {
        "per_class": (CLASS_COLUMNS, [row for pair in pairs for row in class_rows(*pair, names)]),
        "per_volume": (CLASS_VOLUME_COLUMNS, [class_volume_row(*pair, names) for pair in pairs]),
        "confusion": (("annotated", *names), confusion_rows(matrix, names)),
    }


def _with_numbers(results: Sequence[Result]) -> list[tuple[Result, int]]:
    """Pair each series with its patient's number."""
    number = number_patients(results)
    return [(result, number[result.patient]) for result in results]


def number_patients(results: Sequence[SeriesResult]) -> dict[str, int]:
    """Number the patients from 1, in the order of the first UID of their series."""
    ordered = [result.patient for result in sorted(results, key=lambda result: result.uid)]
    return {patient: number for number, patient in enumerate(dict.fromkeys(ordered), start=1)}


def nodule_rows(result: NoduleSeries, patient: int) -> list[Row]:
    """Return one row per nodule, with :data:`NODULE_COLUMNS`."""
    return [
        {
            **_name_cells(result, patient),
            "nodule": nodule.nodule,
            "diameter_mm": round(nodule.diameter_mm, 3),
            "diameter_from": "annotation" if nodule.is_diameter_annotated else "mask",
            "size_group": nodule.size_group,
            "texture": nodule.texture,
            "slices": nodule.slices,
            "detected": nodule.is_detected,
            **_figure_cells(nodule.confusion, nodule.distance),
        }
        for nodule in result.nodules
    ]


def slice_rows(result: NoduleSeries, patient: int) -> list[Row]:
    """Return one row per evaluated slice, with :data:`SLICE_COLUMNS`."""
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
        "nodules_detected": len(result.detection.nodules),
        "candidates": result.detection.candidates,
        "false_positives": result.detection.false_positives,
        "candidates_on_excluded": result.detection.excluded,
        **_figure_cells(result.volume, result.distance),
    }


def froc_rows(froc: Froc) -> list[Row]:
    """Return one row per rate of LUNA16's score, with :data:`FROC_COLUMNS`."""
    return [
        {
            "false_positives_per_scan": rate,
            "sensitivity": point.value,
            "low_95": point.low,
            "high_95": point.high,
            "probability": froc.probability(rate),
        }
        for rate, point in zip(RATES, froc.points, strict=True)
    ]


def class_rows(result: ClassSeries, patient: int, names: Sequence[str]) -> list[Row]:
    """Return one row per foreground class, with :data:`CLASS_COLUMNS`.

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
    """Return a confusion matrix as one row per annotated class."""
    return [
        {"annotated": name, **dict(zip(names, row, strict=True))}
        for name, row in zip(names, matrix.tolist(), strict=True)
    ]


def _name_cells(result: SeriesResult, patient: int) -> Row:
    return {"series_uid": result.uid, "patient": patient}


def _extent_cells(result: SeriesResult) -> Row:
    cells = result.slices, result.slices_in_volume, result.is_whole
    return dict(zip(EXTENT_COLUMNS, cells, strict=True))


def _figure_cells(confusion: Confusion, distance: SurfaceDistance | None = None) -> Row:
    """Return counts with their ratios and, if measured, distances in mm."""
    cells = {name: getattr(confusion, name) for name in CONFUSION_COLUMNS}
    if distance is not None:
        cells |= {name: getattr(distance, name) for name in DISTANCES}
        cells["distance_kind"] = distance.kind
    return cells


def _class_cells(result: ClassSeries, value: int) -> Row:
    """Return the figures of a class; empty if it is unknown."""
    if value not in result.classes:
        return dict.fromkeys(CLASS_FIGURES)
    counts, distance = result.classes[value]
    return {
        **_figure_cells(counts, distance),
        "annotated_ml": (counts.tp + counts.fn) * result.voxel_ml,
        "predicted_ml": (counts.tp + counts.fp) * result.voxel_ml,
    }
