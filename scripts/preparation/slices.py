"""Which slices of a scan become samples, and which rows of the stored stack each one needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

MARGIN_MM = 5.0  # a slice without nodule lies at least so far from every nodule
LUNG_SHARE = 0.1  # of the widest slice's lung area: what counts as a slice inside the lungs
SPARE = 1.5  # slices without nodule are stored with some to spare; the final draw takes a part


def nodule_slices(nodules: Iterable[Mapping[str, Any]], which: str) -> list[int]:
    """Slices that show a nodule: each one's central slice, or all of them."""
    if which == "central":
        return sorted({nodule["central"] for nodule in nodules})
    return sorted({k for nodule in nodules for k in nodule["slices"]})


def empty_candidates(
    lung_area: Sequence[int] | NDArray[np.int64],
    occupied: Iterable[tuple[float, float]],
    slice_mm: float,
) -> list[int]:
    """Slices inside the lungs, away from every nodule.

    Args:
        lung_area: lung voxels of each slice.
        occupied: first and last slice index of every nodule, fractions allowed.
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
    """Count the slices without nodule that make up ``share`` of all.

    Example:
        >>> empty_count(90, 0.1), empty_count(5, 0.5), empty_count(7, 0)
        (10, 5, 0)
    """
    return round(with_nodule * share / (1 - share))


def empty_quotas(
    uids: Sequence[str], with_nodule: float, *, share: float, seed: int
) -> dict[str, int]:
    """How many slices without nodule each scan stores, before any has been read.

    Each scan's number hangs on its own uid and on the average alone, so that adding scans later
    leaves most of them as they are.

    Args:
        uids: every scan.
        with_nodule: how many slices with a nodule are expected.
        share: see :func:`empty_count`.
        seed: of the draw.
    """
    if share == 0 or not uids:
        return dict.fromkeys(uids, 0)
    average = (SPARE * with_nodule * share / (1 - share) + 3) / len(uids)
    return {uid: int(average + Random(f"quota:{seed}:{uid}").random()) for uid in uids}
