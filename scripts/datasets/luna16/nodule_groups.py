"""Nodules of one series: what its readers outlined, grouped by overlap, with votes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.contract import Point
from scripts.datasets.luna16.agreement import Voxels, match_findings
from scripts.datasets.luna16.outlines import Outlines, ReaderNodule, reader_voxels
from scripts.volumes.geometry import index_to_world

Shape = tuple[int, int, int]
Centre = tuple[float, float, float]
LISTED_READERS = 3  # LUNA16 lists nodules that at least so many readers accepted


@dataclass(frozen=True)
class Group:
    """One nodule: the readers' nodules that overlap, with the votes for each voxel.

    Args:
        nodules: what each reader outlined.
        outlined: sorted flat indices of the voxels of each of them.
        voxels: sorted flat indices of the voxels of any reader.
        votes: number of readers of each of them.
        centre_mm: centroid of these voxels in LPS mm.
        listed_centre_mm: mean of the centroids of the readers, which is how LUNA16's list places a
            nodule.
    """

    nodules: tuple[ReaderNodule, ...]
    outlined: tuple[Voxels, ...]
    voxels: Voxels
    votes: NDArray[np.int64]
    centre_mm: Centre
    listed_centre_mm: Centre

    @property
    def is_listable(self) -> bool:
        """Whether enough readers outlined it for LUNA16's list."""
        return len(self.nodules) >= LISTED_READERS

    def agreed(self, readers: int) -> Voxels:
        """Return the voxels that at least so many readers outlined."""
        return self.voxels[self.votes >= readers]


def group_nodules(
    outlines: Outlines, shape_zyx: Shape, affine_lps: NDArray[np.float64]
) -> list[Group]:
    """Group the readers' nodules of a series, from feet to head; those without a voxel are omitted.

    Args:
        outlines: of the series.
        shape_zyx: slices, rows and columns of the series as stored.
        affine_lps: (4, 4), index (i, j, k) as stored to LPS mm.

    Raises:
        ValueError: for outlines that do not fit the series, see
            :func:`scripts.datasets.luna16.outlines.reader_instances`.
    """
    every = [(number, one) for number, own in enumerate(outlines.readers) for one in own]
    findings = [(number, reader_voxels(one, shape_zyx, affine_lps)) for number, one in every]
    drawn = [i for i, (_, voxels) in enumerate(findings) if voxels.size]
    groups = []
    for members in match_findings([findings[i] for i in drawn]):
        chosen = [drawn[member] for member in members]
        outlined = tuple(findings[i][1] for i in chosen)
        voxels, votes = np.unique(np.concatenate(outlined), return_counts=True)
        nodules = tuple(every[i][1] for i in chosen)
        centres = [_centroid(one, shape_zyx, affine_lps) for one in (voxels, *outlined)]
        x, y, z = np.mean(centres[1:], axis=0).tolist()
        groups.append(Group(nodules, outlined, voxels, votes, centres[0], (x, y, z)))
    return sorted(groups, key=lambda group: group.centre_mm[::-1])


def match_listed(
    listed: Sequence[Point], groups: Sequence[Group], centres_mm: Sequence[NDArray[np.float64]]
) -> dict[int, int]:
    """Give each listed nodule the nearest group within its radius.

    Nearest pairs first, but groups of enough readers for the list before the others.

    Args:
        listed: centre in LPS mm and diameter of each nodule.
        groups: the groups of the series.
        centres_mm: :attr:`Group.listed_centre_mm` of each group, in the frame of ``listed``.

    Returns:
        Number of the listed nodule -> number of its group; those without one are missing.
    """
    pairs = sorted(
        (not groups[group].is_listable, distance, row, group)
        for row, point in enumerate(listed)
        for group, centre in enumerate(centres_mm)
        if (distance := math.dist(point[:3], centre)) < point[3] / 2
    )
    own: dict[int, int] = {}
    for _, _, row, group in pairs:
        if row not in own and group not in own.values():
            own[row] = group
    return own


def _centroid(voxels: Voxels, shape_zyx: Shape, affine_lps: NDArray[np.float64]) -> Centre:
    index = np.array(np.unravel_index(voxels, shape_zyx)).mean(axis=1)
    x, y, z = index_to_world(index[::-1], affine_lps).tolist()
    return x, y, z
