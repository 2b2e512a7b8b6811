"""Choice of the slices of a scan that become samples: with objects, with classes, and without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.contract import Scan

MARGIN_MM = 5.0  # smallest distance of a slice without object from every object
LUNG_SHARE = 0.1  # smallest lung area of a slice inside the lungs, relative to the largest
SPARE = 1.5  # factor of stored over expected slices without object; the final draw uses a part
UNKNOWN_OBJECTS = (8.0,)  # assumed slices of each object, if unknown before reading


def object_slices(objects: Iterable[Mapping[str, Any]], which: str) -> list[int]:
    """Return the slices that show an object: the ``central`` one of each, or ``all`` of them."""
    if which == "central":
        return sorted({item["central"] for item in objects})
    return sorted({k for item in objects for k in item["slices"]})


def class_slices(
    shown: Sequence[Iterable[int]], wanted: set[int], which: str, every: int
) -> list[int]:
    """Return every n-th slice of a class map, of ``all`` or of those with an ``organ``.

    Args:
        shown: label values in each slice.
        wanted: label values of the organs.
        which: ``all`` or ``organ``.
        every: n.

    Example:
        >>> class_slices([[0], [0, 1], [1], [2], [1]], {1}, "organ", 2)
        [1, 4]
    """
    having = [k for k, values in enumerate(shown) if which == "all" or wanted & set(values)]
    return having[::every]


def expected_slices(scans: Iterable[Scan], which: str) -> float:
    """Estimate the number of slices with an object in scans that are not yet read."""
    objects = [
        UNKNOWN_OBJECTS if scan.object_slices is None else scan.object_slices for scan in scans
    ]
    if which == "central":
        return max(sum(len(slices) for slices in objects), 1)
    return sum((sum(slices) for slices in objects), 1.0)


def empty_candidates(
    lung_area: Sequence[int] | NDArray[np.int64],
    occupied: Iterable[tuple[float, float]],
    slice_mm: float,
) -> list[int]:
    """Return the slices inside the lungs with a margin to every object.

    Args:
        lung_area: lung voxels in each slice; without lung field, a constant above 0.
        occupied: first and last slice index of every object, fractions allowed.
        slice_mm: distance between slices.

    Example:
        >>> empty_candidates([9, 9, 9, 9, 9, 9, 0], [(0, 1)], slice_mm=2.5)
        [3, 4, 5]
    """
    area = np.asarray(lung_area)
    index = np.arange(len(area))
    free = (area > 0) & (area >= LUNG_SHARE * area.max(initial=0))
    for first, last in occupied:
        distance_mm = np.maximum(first - index, index - last) * slice_mm
        free &= distance_mm >= MARGIN_MM
    return [int(k) for k in np.flatnonzero(free)]


def draw_empty(candidates: Sequence[int], count: int, *, seed: int, uid: str) -> list[int]:
    """Draw slices in an order that does not depend on ``count``: a smaller draw begins a larger."""
    shuffled = sorted(candidates)
    Random(f"empty:{seed}:{uid}").shuffle(shuffled)
    return shuffled[:count]


def empty_count(with_nodule: int, share: float) -> int:
    """Count the slices without object that make up ``share`` of all.

    Example:
        >>> empty_count(90, 0.1), empty_count(5, 0.5), empty_count(7, 0)
        (10, 5, 0)
    """
    return round(with_nodule * share / (1 - share))


def empty_quotas(
    uids: Sequence[str], with_nodule: float, *, share: float, seed: int
) -> dict[str, int]:
    """Return the number of slices without object to store per scan, before any scan is read.

    A scan's number depends only on its id and the average, so that most scans can be reused when
    others are added later.

    Args:
        uids: ids of all scans.
        with_nodule: expected number of slices with an object.
        share: see :func:`empty_count`.
        seed: seed of the random draw.
    """
    if share == 0 or not uids:
        return dict.fromkeys(uids, 0)
    average = (SPARE * with_nodule * share / (1 - share) + 3) / len(uids)
    return {uid: int(average + Random(f"quota:{seed}:{uid}").random()) for uid in uids}
