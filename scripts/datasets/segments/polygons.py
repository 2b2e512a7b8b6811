"""Closed contours on a slice as voxels.

A voxel belongs to a contour if its centre lies inside, by the even-odd rule, so that a keyhole
(DICOM PS3.3, C.8.8.6.3: a hole joined to the outline by a channel) stays open. A contour whose
points are all centres of voxels was traced along the outermost voxels of a mask, as OpenCV does:
the voxels on its line belong to it, also where it goes along a part of one voxel's width and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.volumes.geometry import Floats

ON_CENTRE_VOXELS = 0.1  # some programs write positions with one decimal of a mm
_ON_LINE = 1e-6  # rounding of numbers

Mask = NDArray[np.bool_]


class Filled(NamedTuple):
    """The contours of one structure on a slice.

    Attributes:
        mask: bool (rows, columns).
        without_voxel: contours that enclose no centre of a voxel.
    """

    mask: Mask
    without_voxel: int


def fill(polygons: Sequence[Floats], shape: tuple[int, int]) -> Filled:
    """Return the pixels of all contours of one structure on a slice.

    A contour inside another cuts a hole, one inside a hole is structure again.

    Args:
        polygons: (n, 2) each: x, y index of the vertices, the first not repeated; one or two
            vertices are a point or a line.
        shape: rows and columns.

    Raises:
        ValueError: for two contours that overlap without one lying inside the other: whether both
            or neither count where they do, the contours do not say.

    Example:
        >>> square = np.array([(0.5, 0.5), (2.5, 0.5), (2.5, 2.5), (0.5, 2.5)])
        >>> fill([square], (4, 4)).mask.sum(axis=1).tolist()
        [0, 2, 2, 0]
    """
    points = np.vstack(list(polygons))
    corner = np.floor(points.min(axis=0))
    columns, rows = (np.ceil(points.max(axis=0)) - corner + 1).astype(int).tolist()
    moved = [polygon - corner for polygon in polygons]  # drawn in their box, which is faster
    insides = [_inside_of(polygon, (rows, columns)) for polygon in moved]
    _check_nested(insides)
    lines = [_line_of(polygon, (rows, columns)) for polygon in moved]
    empty = sum(not pair.any() for pair in map(np.logical_or, insides, lines))
    mask = np.logical_xor.reduce(insides) | np.logical_or.reduce(lines)
    y, x = np.nonzero(mask)
    y, x = y + int(corner[1]), x + int(corner[0])
    within = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
    if not within.all():
        raise ValueError(f"{np.count_nonzero(~within)} of its voxels lie outside the slice")
    drawn = np.zeros(shape, bool)
    drawn[y, x] = True
    return Filled(drawn, empty)


def _check_nested(insides: Sequence[Mask]) -> None:
    depth = np.sum(insides, axis=0)
    shared_ones = [inside for inside in insides if (depth[inside] > 1).any()]  # most lie apart
    for number, one in enumerate(shared_ones):
        for other in shared_ones[:number]:
            shared = np.count_nonzero(one & other)
            smaller, larger = sorted((np.count_nonzero(one), np.count_nonzero(other)))
            if shared and not shared == smaller < larger:
                raise ValueError(
                    f"two contours overlap in {shared} voxels, and neither lies inside the other; "
                    "draw one of them as a structure of its own"
                )


def _inside_of(polygon: Floats, shape: tuple[int, int]) -> Mask:
    """Return the pixels whose centres a polygon encloses, by the even-odd rule.

    An edge crosses the rows from its upper end to above its lower end; both directions of an edge
    cross at the same place, so that a channel cancels itself.
    """
    start, end = polygon, np.roll(polygon, -1, axis=0)
    down = (start[:, 1] <= end[:, 1])[:, None]
    upper, lower = np.where(down, start, end), np.where(down, end, start)
    first = np.ceil(upper[:, 1]).astype(np.int64)
    edge, row = _steps(first, np.ceil(lower[:, 1]).astype(np.int64) - first)
    (x0, y0), (x1, y1) = upper[edge].T, lower[edge].T
    column = np.ceil(x0 + (row - y0) * (x1 - x0) / (y1 - y0)).astype(np.int64)
    crossings = np.zeros((shape[0], shape[1] + 1), np.int32)
    np.add.at(crossings, (row, column), 1)
    return np.asarray(np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1)


def _line_of(polygon: Floats, shape: tuple[int, int]) -> Mask:
    """Return the pixels on the edges of a polygon through centres; none of any other polygon."""
    mask = np.zeros(shape, bool)
    start = np.rint(polygon)
    if np.abs(polygon - start).max() > ON_CENTRE_VOXELS:
        return mask
    end = np.roll(start, -1, axis=0)
    along = np.abs(end - start).argmax(axis=1)  # followed along the axis on which it is longer
    each = np.arange(len(start))
    low = np.minimum(start[each, along], end[each, along])
    high = np.maximum(start[each, along], end[each, along])
    first = np.ceil(low - _ON_LINE).astype(np.int64)
    count = np.floor(high + _ON_LINE).astype(np.int64) - first + 1
    edge, place = _steps(first, count)
    axis = along[edge]
    length = (end - start)[edge, axis]
    share = (place - start[edge, axis]) / np.where(length == 0, 1.0, length)
    across = start[edge, 1 - axis] + share * (end - start)[edge, 1 - axis]
    near = np.abs(across - np.rint(across)) <= _ON_LINE
    pair = place[near], np.rint(across[near]).astype(np.int64)
    x, y = np.where(axis[near] == 0, pair, pair[::-1])
    mask[y, x] = True
    return mask


def _steps(
    first: NDArray[np.int64], count: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the whole numbers from ``first`` on of each edge, and the edge of each of them."""
    edge = np.repeat(np.arange(len(first)), count)
    before = np.cumsum(count) - count
    return edge, np.arange(len(edge)) - before[edge] + first[edge]
