"""The outlines of a mask as closed polygons without holes, as DICOM RTSTRUCT requires.

Outlines run half-way between the centres of voxels inside and outside, so that the polygons contain
exactly the centres of the mask's voxels. Corners are cut: the area of a polygon is smaller than
that of its voxels by 1/8 of a voxel per corner; volumes should be measured in the mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

Floats = NDArray[np.float64]
Vertex = tuple[float, float]


def closed_contours(mask: NDArray[np.bool_]) -> list[Floats]:
    """Outline one slice of a mask.

    A hole is joined to the outline around it by a channel of zero width along one row (the
    *keyhole* of DICOM PS3.3, C.8.8.6.3). It then stays open in every reader, whether it unites
    polygons, combines them by XOR or fills each separately. Separate inner contours would be filled
    by readers that unite polygons, and older readers do not know CLOSEDPLANAR_XOR. Voxels that
    touch only at a corner belong to different polygons.

    Args:
        mask: (Y, X).

    Returns:
        One polygon per component, (n, 2): x, y index of the vertices, half-way between voxels; the
        first is not repeated.

    Example:
        >>> square = np.zeros((4, 4), bool)
        >>> square[1:3, 1:3] = True
        >>> [len(polygon) for polygon in closed_contours(square)]
        [8]
    """
    where = np.argwhere(mask)
    if not len(where):
        return []
    first, last = where.min(axis=0), where.max(axis=0) + 1
    box = np.pad(mask[first[0] : last[0], first[1] : last[1]], 1)
    rings = [ring[:-1] for ring in find_contours(box.astype(np.float64), 0.5)]
    polygons = [_without_straight_vertices(ring) for ring in _joined(rings, box)]
    return [polygon[:, ::-1] + (first[::-1] - 1) for polygon in polygons]


def _joined(rings: list[Floats], box: NDArray[np.bool_]) -> list[Floats]:
    """Join every hole to the outline or hole on its right, from the rightmost hole to the leftmost.

    From the rightmost vertex of a hole the row leads through voxels of the mask to a vertex of the
    outline, or of a hole further right that is already joined to it. No two channels end in the
    same vertex, as each ends the run of voxels that it crosses.

    Args:
        rings: (n, 2) each: row, column.
        box: the mask that they outline, with a margin.
    """
    owner: dict[Vertex, int] = {
        (row, column): number for number, ring in enumerate(rings) for row, column in ring.tolist()
    }
    joined_to = list(range(len(rings)))
    holes = [number for number, ring in enumerate(rings) if not _is_outer(ring)]
    for hole in sorted(holes, key=lambda number: -rings[number][:, 1].max()):
        ring = rings[hole]
        start = int(ring[:, 1].argmax())
        row, column = ring[start].tolist()
        run = box[int(row), int(column + 0.5) :]
        target: Vertex = (row, column + int(np.argmin(run)))
        outline = joined_to[owner[target]]
        around = rings[outline]
        at = int(np.flatnonzero((around == target).all(axis=1))[0])
        loop = np.roll(ring, -start, axis=0)
        rings[outline] = np.concatenate([around[: at + 1], loop, loop[:1], around[at:]])
        joined_to[hole] = outline
    return [rings[number] for number in range(len(rings)) if joined_to[number] == number]


def _is_outer(ring: Floats) -> bool:
    """Whether a ring is an outer outline; scikit-image orients holes in the opposite direction."""
    rows, columns = ring.T
    return bool(np.dot(rows, np.roll(columns, -1)) < np.dot(columns, np.roll(rows, -1)))


def _without_straight_vertices(ring: Floats) -> Floats:
    """Remove vertices within straight lines; the ends of a channel turn back and are kept."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    straight = (cross == 0) & ((before * after).sum(axis=1) > 0)
    return np.asarray(ring[~straight], np.float64)
