"""LUNA16's rules written down once more, finding by finding, without the code under test."""

from __future__ import annotations

import csv
import math

import numpy as np

RATES = [1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8]
MOST = 100


def read(path):
    """Rows of a list as (uid, three coordinates and a fourth number)."""
    with open(path, newline="") as file:
        return [(row[0], *map(float, row[1:5])) for row in list(csv.reader(file))[1:]]


def of_scan(rows, uid):
    return [row[1:] for row in rows if row[0] == uid]


def judged(candidates, nodules, excluded):
    """One scan: the probability of each nodule (None if missed), those of the false positives."""
    if len(candidates) > MOST:
        limit = sorted((c[3] for c in candidates), reverse=True)[MOST]
        candidates = [c for c in candidates if c[3] > limit]
    left, of_nodules = set(range(len(candidates))), []
    for state, findings in (("included", nodules), ("excluded", excluded)):
        for *centre, diameter in findings:
            radius = (10.0 if diameter < 0 else diameter) / 2
            near = []
            for number, candidate in enumerate(candidates):
                squares = [(a - b) ** 2 for a, b in zip(candidate[:3], centre, strict=True)]
                if sum(squares) < radius**2:
                    near.append(number)
            left -= set(near)
            if state == "included":
                of_nodules.append(max((candidates[n][3] for n in near), default=None))
    return of_nodules, [candidates[number][3] for number in sorted(left)]


def curve(scans):
    """(false positives a scan, sensitivity) at every threshold, from above all candidates on."""
    hits = [p for nodules, _ in scans for p in nodules]
    false = [p for _, others in scans for p in others]
    levels = sorted({p for p in [*hits, *false] if p is not None}, reverse=True)
    known = np.array([-math.inf if p is None else p for p in hits])
    others = np.array(false)
    points = [(0.0, 0.0)]
    points += [((others >= t).sum() / len(scans), (known >= t).sum() / len(hits)) for t in levels]
    return np.array(points).T


def sensitivities(scans):
    """Sensitivity at each of LUNA16's rates."""
    return np.interp(RATES, *curve(scans))


def ends(scans, draws):
    """Lower and upper end at each rate, from resampled scans."""
    table = []
    for drawn in draws:
        again = [scans[number] for number in drawn]
        if any(nodules for nodules, _ in again):
            table.append([*(values := sensitivities(again)), values.mean()])
    ordered = np.sort(np.array(table), axis=0)
    return ordered[math.floor(0.025 * len(ordered))], ordered[math.floor(0.975 * len(ordered))]
