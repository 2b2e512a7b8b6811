"""Matching of readers' findings to nodules, and the consensus mask of each nodule."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.volumes.geometry import index_to_world, spacing_of

Voxels = NDArray[np.int64]
Finding = tuple[int, Voxels]  # the reader, and sorted flat indices of the voxels outlined


def match_findings(findings: list[Finding]) -> list[list[int]]:
    """Group readers' findings into nodules.

    Findings that overlap in 3D are joined, highest overlap (Dice) first, unless the nodule would
    then contain two findings of one reader, who saw two nodules.

    Returns:
        Indices into ``findings``, one list per nodule.
    """
    group = list(range(len(findings)))
    pairs = []
    for a, b in combinations(range(len(findings)), 2):
        (reader_a, voxels_a), (reader_b, voxels_b) = findings[a], findings[b]
        if reader_a != reader_b:
            shared = np.intersect1d(voxels_a, voxels_b, assume_unique=True).size
            if shared:
                pairs.append((2 * shared / (voxels_a.size + voxels_b.size), a, b))
    for _, a, b in sorted(pairs, key=lambda pair: -pair[0]):
        joined = [i for i, g in enumerate(group) if g in (group[a], group[b])]
        readers = [findings[i][0] for i in joined]
        if len(set(readers)) == len(readers):
            for i in joined:
                group[i] = group[joined[0]]
    return [[i for i, g in enumerate(group) if g == number] for number in sorted(set(group))]


def cluster_findings(
    findings: list[Finding], voxels: int, min_readers: int
) -> tuple[NDArray[np.uint8], dict[int, list[int]]]:
    """Make the consensus instance map: number the voxels that enough readers outlined.

    A voxel in findings of two nodules goes to the nodule with more votes for it; with equal votes,
    to the smaller nodule.

    Args:
        findings: findings of all readers.
        voxels: number of voxels of the volume.
        min_readers: number of readers who must have outlined a voxel, in any nodule.

    Returns:
        (voxels,), 0 or the number of the nodule; and nodule -> indices of its findings, one for
        each reader who outlined it.

    Raises:
        ValueError: for more than 255 nodules.
    """
    groups = match_findings(findings)
    if len(groups) > 255:
        raise ValueError(f"findings: at most 255 nodules fit a label of 8 bits, got {len(groups)}")
    groups.sort(key=lambda group: np.mean([findings[i][1].size for i in group]))
    total = np.zeros(voxels, np.uint8)
    for reader in {reader for reader, _ in findings}:
        own = [v for r, v in findings if r == reader]
        total[np.unique(np.concatenate(own))] += 1
    instances = np.zeros(voxels, np.uint8)
    most = np.zeros(voxels, np.uint8)
    members: dict[int, list[int]] = {}
    for number, group in enumerate(groups, start=1):
        indices, votes = np.unique(
            np.concatenate([findings[i][1] for i in group]), return_counts=True
        )
        wins = (votes > most[indices]) & (total[indices] >= min_readers)
        instances[indices[wins]] = number
        most[indices[wins]] = votes[wins]
        members[number] = group
    return instances, members


def describe_instances(
    instances: NDArray[np.uint8],
    readers: Mapping[int, int],
    affine: NDArray[np.float64],
    rated: Mapping[int, Mapping[str, Any]] | None = None,
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Renumber instances from feet to head, and measure centre and diameter of each.

    Args:
        instances: (Z, Y, X).
        readers: number in ``instances`` -> number of readers.
        affine: (4, 4), index (i, j, k) to LPS mm.
        rated: number in ``instances`` -> entries from the readers' ratings, such as ``texture``.

    Returns:
        The instances renumbered 1..n, and ``id``, ``diameter_mm``, ``centre_lps_mm``, ``readers``
        and the entries of ``rated`` of each; nodules without a voxel are dropped.
    """
    volume_mm3 = float(spacing_of(affine).prod())
    marked = np.argwhere(instances)
    numbers = instances[tuple(marked.T)]
    described = []
    for old, count in readers.items():
        voxels = marked[numbers == old]
        if voxels.size:
            centre = index_to_world(voxels[:, ::-1].mean(axis=0), affine)
            diameter_mm = float((6 / np.pi * len(voxels) * volume_mm3) ** (1 / 3))
            described.append((centre.tolist(), diameter_mm, old, count))
    described.sort(key=lambda item: item[0][::-1])
    table = np.zeros(256, np.uint8)
    nodules: list[dict[str, Any]] = []
    for number, (centre_mm, diameter_mm, old, count) in enumerate(described, start=1):
        table[old] = number
        nodules.append(
            {
                "id": number,
                "diameter_mm": diameter_mm,
                "centre_lps_mm": centre_mm,
                "readers": count,
                **(rated or {}).get(old, {}),
            }
        )
    return table[instances], nodules
