"""Crops of a CT around positions: a slice of each, with its neighbours, for a classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scripts.volumes.geometry import world_to_index
from scripts.volumes.volume import Volume

AIR_HU = -1000  # outside the scanned volume


def cut_crops(
    volume: Volume, centres_lps_mm: ArrayLike, *, size: Sequence[int], each_side: int = 1
) -> NDArray[np.int16]:
    """Cut a square of each position's slice, and of the slices next to it.

    Nothing is interpolated: pixels and slices are those of the CT; HU are whole numbers. Voxel
    ``size // 2`` of a crop is the nearest to its position. Beyond the edge of the image there is
    air; beyond the first and last slice these are repeated, as in all 2.5D input.

    Args:
        volume: the CT in LPS index order, see :meth:`Volume.in_lps`.
        centres_lps_mm: (N, 3), LPS mm.
        size: rows and columns of a crop.
        each_side: number of neighbouring slices below and above.

    Returns:
        (N, 2 * each_side + 1, rows, columns), HU, lowest slice first.

    Raises:
        ValueError: when a position lies outside the volume.

    Example:
        >>> hu = np.arange(3 * 4 * 4, dtype=np.int16).reshape(3, 4, 4)
        >>> cut_crops(Volume(hu, np.eye(4)), [[1, 2, 1]], size=(1, 2))[0].tolist()
        [[[8, 9]], [[24, 25]], [[40, 41]]]
    """
    voxels = nearest_voxels(volume, centres_lps_mm)
    rows, columns = size
    corner = np.array([rows // 2, columns // 2])
    depth = len(volume.hu)
    crops = np.full((len(voxels), 2 * each_side + 1, rows, columns), AIR_HU, np.int16)
    for crop, (k, *centre) in zip(crops, voxels, strict=True):
        start = np.array(centre) - corner
        low = np.maximum(start, 0)
        high = np.minimum(start + np.array([rows, columns]), volume.hu.shape[1:])
        inside = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
        source = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        for channel, step in enumerate(range(-each_side, each_side + 1)):
            number = min(max(int(k) + step, 0), depth - 1)
            crop[channel][inside] = np.rint(volume.hu[number][source])
    return crops


def nearest_voxels(volume: Volume, centres_lps_mm: ArrayLike) -> NDArray[np.int64]:
    """Return the nearest voxel of each position: (N, 3), index (z, y, x).

    Args:
        volume: the CT.
        centres_lps_mm: (N, 3), LPS mm.

    Raises:
        ValueError: when a position lies outside the volume.
    """
    points = np.asarray(centres_lps_mm, np.float64).reshape(-1, 3)
    index = np.floor(world_to_index(points, volume.affine_lps)[:, ::-1] + 0.5).astype(np.int64)
    outside = ((index < 0) | (index >= volume.hu.shape)).any(axis=1)
    if outside.any():
        x, y, z = points[outside][0].tolist()
        raise ValueError(
            f"{outside.sum()} of {len(points)} positions lie outside the CT, the first at "
            f"({x:g}, {y:g}, {z:g}) mm (LPS); are they of another scan?"
        )
    return index
