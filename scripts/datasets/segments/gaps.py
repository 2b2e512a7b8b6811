"""Slices that a structure lacks between those it is drawn on: they would count as background.

People often draw every second or third slice and leave the rest to interpolation, which files do
not always contain.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.segments.segment_file import Voxels
from scripts.running.reasons import listed

FEWEST_SPARSE = 5  # drawn slices, below which uneven gaps may be those between lesions
LONGEST_SLIP = 3  # slices that were left out by mistake; longer gaps lie between two lesions


def check_slices(place: str, name: str, voxels: Voxels, shape: Sequence[int]) -> str:
    """Refuse a structure that is drawn on some of its slices only.

    Args:
        place: the file, for errors.
        name: of the structure.
        voxels: of the structure.
        shape: of the CT (K, J, I).

    Returns:
        A note on single slices that were left out: the structure is drawn on both sides of them
        at the same place; empty if there are none.

    Raises:
        ValueError: for at least three slices at one distance of two or more; for at least five,
            if half of the distances are such gaps.
    """
    plane = int(shape[1] * shape[2])
    drawn = np.unique(voxels // plane)
    steps = np.diff(drawn)
    gaps = [pair for pair in pairwise(drawn.tolist()) if _is_gap(voxels, *pair, plane)]
    even = len(drawn) >= 3 and steps.min() == steps.max() > 1
    if even or (len(drawn) >= FEWEST_SPARSE and 2 * len(gaps) >= len(steps)):
        raise ValueError(
            f"{place}: {name!r} is drawn on {_which(steps)} ({len(drawn)} slices from "
            f"{drawn[0]} to {drawn[-1]}); the slices between would count as background, "
            "interpolate them in the program that drew it"
        )
    missing = [k for a, b in gaps if b - a <= LONGEST_SLIP + 1 for k in range(a + 1, b)]
    if not missing:
        return ""
    count = f"{len(missing)} slices" if len(missing) > 1 else "one slice"
    return f"{name!r} is not drawn on {count} between its own (counted from 0: {listed(missing)})"


def _is_gap(voxels: Voxels, before: int, after: int, plane: int) -> bool:
    """Whether a structure is drawn at one place on both sides of slices that it is not drawn on."""
    if after == before + 1:
        return False
    one, other = (_pixels(voxels, k, plane) for k in (before, after))
    return bool(np.intersect1d(one, other, assume_unique=True).size)


def _pixels(voxels: Voxels, k: int, plane: int) -> Voxels:
    first, end = np.searchsorted(voxels, [k * plane, (k + 1) * plane])
    return np.asarray(voxels[first:end] - k * plane)


def _which(steps: NDArray[np.int64]) -> str:
    if steps.min() < steps.max():
        return "some of its slices only"
    ordinal = {2: "2nd", 3: "3rd"}.get(int(steps[0]), f"{steps[0]}th")
    return f"every {ordinal} slice only"
