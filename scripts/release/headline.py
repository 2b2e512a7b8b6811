"""The figures that an evaluation is quoted by, in words, with their intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PER_CLASS = re.compile(r"dice_(.+)_per_volume_mean")
OF_GROUP = re.compile(r"dice_per_nodule_(.+)_mean")

Entry = Mapping[str, Any]


def headline(summary: Mapping[str, Any], *, case: str = "scan") -> list[str]:
    """Return the main figures of an evaluation, one line each.

    Dice per nodule alone says little: a network that marks everything reaches some. Detection and
    false positives therefore follow it.

    Args:
        summary: content of ``summary.json``.
        case: name of an evaluated volume: scan or crop.
    """
    figures = summary["figures"]
    if "dice_per_nodule_mean" not in figures:
        return [
            f"Dice of {name}: {with_interval(figures[key])} ({_basis(figures[key], 'volume')})"
            for key in figures
            if (found := PER_CLASS.fullmatch(key)) and (name := found[1].replace("_", " "))
        ]
    dice, hits = figures["dice_per_nodule_mean"], figures["nodules_detected_share"]
    false = figures["false_positives_per_scan_mean"]
    counts = summary["counts"]
    where = "" if counts["series_whole"] == counts["series"] else ", on the evaluated slices"
    lines = [
        f"Dice per nodule: {with_interval(dice)} ({_basis(dice, 'nodule')})",
        f"nodules detected: {with_interval(hits)}",
        f"false positives per {case}{where}: {with_interval(false)} ({_basis(false, case)})",
    ]
    if (cpm := cpm_of(summary)) is not None:
        lines.append(f"CPM of LUNA16: {with_interval(cpm)}")
    return lines


def cpm_of(summary: Mapping[str, Any]) -> Entry | None:
    """Return LUNA16's score of whole scans as a figure; None where it was not computed."""
    froc = summary.get("froc") or {}
    if froc.get("cpm") is None:
        return None
    return {"value": froc["cpm"], "interval_95": froc.get("cpm_interval_95")}


def with_interval(entry: Entry, *, digits: int = 3) -> str:
    """Return a figure with its 95 % interval.

    >>> with_interval({"value": 0.79681, "interval_95": [0.77, 0.823]})
    '0.797 (95 % interval 0.770 to 0.823)'
    >>> with_interval({"value": None, "interval_95": None})
    'undefined'
    """
    if entry["value"] is None:
        return "undefined"
    ends = entry.get("interval_95")
    shown = f"{entry['value']:.{digits}f}"
    if not ends:
        return f"{shown} (no interval: {entry.get('interval_reason') or 'not computed'})"
    return f"{shown} (95 % interval {ends[0]:.{digits}f} to {ends[1]:.{digits}f})"


def _basis(entry: Entry, unit: str) -> str:
    """Return how many cases a figure is of.

    >>> _basis({"n": 1, "patients": 1}, "volume"), _basis({"n": 9, "patients": 4}, "nodule")
    ('1 volume of 1 patient', '9 nodules of 4 patients')
    """
    counts = ((entry["n"], unit), (entry["patients"], "patient"))
    return " of ".join(f"{n} {name}" + ("s" if n != 1 else "") for n, name in counts)


def groups(figures: Mapping[str, Entry]) -> list[str]:
    """Return the names of the groups of nodules, such as sizes, that have figures of their own.

    >>> groups({"dice_per_nodule_mean": {}, "dice_per_nodule_under_6_mm_mean": {}})
    ['under_6_mm']
    """
    return [found[1] for key in figures if (found := OF_GROUP.fullmatch(key))]
