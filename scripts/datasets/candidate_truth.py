"""What candidates lie on: a nodule, an excluded finding, or neither.

By the rule of LUNA16's evaluation: a candidate is on a nodule if its centre is closer to the
nodule's than the nodule's radius; likewise on an excluded finding, which counts neither as nodule
nor as false positive.

Source: Setio et al., Medical Image Analysis 42:1-13, 2017.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Point = Sequence[float]
Sphere = Mapping[str, Any]  # centre_lps_mm and diameter_mm; nodules also have an id


@dataclass(frozen=True)
class Truth:
    """What one candidate lies on.

    Args:
        nodule: id of the nodule; None if it is on none.
        excluded: whether it is on an excluded finding, and on no nodule. A candidate on neither is
            a false positive.
    """

    nodule: int | None = None
    excluded: bool = False


def truth_of(
    centre_lps_mm: Point, nodules: Sequence[Sphere], excluded: Sequence[Sphere] = ()
) -> Truth:
    """Return what a candidate lies on; of several nodules, the nearest.

    Args:
        centre_lps_mm: of the candidate.
        nodules: of its scan, each with ``id``, ``centre_lps_mm`` and ``diameter_mm``.
        excluded: findings of its scan, each with ``centre_lps_mm`` and ``diameter_mm``.

    Example:
        >>> nodule = {"id": 3, "centre_lps_mm": [0, 0, 0], "diameter_mm": 10}
        >>> truth_of([3, 0, 0], [nodule]).nodule, truth_of([5, 0, 0], [nodule]).nodule
        (3, None)
    """
    hit = [(_apart(centre_lps_mm, one), one) for one in nodules if _is_on(centre_lps_mm, one)]
    if hit:
        _, nearest = min(hit, key=lambda pair: pair[0])
        return Truth(int(nearest["id"]))
    return Truth(excluded=any(_is_on(centre_lps_mm, one) for one in excluded))


def distance_to_edge_mm(centre_lps_mm: Point, sphere: Sphere) -> float:
    """Return the distance of a position from a finding's edge; negative inside it."""
    return _apart(centre_lps_mm, sphere) - float(sphere["diameter_mm"]) / 2


def _apart(centre_lps_mm: Point, sphere: Sphere) -> float:
    offset = np.asarray(centre_lps_mm, float) - np.asarray(sphere["centre_lps_mm"], float)
    return float(np.linalg.norm(offset))


def _is_on(centre_lps_mm: Point, sphere: Sphere) -> bool:
    return distance_to_edge_mm(centre_lps_mm, sphere) < 0
