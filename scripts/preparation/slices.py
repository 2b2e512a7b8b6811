"""Choice of the slices of a scan that become samples: by objects, by classes, and without any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.contract import Scan

MARGIN_MM = 5.0  # a slice without object lies at least so far from every object
LUNG_SHARE = 0.1  # of the widest slice's lung area: what counts as a slice inside the lungs
SPARE = 1.5  # slices without object are stored with some to spare; the final draw takes a part
UNKNOWN_OBJECTS = (8.0,)  # slices of each object, where a data set cannot tell before reading


def object_slices(objects: Iterable[Mapping[str, Any]], which: str) -> list[int]:
    """Slices that show an object: the ``central`` one of each, or ``all`` of them."""
    if which == "central":
        return sorted({item["central"] for item in objects})
    return sorted({k for item in objects for k in item["slices"]})


def class_slices(
    shown: Sequence[Iterable[int]], wanted: set[int], which: str, every: int
) -> list[int]:
    """Slices of a class map: ``all`` of them, or those with an ``organ``; of these, each n-th.

    Args:
        shown: label values in each slice.
        wanted: values that count as an organ.
        which: ``all`` or ``organ``.
        every: n.

    Example:
        >>> class_slices([[0], [0, 1], [1], [2], [1]], {1}, "organ", 2)
        [1, 4]
    """
    having = [k for k, values in enumerate(shown) if which == "all" or wanted & set(values)]
    return having[::every]


def expected_slices(scans: Iterable[Scan], which: str) -> float:
    """How many slices with an object the scans will probably give, before any has been read."""
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
    """Slices inside the lungs, away from every object.

    Args:
        lung_area: lung voxels of each slice; any other measure where there is no lung field.
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
    """Draw slices in an order that does not depend on ``count``: fewer are the first of more."""
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
    """How many slices without object each scan stores, before any has been read.

    Each scan's number depends on its own id and on the average alone, so that adding scans later
    leaves most of them as they are.

    Args:
        uids: ids of every scan.
        with_nodule: how many slices with an object are expected.
        share: see :func:`empty_count`.
        seed: of the draw.
    """
    if share == 0 or not uids:
        return dict.fromkeys(uids, 0)
    average = (SPARE * with_nodule * share / (1 - share) + 3) / len(uids)
    return {uid: int(average + Random(f"quota:{seed}:{uid}").random()) for uid in uids}
