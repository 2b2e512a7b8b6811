"""The figures of every nodule, slice and volume, as rows for CSV files.

Patients are numbered, never named: the number groups rows of one patient and means nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

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

CONFUSION_COLUMNS = ("tp", "fp", "fn", "tn", "dice", "iou", "sensitivity", "specificity")
DISTANCE_COLUMNS = ("assd_mm", "hd95_mm", "distance_kind")
NODULE_COLUMNS = (
    *("series_uid", "patient", "nodule", "diameter_mm", "diameter_from", "size_group"),
    *("slices", "detected", *CONFUSION_COLUMNS, *DISTANCE_COLUMNS),
)
SLICE_COLUMNS = ("series_uid", "patient", "slice", "nodules", *CONFUSION_COLUMNS)
VOLUME_COLUMNS = (
    *("series_uid", "patient", "slices_evaluated", "slices_in_volume", "whole_volume", "nodules"),
    *("false_positive_components", *CONFUSION_COLUMNS, *DISTANCE_COLUMNS),
)

Row = dict[str, Any]


class OfPatient(Protocol):
    """A result of one series of one patient."""

    @property
    def uid(self) -> str:
        """Of the series."""

    @property
    def patient(self) -> str:
        """The patient's id."""


@dataclass(frozen=True)
class SeriesResult:
    """All figures of one series.

    Args:
        uid: SeriesInstanceUID.
        patient: the patient's id; for grouping, never written.
        nodules: of each nodule.
        slices: index in the volume, number of nodules and counts of each evaluated slice.
        volume: counts over all evaluated slices.
        distance: in mm over all evaluated slices.
        distance_kind: see :func:`~scripts.evaluation.nodules.stack_distance`.
        false_positive_components: away from any nodule.
        slices_in_volume: None when unknown.
        duplicates: slices that came more than once.
        contradictions: how many of them were predicted differently.
    """

    uid: str
    patient: str
    nodules: list[NoduleResult]
    slices: list[tuple[int, int, Confusion]]
    volume: Confusion
    distance: SurfaceDistance
    distance_kind: str
    false_positive_components: int
    slices_in_volume: int | None
    duplicates: int
    contradictions: int

    @property
    def is_whole(self) -> bool | None:
        """Whether the whole volume was evaluated; None when that is not known."""
        if self.slices_in_volume is None:
            return None
        return len(self.slices) == self.slices_in_volume


def evaluate_series(series: Series, *, margin_mm: float) -> SeriesResult:
    """Work out every figure of one series."""
    annotation = series.instances > 0
    slices = [
        (int(index), len(np.unique(plane[plane > 0])), count_voxels(predicted, plane > 0))
        for index, predicted, plane in zip(
            series.slices, series.prediction, series.instances, strict=True
        )
    ]
    rows = slice(0, len(series.slices))
    distance, kind = stack_distance(series.prediction, annotation, rows=rows, series=series)
    return SeriesResult(
        uid=series.uid,
        patient=series.patient,
        nodules=evaluate_nodules(series, margin_mm=margin_mm),
        slices=slices,
        volume=sum((confusion for _, _, confusion in slices), Confusion()),
        distance=distance,
        distance_kind=kind,
        false_positive_components=count_false_positive_components(series, margin_mm=margin_mm),
        slices_in_volume=series.slices_in_volume,
        duplicates=series.duplicates,
        contradictions=series.contradictions,
    )


def number_patients(results: Iterable[OfPatient]) -> dict[str, int]:
    """Number the patients from 1, in the order of their first series' UID."""
    ordered = [result.patient for result in sorted(results, key=lambda result: result.uid)]
    return {patient: number for number, patient in enumerate(dict.fromkeys(ordered), start=1)}


def nodule_rows(result: SeriesResult, patient: int) -> list[Row]:
    """Return a row per nodule, with :data:`NODULE_COLUMNS`."""
    return [
        {
            "series_uid": result.uid,
            "patient": patient,
            "nodule": nodule.nodule,
            "diameter_mm": round(nodule.diameter_mm, 3),
            "diameter_from": "annotation" if nodule.is_diameter_annotated else "mask",
            "size_group": size_group(nodule.diameter_mm),
            "slices": nodule.slices,
            "detected": nodule.is_detected,
            **_confusion_cells(nodule.confusion),
            **_distance_cells(nodule.distance, nodule.distance_kind),
        }
        for nodule in result.nodules
    ]


def slice_rows(result: SeriesResult, patient: int) -> list[Row]:
    """Return a row per evaluated slice, with :data:`SLICE_COLUMNS`."""
    return [
        {
            "series_uid": result.uid,
            "patient": patient,
            "slice": index,
            "nodules": nodules,
            **_confusion_cells(confusion),
        }
        for index, nodules, confusion in result.slices
    ]


def volume_row(result: SeriesResult, patient: int) -> Row:
    """Return the row of a series, with :data:`VOLUME_COLUMNS`."""
    return {
        "series_uid": result.uid,
        "patient": patient,
        "slices_evaluated": len(result.slices),
        "slices_in_volume": result.slices_in_volume,
        "whole_volume": result.is_whole,
        "nodules": len(result.nodules),
        "false_positive_components": result.false_positive_components,
        **_confusion_cells(result.volume),
        **_distance_cells(result.distance, result.distance_kind),
    }


def _confusion_cells(confusion: Confusion) -> Row:
    """Return counts and the figures made of them."""
    return {name: getattr(confusion, name) for name in CONFUSION_COLUMNS}


def _distance_cells(distance: SurfaceDistance, kind: str) -> Row:
    """Return distances in mm and how they were measured."""
    return {"assd_mm": distance.assd_mm, "hd95_mm": distance.hd95_mm, "distance_kind": kind}
