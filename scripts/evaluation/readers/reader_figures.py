"""Figures about the labels of a cohort, with intervals over patients."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from scripts.datasets.ratings import RATINGS, TEXTURE_GROUPS
from scripts.evaluation.figures.intervals import mean
from scripts.evaluation.figures.nodules import SIZE_GROUPS
from scripts.evaluation.readers.measured import AGREED, Row

DEFINITIONS = {
    "nodule": "outlines of different readers whose insides share a voxel",
    "readers_dice": "mean Dice of the pairs of readers of a nodule, outlines excluded; listed "
    "nodules that two or more readers outlined",
    "pairs_dice": "Dice of two readers, each pair counted once",
    "ball_dice": "Dice of the ball of LUNA16's centre and diameter with the voxels that two or "
    "more readers outlined, on the grid of the CT",
    "ball_volume_ratio": "voxels of the ball divided by those that two or more readers outlined; "
    "the median, and the 10th and 90th percentile",
    "position": "header: the position of the CT in x and y is known; shifted: the CT is shifted so "
    "that its listed nodules lie on the readers' (one alone exactly), which can only flatter the "
    "ball, by the distance of LUNA16's centre from the centroid in the plane",
    "shift_error_mm": "distance in the plane of a known position from the shift that would be "
    "estimated without it, of series with a known position",
    "lost": "listed nodules that have no voxel in the label; not_listed: nodules in the label that "
    "LUNA16 does not list",
    "size_groups": "by LUNA16's diameter, in mm; of nodules that are not listed by that of the "
    "ball of equal volume",
    "interval_95": "percentile bootstrap over patients, 2000 resamples",
}

Entry = dict[str, Any]


def figures_of(nodules: Sequence[Row], pairs: Sequence[Row], *, seed: int = 0) -> dict[str, Any]:
    """Return all figures.

    Args:
        nodules: rows of :func:`~scripts.evaluation.readers.measured.measure_series`.
        pairs: its rows of pairs of readers.
        seed: of the resampling.
    """
    listed = [row for row in nodules if row["listed"]]
    found = [row for row in listed if row["readers"]]
    keys = {(row["series_uid"], row["nodule"]) for row in found}
    own = [pair for pair in pairs if (pair["series_uid"], pair["nodule"]) in keys]
    return {
        "readers_dice": grouped(found, "readers_dice", seed),
        "pairs_dice": grouped(own, "dice", seed),
        "ball_dice": grouped(found, "ball_dice", seed),
        "ball_dice_where_the_position_is_known": grouped(
            [row for row in found if row.get("position") == "header"], "ball_dice", seed
        ),
        "shift_error_mm": _shift_errors(found),
        "ball_volume_ratio": _ratios(found),
        "labels": labels(nodules),
        "readers_of_listed": dict(sorted(Counter(row["readers"] for row in listed).items())),
        "ratings": {name: rating(found, name) for name in RATINGS},
        "texture_of_listed": dict(Counter(row.get("texture_group") or "-" for row in listed)),
    }


def grouped(rows: Sequence[Row], column: str, seed: int) -> dict[str, Entry]:
    """Return the mean of a column over all rows, by size and by texture."""
    groups: dict[str, list[Row]] = {"all": list(rows)}
    groups |= {g: [row for row in rows if row["size_group"] == g] for g in SIZE_GROUPS}
    groups |= {g: [row for row in rows if row["texture_group"] == g] for g in TEXTURE_GROUPS}
    return {name: _mean(members, column, seed) for name, members in groups.items()}


def labels(nodules: Iterable[Row]) -> dict[str, dict[str, int]]:
    """Count what each kind of label keeps of the list, loses, and has besides."""
    rows = list(nodules)
    listed = sum(row["listed"] for row in rows)
    counted = {"ball": {"listed": listed, "lost": 0, "not_listed": 0}}
    for least in (1, 2, 3, 4):
        inside = [row for row in rows if row.get(f"voxels_ge{least}")]
        kept = sum(row["listed"] for row in inside)
        counted[f"readers_{least}"] = {
            **{"listed": kept, "lost": listed - kept},
            "not_listed": len(inside) - kept,
        }
    return counted


def rating(rows: Iterable[Row], name: str) -> dict[str, Any]:
    """Count the ratings of a kind, and say how much two readers of a nodule differ."""
    given: Counter[int] = Counter()
    differences: list[int] = []
    for row in rows:
        values = [int(value) for value in row[name].split("|") if value]
        given.update(values)
        differences += [abs(a - b) for a, b in combinations(values, 2)]
    pairs = max(len(differences), 1)
    return {
        "counts": {str(value): given[value] for value in range(1, RATINGS[name] + 1)},
        "mean_difference_of_two_readers": round(sum(differences) / pairs, 4),
        "share_of_pairs_within_one": round(sum(d <= 1 for d in differences) / pairs, 4),
    }


def several_series(patients: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the patients with more than one series, and these."""
    series: dict[str, list[str]] = defaultdict(list)
    for uid, patient in patients.items():
        series[patient].append(uid)
    return {patient: sorted(uids) for patient, uids in sorted(series.items()) if len(uids) > 1}


def _mean(rows: Sequence[Row], column: str, seed: int) -> Entry:
    values = [math.nan if row[column] is None else float(row[column]) for row in rows]
    figure = mean(values, [row["patient"] for row in rows], seed=seed)
    return {
        "value": figure.value,
        "n": figure.n,
        "patients": figure.patients,
        "interval_95": figure.interval_95,
    }


def _ratios(rows: Sequence[Row]) -> dict[str, Entry]:
    """Return median and percentiles of the volume ratio, for all nodules and by size."""
    groups = {"all": list(rows)}
    groups |= {g: [row for row in rows if row["size_group"] == g] for g in SIZE_GROUPS}
    entries = {}
    for name, members in groups.items():
        values = [r["ball_volume_ratio"] for r in members if r["ball_volume_ratio"] is not None]
        low, middle, high = np.percentile(values, [10, 50, 90]) if values else [math.nan] * 3
        entries[name] = {"median": middle, "percentiles_10_90": [low, high], "n": len(values)}
    return entries


def _shift_errors(rows: Sequence[Row]) -> Entry:
    """Return median and 95th percentile of the error of the shift, over series."""
    of_series = {row["series_uid"]: row.get("shift_error_mm") for row in rows}
    values = [value for value in of_series.values() if value is not None]
    middle, high = np.percentile(values, [50, 95]) if values else [math.nan] * 2
    return {"median": middle, "percentile_95": high, "n": len(values)}


def text_of(figures: Mapping[str, Any]) -> str:
    """Lay the main figures out for a terminal."""
    lines = [f"{'':<16}{'readers':>9}{'n':>7}{'ball':>9}{'n':>7}{'volume ratio':>14}"]
    for group in ("all", *SIZE_GROUPS, *TEXTURE_GROUPS):
        readers, ball = figures["readers_dice"][group], figures["ball_dice"][group]
        ratio = figures["ball_volume_ratio"].get(group, {}).get("median", math.nan)
        cells = f"{_shown(readers['value']):>9}{readers['n']:>7}{_shown(ball['value']):>9}"
        lines.append(f"{group.replace('_', ' '):<16}{cells}{ball['n']:>7}{_shown(ratio):>14}")
    for label, count in figures["labels"].items():
        lines.append(f"label {label}: {', '.join(f'{k} {v}' for k, v in count.items())}")
    lines.append(f"readers: Dice between two readers; ball: against {AGREED} or more readers")
    return "\n".join(lines)


def _shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
