"""Figures of a whole evaluation, by name, with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from scripts.datasets.ratings import TEXTURE_GROUPS
from scripts.evaluation.figures.classes import pixel_accuracy
from scripts.evaluation.figures.confusion import Confusion
from scripts.evaluation.figures.intervals import RESAMPLES, Figure, mean, ratio_of_sums
from scripts.evaluation.figures.nodules import SIZE_GROUPS, NoduleResult
from scripts.evaluation.figures.surface import SurfaceDistance
from scripts.evaluation.results import ClassSeries, NoduleSeries, SeriesResult
from scripts.evaluation.tables import DISTANCES, OVERLAPS

FRACTIONS: Mapping[str, Callable[[Confusion], tuple[int, int]]] = {
    "dice": lambda c: (2 * c.tp, 2 * c.tp + c.fp + c.fn),
    "iou": lambda c: (c.tp, c.tp + c.fp + c.fn),
    "sensitivity": lambda c: (c.tp, c.tp + c.fn),
    "specificity": lambda c: (c.tn, c.fp + c.tn),
}
NODULE_HEADLINES = (
    *("nodules_detected_share", "false_positives_per_scan_mean", "dice_per_nodule_mean"),
    *("dice_per_slice_mean", "dice_per_volume_mean", "dice_pooled", "iou_per_nodule_mean"),
    *("sensitivity_pooled", "specificity_pooled", "hd95_mm_per_nodule_mean"),
)
Entry = dict[str, Any]

_SHARED_DEFINITIONS = {
    "pooled": "all voxels of all evaluated slices of all series together",
    "assd_mm": "mean distance between the surface voxels of both masks, in both directions; "
    "undefined if one mask is empty or slices are missing in between",
    "hd95_mm": "larger of the two directed 95th percentiles of these distances",
    "interval_95": f"percentile bootstrap over patients, {RESAMPLES} resamples",
}
CLASS_DEFINITIONS = {
    "iou": "TP/(TP+FP+FN); 1 if nothing is annotated or predicted, 0 for a prediction without "
    "annotation",
    "dice": "2TP/(2TP+FP+FN); empty cases as for iou",
    "pixel_accuracy": "share of voxels, background included, predicted as annotated",
    "per_volume": "all evaluated slices of a series together, then the mean over series",
    "mean_of_classes": "mean over the foreground classes that are known; per_volume: of each "
    "series, then over series; pooled: of the pooled figures, without classes known in no series",
    "unknown classes": "a class that was not annotated in a patient is left out of that patient's "
    "averages; its predictions count as background; n is the number of series with a known class",
    "undefined": "number of series without a value, which are not averaged",
    "confusion": "voxels; row: annotated class, column: predicted class",
    **_SHARED_DEFINITIONS,
}


def nodule_definitions(margin_mm: float, *, rated: bool = False) -> dict[str, str]:
    """Return the definitions of the figures of nodules, for neighbourhoods with a margin.

    Args:
        margin_mm: the margin.
        rated: whether there are figures of nodules by their texture.
    """
    texture = "median of the readers' ratings of the texture: 5 solid, 1 ground glass, between "
    groups = {"texture_groups": f"{texture}them part solid; other nodules were not rated"}
    return {
        **(groups if rated else {}),
        "sensitivity": "TP/(TP+FN); undefined if nothing is annotated",
        "specificity": "TN/(FP+TN)",
        "dice": "2TP/(2TP+FP+FN); 1 if nothing is annotated or predicted, 0 for a prediction "
        "without annotation",
        "iou": "TP/(TP+FP+FN); empty cases as for dice",
        "per_nodule": f"inside the nodule's bounding box grown by {margin_mm:g} mm, up to "
        "the first slice that was not evaluated, without voxels of other nodules",
        "candidate": "connected component of predicted voxels (by face, edge or corner, on "
        "consecutive slices), at its centre of mass",
        "detected": "at least one candidate's centre is closer to the nodule's centre than its "
        "radius, or in the voxel of its centre; several candidates count once. Centre and diameter "
        "are the annotated ones or, if unknown, those of the mask",
        "size_groups": "annotated diameter d in mm: d < 6, 6 <= d <= 10, 10 < d <= 20, d > 20; if "
        "unknown, that of a ball (one slice: disc) of the mask's size",
        "per_slice": "every evaluated slice; per_slice_with_nodule: those with an annotation",
        "per_volume": "all evaluated slices of a series together",
        "false_positives_per_scan": "candidates that hit no nodule and no excluded finding; mean "
        "over all evaluated scans, also those without nodules, on the evaluated slices",
        "candidates_on_excluded": "candidates that hit an excluded finding and no nodule: neither "
        "hits nor false positives",
        "undefined": "number of cases without a value, which are not averaged",
        "both_empty": "number of cases with neither annotation nor prediction",
        "predicted_in_empty": "number of cases with a prediction but no annotation",
        "missed": "number of cases with an annotation but no prediction",
        **_SHARED_DEFINITIONS,
    }


def summarise_nodules(results: Sequence[NoduleSeries], *, seed: int = 0) -> dict[str, Entry]:
    """Compute the figures of an evaluation of nodules.

    Args:
        results: result of each series.
        seed: seed of the bootstrap.

    Returns:
        By name: value (NaN if undefined), n, patients, interval_95, interval_reason and, for means,
        the counts that :func:`nodule_definitions` explains.
    """
    nodules = [(result.patient, nodule) for result in results for nodule in result.nodules]
    planes = [(r.patient, confusion) for r in results for _, _, confusion in r.planes]
    occupied = [(patient, c) for patient, c in planes if c.tp + c.fn > 0]
    volumes = [(result.patient, result.volume) for result in results]
    per_nodule = [(patient, nodule.confusion) for patient, nodule in nodules]
    return {
        **_ratio_means("per_nodule", per_nodule, seed),
        **_distance_means("per_nodule", [(p, n.distance) for p, n in nodules], seed),
        "nodules_detected_share": _detected(nodules, seed),
        **_by_group(nodules, SIZE_GROUPS, lambda nodule: nodule.size_group, seed),
        **_by_group(nodules, textures_of(results), lambda nodule: nodule.texture, seed),
        **_ratio_means("per_slice", planes, seed),
        **_ratio_means("per_slice_with_nodule", occupied, seed),
        **_ratio_means("per_volume", volumes, seed),
        **_distance_means("per_volume", [(r.patient, r.distance) for r in results], seed),
        **{f"{name}_pooled": _pooled(name, volumes, seed) for name in FRACTIONS},
        "false_positives_per_scan_mean": _false_positives(results, seed),
    }


def summarise_classes(
    results: Sequence[ClassSeries], names: Sequence[str], *, seed: int = 0
) -> dict[str, Entry]:
    """Compute the figures of an evaluation of classes.

    Args:
        results: result of each series.
        names: names of all classes, background first.
        seed: seed of the bootstrap.

    Returns:
        As :func:`summarise_nodules`; spaces in class names are underscores (``liver_tumour``).
    """
    patients = [result.patient for result in results]
    keys = [name.replace(" ", "_") for name in names[1:]]
    figures: dict[str, Entry] = {}
    for value, key in enumerate(keys, start=1):
        figures |= _of_class(results, value, key, seed)
    for name in OVERLAPS:
        values = [result.mean(name) for result in results]
        figures[f"{name}_mean_of_classes_per_volume_mean"] = _mean(values, patients, seed)
        pooled = [figures[f"{name}_{key}_pooled"]["value"] for key in keys]
        defined = [value for value in pooled if not math.isnan(value)]
        average = float(np.mean(defined)) if defined else math.nan
        reason = "a mean of pooled figures; see the intervals of the classes"
        figure = Figure(average, len(defined), len(set(patients)), None, reason)
        figures[f"{name}_mean_of_classes_pooled"] = entry_of(figure)
    correct = [float(np.trace(result.matrix)) for result in results]
    total = [float(result.matrix.sum()) for result in results]
    accuracies = [pixel_accuracy(result.matrix) for result in results]
    figures["pixel_accuracy_per_volume_mean"] = _mean(accuracies, patients, seed)
    figures["pixel_accuracy_pooled"] = entry_of(ratio_of_sums(correct, total, patients, seed=seed))
    return figures


def counts(results: Sequence[SeriesResult], **more: Any) -> dict[str, Any]:
    """Count the evaluated patients, series and slices; ``more`` adds further counts."""
    return {
        "patients": len({result.patient for result in results}),
        "series": len(results),
        "series_whole": sum(result.is_whole is True for result in results),
        "series_of_unknown_length": sum(result.is_whole is None for result in results),
        "slices": sum(result.slices for result in results),
        "duplicate_slices": sum(result.duplicates for result in results),
        **more,
    }


def headline(figures: Mapping[str, Entry], names: Iterable[str] | None = None) -> dict[str, float]:
    """Pick the figures for an engine's metrics, all when no names are given, if defined."""
    values = {name: float(figures[name]["value"]) for name in names or figures}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def nodule_table(figures: Mapping[str, Entry]) -> str:
    """Lay the headline figures and those of the groups out for a terminal."""
    groups = [f"dice_per_nodule_{group}_mean" for group in (*SIZE_GROUPS, *TEXTURE_GROUPS)]
    rows = [("figure", "value", "  95 % interval", "n")]
    for name in (*NODULE_HEADLINES, *(name for name in groups if name in figures)):
        ends = figures[name]["interval_95"]
        interval = f"{ends[0]:.4f} - {ends[1]:.4f}" if ends else "-"
        value, n = figures[name]["value"], figures[name]["n"]
        rows.append((name, _decimal(value), f"  {interval}", str(n)))
    return _table(rows, ("<38", ">9", "<20", ">6"))


def class_table(figures: Mapping[str, Entry], names: Sequence[str]) -> str:
    """Lay the figures of every class out for a terminal."""
    columns = ("iou pooled", "dice pooled", "iou/volume", "dice/volume", "hd95 mm", "series")
    rows: list[tuple[str, ...]] = [("class", *columns)]
    undefined = {"value": math.nan}
    for name in [*(n.replace(" ", "_") for n in names[1:]), "mean_of_classes"]:
        entries = [figures[f"{figure}_{name}_pooled"] for figure in OVERLAPS]
        entries += [figures[f"{figure}_{name}_per_volume_mean"] for figure in OVERLAPS]
        entries.append(figures.get(f"hd95_mm_{name}_per_volume_mean", undefined))
        cells = (_decimal(entry["value"]) for entry in entries)
        series = str(figures[f"iou_{name}_per_volume_mean"]["n"])
        rows.append((name.replace("_", " "), *cells, series))
    accuracy = figures["pixel_accuracy_pooled"]["value"]
    shown = _table(rows, ("<18", *[">13"] * len(columns)))
    return f"{shown}\npixel accuracy, pooled: {accuracy:.4f}"


def _table(rows: Iterable[Sequence[str]], widths: Sequence[str]) -> str:
    return "\n".join("".join(map(format, row, widths)) for row in rows)


def _decimal(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def entry_of(figure: Figure, **more: Any) -> Entry:
    """Return the JSON entry of a figure; ``more`` adds or replaces keys."""
    return {
        "value": figure.value,
        "n": figure.n,
        "patients": figure.patients,
        "interval_95": figure.interval_95,
        "interval_reason": figure.reason,
        **more,
    }


def _mean(values: Sequence[float], patients: Sequence[str], seed: int, **more: int) -> Entry:
    """Return the mean of values, with the number of undefined ones."""
    undefined = sum(math.isnan(value) for value in values)
    return entry_of(mean(values, patients, seed=seed), undefined=undefined, **more)


def _ratio_means(unit: str, cases: Sequence[tuple[str, Confusion]], seed: int) -> dict[str, Entry]:
    """Average the four ratios over nodules, slices or volumes."""
    patients = [patient for patient, _ in cases]
    empties = {
        "both_empty": sum(c.is_empty for _, c in cases),
        "predicted_in_empty": sum(c.is_false_alarm for _, c in cases),
        "missed": sum(c.is_missed for _, c in cases),
    }
    return {
        f"{name}_{unit}_mean": _mean(
            [getattr(c, name) for _, c in cases], patients, seed, **empties
        )
        for name in FRACTIONS
    }


def _distance_means(
    unit: str, cases: Sequence[tuple[str, SurfaceDistance]], seed: int
) -> dict[str, Entry]:
    """Average the surface distances."""
    patients = [patient for patient, _ in cases]
    return {
        f"{name}_{unit}_mean": _mean([getattr(d, name) for _, d in cases], patients, seed)
        for name in DISTANCES
    }


def _pooled(name: str, cases: Sequence[tuple[str, Confusion]], seed: int) -> Entry:
    """Compute one ratio pooled over all voxels."""
    parts = [FRACTIONS[name](confusion) for _, confusion in cases]
    patients = [patient for patient, _ in cases]
    figure = ratio_of_sums([p[0] for p in parts], [p[1] for p in parts], patients, seed=seed)
    total = sum((confusion for _, confusion in cases), Confusion())
    value = getattr(total, name) if cases else math.nan  # nothing anywhere: Dice and IoU 1
    return entry_of(figure, value=value, n=len(cases))


def _of_class(results: Sequence[ClassSeries], value: int, key: str, seed: int) -> dict[str, Entry]:
    """Compute the figures of one class over the series in which it is known."""
    known = [(r.patient, *r.classes[value]) for r in results if value in r.classes]
    patients = [patient for patient, _, _ in known]
    confusions = [(patient, confusion) for patient, confusion, _ in known]
    entries = {}
    for name in OVERLAPS:
        values = [getattr(confusion, name) for _, confusion in confusions]
        entries[f"{name}_{key}_per_volume_mean"] = _mean(values, patients, seed)
        entries[f"{name}_{key}_pooled"] = _pooled(name, confusions, seed)
    distances = [(patient, distance) for patient, _, distance in known]
    return {**entries, **_distance_means(f"{key}_per_volume", distances, seed)}


def _detected(nodules: Sequence[tuple[str, NoduleResult]], seed: int) -> Entry:
    """Compute the share of nodules that were detected."""
    detected = [float(nodule.is_detected) for _, nodule in nodules]
    return entry_of(mean(detected, [patient for patient, _ in nodules], seed=seed))


def textures_of(results: Iterable[NoduleSeries]) -> Sequence[str]:
    """Return the texture groups; none if no nodule has one."""
    rated = any(nodule.texture for result in results for nodule in result.nodules)
    return TEXTURE_GROUPS if rated else ()


def _by_group(
    nodules: Sequence[tuple[str, NoduleResult]],
    groups: Sequence[str],
    group_of: Callable[[NoduleResult], str],
    seed: int,
) -> dict[str, Entry]:
    """Compute Dice and the detected share of every group."""
    entries = {}
    for group in groups:
        members = [(p, n) for p, n in nodules if group_of(n) == group]
        cases = [(patient, nodule.confusion) for patient, nodule in members]
        dice = f"dice_per_nodule_{group}_mean"
        entries[dice] = _ratio_means(f"per_nodule_{group}", cases, seed)[dice]
        entries[f"nodules_detected_share_{group}"] = _detected(members, seed)
    return entries


def _false_positives(results: Sequence[NoduleSeries], seed: int) -> Entry:
    """Average the false positives over scans."""
    counts = [float(result.detection.false_positives) for result in results]
    figure = mean(counts, [result.patient for result in results], seed=seed)
    return entry_of(
        figure,
        total=int(sum(counts)),
        scans_with_any=sum(count > 0 for count in counts),
        candidates_on_excluded=sum(result.detection.excluded for result in results),
    )
