"""What an evaluation of several classes says as a whole, every figure with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scripts.evaluation.class_results import DISTANCES, OVERLAPS, SeriesClasses
from scripts.evaluation.classes import pixel_accuracy
from scripts.evaluation.confusion import Confusion
from scripts.evaluation.intervals import RESAMPLES, Figure, mean, ratio_of_sums
from scripts.evaluation.summary import FRACTIONS

Entry = dict[str, Any]

DEFINITIONS = {
    "iou": "TP/(TP+FP+FN); 1 where nothing is annotated and nothing predicted, 0 where something "
    "is predicted though nothing is annotated",
    "dice": "2TP/(2TP+FP+FN); empty cases as for iou",
    "pixel_accuracy": "share of voxels, background included, predicted as annotated",
    "per_volume": "all evaluated slices of a series together, then the mean over series",
    "pooled": "all voxels of all evaluated slices of all series together",
    "mean_of_classes": "mean over the foreground classes that are known; per_volume: of each "
    "series, then over series; pooled: of the pooled figures, classes known in no series left out",
    "unknown classes": "a class that nobody annotated in a patient enters no average there; "
    "predictions of it count as background; n says how many series tell of a class",
    "assd_mm": "mean distance between the surface voxels of both masks, both ways; undefined where "
    "one is empty or slices are missing in between",
    "hd95_mm": "larger of the two directed 95th percentiles of these distances",
    "interval_95": f"percentile bootstrap over patients, {RESAMPLES} resamples",
    "undefined": "number of series that have no value; they are counted here, not averaged",
    "confusion": "voxels; row: annotated class, column: predicted class",
}


def summarise(
    results: Sequence[SeriesClasses], names: Sequence[str], *, seed: int = 0
) -> dict[str, Entry]:
    """Work out every figure of an evaluation.

    Args:
        results: of each series.
        names: of all classes, background first.
        seed: of the bootstrap.

    Returns:
        Under each name: value (NaN when undefined), n, patients, interval_95, interval_reason;
        ``liver tumour`` is written ``liver_tumour`` in names.
    """
    figures: dict[str, Entry] = {}
    for value, name in enumerate(names[1:], start=1):
        figures.update(_of_class(results, value, name.replace(" ", "_"), seed))
    patients = [result.patient for result in results]
    for figure in OVERLAPS:
        values = [result.mean(figure) for result in results]
        figures[f"{figure}_mean_of_classes_per_volume_mean"] = _mean(values, patients, seed)
        pooled = [figures[f"{figure}_{n.replace(' ', '_')}_pooled"]["value"] for n in names[1:]]
        told = [value for value in pooled if not math.isnan(value)]
        figures[f"{figure}_mean_of_classes_pooled"] = {
            "value": float(np.mean(told)) if told else math.nan,
            "n": len(told),
            "patients": len(set(patients)),
            "interval_95": None,
            "interval_reason": "a mean of pooled figures; see those of the classes",
        }
    figures.update(_accuracy(results, patients, seed))
    return figures


def _of_class(
    results: Sequence[SeriesClasses], value: int, name: str, seed: int
) -> dict[str, Entry]:
    """Figures of one class over the series that tell of it."""
    found = [(r.patient, one) for r in results for one in r.classes if one.value == value]
    patients = [patient for patient, _ in found]
    entries = {}
    for figure in OVERLAPS:
        values = [getattr(one.confusion, figure) for _, one in found]
        entries[f"{figure}_{name}_per_volume_mean"] = _mean(values, patients, seed)
        parts = [FRACTIONS[figure](one.confusion) for _, one in found]
        pooled = ratio_of_sums([p[0] for p in parts], [p[1] for p in parts], patients, seed=seed)
        entries[f"{figure}_{name}_pooled"] = {
            **_entry(pooled),
            "value": getattr(sum((one.confusion for _, one in found), Confusion()), figure)
            if found
            else math.nan,
            "n": len(found),
        }
    for figure in DISTANCES:
        values = [getattr(one.distance, figure) for _, one in found]
        entries[f"{figure}_{name}_per_volume_mean"] = _mean(values, patients, seed)
    return entries


def _accuracy(
    results: Sequence[SeriesClasses], patients: Sequence[str], seed: int
) -> dict[str, Entry]:
    right = [float(np.trace(result.matrix)) for result in results]
    total = [float(result.matrix.sum()) for result in results]
    values = [pixel_accuracy(result.matrix) for result in results]
    return {
        "pixel_accuracy_per_volume_mean": _mean(values, patients, seed),
        "pixel_accuracy_pooled": _entry(ratio_of_sums(right, total, patients, seed=seed)),
    }


def _mean(values: Sequence[float], patients: Sequence[str], seed: int) -> Entry:
    undefined = sum(math.isnan(value) for value in values)
    return {**_entry(mean(values, patients, seed=seed)), "undefined": undefined}


def _entry(figure: Figure) -> Entry:
    return {
        "value": figure.value,
        "n": figure.n,
        "patients": figure.patients,
        "interval_95": figure.interval_95,
        "interval_reason": figure.reason,
    }


def counts(results: Sequence[SeriesClasses], names: Sequence[str]) -> dict[str, Any]:
    """Count what was evaluated, and in how many series each class is known."""
    known = {n: sum(r.known[k] for r in results) for k, n in enumerate(names) if k}
    return {
        "patients": len({result.patient for result in results}),
        "series": len(results),
        "series_whole": sum(result.is_whole is True for result in results),
        "series_of_unknown_length": sum(result.is_whole is None for result in results),
        "slices": sum(result.slices for result in results),
        "duplicate_slices": sum(result.duplicates for result in results),
        "series_in_which_known": known,
    }


def headline(figures: Mapping[str, Entry]) -> dict[str, float]:
    """Pick the figures for an engine's metrics: all that are defined."""
    return {
        name: float(entry["value"])
        for name, entry in figures.items()
        if not math.isnan(entry["value"])
    }


def table(figures: Mapping[str, Entry], names: Sequence[str]) -> str:
    """Lay the figures of every class out for a terminal."""
    columns = ("iou pooled", "dice pooled", "iou/volume", "dice/volume", "hd95 mm", "series")
    lines = [f"{'class':<18}" + "".join(f"{column:>13}" for column in columns)]
    for name in [*(n.replace(" ", "_") for n in names[1:]), "mean_of_classes"]:
        cells = [figures[f"{figure}_{name}_pooled"]["value"] for figure in OVERLAPS]
        cells += [figures[f"{figure}_{name}_per_volume_mean"]["value"] for figure in OVERLAPS]
        cells.append(figures.get(f"hd95_mm_{name}_per_volume_mean", {}).get("value", math.nan))
        shown = "".join(f"{'-' if math.isnan(cell) else f'{cell:.4f}':>13}" for cell in cells)
        count = figures[f"iou_{name}_per_volume_mean"]["n"]
        lines.append(f"{name.replace('_', ' '):<18}{shown}{count:>13}")
    accuracy = figures["pixel_accuracy_pooled"]["value"]
    return "\n".join([*lines, f"pixel accuracy, pooled: {accuracy:.4f}"])
