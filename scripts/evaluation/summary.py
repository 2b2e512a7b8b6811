"""What an evaluation says as a whole: every figure under its exact name, with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scripts.evaluation.confusion import Confusion
from scripts.evaluation.intervals import RESAMPLES, Figure, mean, ratio_of_sums
from scripts.evaluation.nodules import SIZE_GROUPS, NoduleResult, size_group
from scripts.evaluation.tables import SeriesResult

CONFUSION_FIGURES = ("dice", "iou", "sensitivity", "specificity")
HEADLINES = (
    *("dice_per_nodule_mean", "dice_per_slice_mean", "dice_per_volume_mean", "dice_pooled"),
    *("iou_per_nodule_mean", "sensitivity_pooled", "specificity_pooled"),
    *("nodules_detected_share", "false_positives_per_scan_mean", "hd95_mm_per_nodule_mean"),
)
Entry = dict[str, Any]


def definitions(margin_mm: float) -> dict[str, str]:
    """Say in words what the names of the figures mean."""
    return {
        "sensitivity": "TP/(TP+FN); undefined where nothing is annotated",
        "specificity": "TN/(FP+TN)",
        "dice": "2TP/(2TP+FP+FN); 1 where nothing is annotated and nothing predicted, "
        "0 where something is predicted though nothing is annotated",
        "iou": "TP/(TP+FP+FN); empty cases as for dice",
        "per_nodule": f"inside the nodule's bounding box grown by {margin_mm:g} mm, up to "
        "the first slice that was not evaluated, voxels of other nodules left out",
        "detected": "at least one predicted voxel on the annotation",
        "size_groups": "annotated diameter d in mm: d < 6, 6 <= d <= 10, 10 < d <= 20, d > 20; of "
        "the mask's ball or disc where the annotation gives none",
        "per_slice": "every evaluated slice; per_slice_with_nodule: those with an annotation",
        "per_volume": "all evaluated slices of a series together",
        "pooled": "all voxels of all evaluated slices of all series together",
        "false_positives_per_scan": "predicted components with no voxel in any nodule's "
        "neighbourhood (its grown box); neighbours by face, edge or corner",
        "assd_mm": "mean distance between the surface voxels of both masks, both ways; undefined "
        "where one is empty or slices are missing in between",
        "hd95_mm": "larger of the two directed 95th percentiles of these distances",
        "interval_95": f"percentile bootstrap over patients, {RESAMPLES} resamples",
        "undefined": "number of cases that have no value; they are counted here, not averaged",
        "both_empty": "number of cases with nothing annotated and nothing predicted",
        "predicted_in_empty": "number of cases with a prediction though nothing is annotated",
        "missed": "number of cases with an annotation and nothing predicted",
    }


def summarise(results: Sequence[SeriesResult], *, seed: int = 0) -> dict[str, Entry]:
    """Work out every figure of an evaluation.

    Args:
        results: of each series.
        seed: of the bootstrap.

    Returns:
        Under each name: value (NaN when undefined), n, patients, interval_95, interval_reason and,
        for means, the counts that :func:`definitions` explains.
    """
    nodules = [(result.patient, nodule) for result in results for nodule in result.nodules]
    planes = [(r.patient, confusion) for r in results for _, _, confusion in r.slices]
    occupied = [(patient, c) for patient, c in planes if c.tp + c.fn > 0]
    volumes = [(result.patient, result.volume) for result in results]
    per_nodule = [(patient, nodule.confusion) for patient, nodule in nodules]
    return {
        **_means("per_nodule", per_nodule, seed),
        **_distances("per_nodule", [(p, n.distance) for p, n in nodules], seed),
        **_shares(nodules, seed),
        **_by_size(nodules, seed),
        **_means("per_slice", planes, seed),
        **_means("per_slice_with_nodule", occupied, seed),
        **_means("per_volume", volumes, seed),
        **_distances("per_volume", [(r.patient, r.distance) for r in results], seed),
        **_pooled(volumes, seed),
        "false_positives_per_scan_mean": _false_positives(results, seed),
    }


def counts(results: Sequence[SeriesResult]) -> dict[str, Any]:
    """Count what was evaluated."""
    return {
        "patients": len({result.patient for result in results}),
        "series": len(results),
        "series_whole": sum(result.is_whole is True for result in results),
        "series_of_unknown_length": sum(result.is_whole is None for result in results),
        "slices": sum(len(result.slices) for result in results),
        "slices_with_nodule": sum(n > 0 for result in results for _, n, _ in result.slices),
        "nodules": sum(len(result.nodules) for result in results),
        "duplicate_slices": sum(result.duplicates for result in results),
        "contradicting_duplicates": sum(result.contradictions for result in results),
    }


def headline(figures: Mapping[str, Entry]) -> dict[str, float]:
    """Pick the figures for an engine's metrics; those that are undefined are left out."""
    values = {name: float(figures[name]["value"]) for name in HEADLINES}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def table(figures: Mapping[str, Entry]) -> str:
    """Lay the headline figures and the size groups out for a terminal."""
    sizes = [f"dice_per_nodule_{group}_mean" for group in SIZE_GROUPS]
    lines = [f"{'figure':<38}{'value':>9}  {'95 % interval':<18}{'n':>6}"]
    for name in (*HEADLINES, *sizes):
        entry = figures[name]
        value = "-" if math.isnan(entry["value"]) else f"{entry['value']:.4f}"
        ends = entry["interval_95"]
        interval = f"{ends[0]:.4f} - {ends[1]:.4f}" if ends else "-"
        lines.append(f"{name:<38}{value:>9}  {interval:<18}{entry['n']:>6}")
    return "\n".join(lines)


def _entry(figure: Figure, **more: int) -> Entry:
    """Write a figure down."""
    return {
        "value": figure.value,
        "n": figure.n,
        "patients": figure.patients,
        "interval_95": figure.interval_95,
        "interval_reason": figure.reason,
        **more,
    }


def _means(unit: str, cases: Sequence[tuple[str, Confusion]], seed: int) -> dict[str, Entry]:
    """Average the four figures over nodules, slices or volumes."""
    patients = [patient for patient, _ in cases]
    empties = {
        "both_empty": sum(c.is_empty for _, c in cases),
        "predicted_in_empty": sum(c.is_false_alarm for _, c in cases),
        "missed": sum(c.is_missed for _, c in cases),
    }
    return {
        f"{name}_{unit}_mean": _mean([getattr(c, name) for _, c in cases], patients, seed, empties)
        for name in CONFUSION_FIGURES
    }


def _mean(
    values: Sequence[float], patients: Sequence[str], seed: int, empties: Mapping[str, int]
) -> Entry:
    """Average values, counting those that are undefined."""
    undefined = sum(math.isnan(value) for value in values)
    return _entry(mean(values, patients, seed=seed), undefined=undefined, **empties)


def _distances(unit: str, cases: Sequence[tuple[str, Any]], seed: int) -> dict[str, Entry]:
    """Average the surface distances."""
    patients = [patient for patient, _ in cases]
    return {
        f"{name}_{unit}_mean": _mean([getattr(d, name) for _, d in cases], patients, seed, {})
        for name in ("assd_mm", "hd95_mm")
    }


def _shares(nodules: Sequence[tuple[str, NoduleResult]], seed: int) -> dict[str, Entry]:
    """Give the share of nodules that were detected."""
    found = [float(nodule.is_detected) for _, nodule in nodules]
    patients = [patient for patient, _ in nodules]
    return {"nodules_detected_share": _entry(mean(found, patients, seed=seed))}


def _by_size(nodules: Sequence[tuple[str, NoduleResult]], seed: int) -> dict[str, Entry]:
    """Give Dice and the detected share of every size group."""
    entries = {}
    for group in SIZE_GROUPS:
        members = [(p, n) for p, n in nodules if size_group(n.diameter_mm) == group]
        cases = [(patient, nodule.confusion) for patient, nodule in members]
        dice = f"dice_per_nodule_{group}_mean"
        entries[dice] = _means(f"per_nodule_{group}", cases, seed)[dice]
        entries[f"nodules_detected_share_{group}"] = _shares(members, seed)[
            "nodules_detected_share"
        ]
    return entries


FRACTIONS: Mapping[str, Callable[[Confusion], tuple[int, int]]] = {
    "dice": lambda c: (2 * c.tp, 2 * c.tp + c.fp + c.fn),
    "iou": lambda c: (c.tp, c.tp + c.fp + c.fn),
    "sensitivity": lambda c: (c.tp, c.tp + c.fn),
    "specificity": lambda c: (c.tn, c.fp + c.tn),
}


def _pooled(volumes: Sequence[tuple[str, Confusion]], seed: int) -> dict[str, Entry]:
    """Put all voxels together."""
    entries = {}
    total = sum((confusion for _, confusion in volumes), Confusion())
    for name, fraction in FRACTIONS.items():
        parts = [fraction(confusion) for _, confusion in volumes]
        figure = ratio_of_sums(
            [part[0] for part in parts],
            [part[1] for part in parts],
            [patient for patient, _ in volumes],
            seed=seed,
        )
        value = getattr(total, name) if volumes else math.nan  # nothing anywhere: Dice and IoU 1
        entries[f"{name}_pooled"] = {**_entry(figure), "value": value, "n": len(volumes)}
    return entries


def _false_positives(results: Sequence[SeriesResult], seed: int) -> Entry:
    """Average the false positive components over scans."""
    found = [float(result.false_positive_components) for result in results]
    figure = mean(found, [result.patient for result in results], seed=seed)
    scans = sum(result.false_positive_components > 0 for result in results)
    return _entry(figure, total=int(sum(found)), scans_with_any=scans)
