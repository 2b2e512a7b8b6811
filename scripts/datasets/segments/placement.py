"""Where the voxels of another grid lie in a CT, if their centres coincide with the CT's.

Nothing is interpolated: a grid may be a part of the CT's, larger, turned or mirrored, and a frame
may lie on any plane of voxels; any other is refused.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.segments.segment_file import CtGrid, Voxels
from scripts.volumes.geometry import Floats, spacing_of, world_to_index
from scripts.volumes.slice_stack import place_tolerance_mm

Indices = NDArray[np.int64]


class Placement(NamedTuple):
    """The CT's index (i, j, k) of another grid's first voxel, and its change along each axis.

    Attributes:
        first: (3,).
        steps: (n, 3), each with one 1 or -1.
    """

    first: Indices
    steps: Indices

    def flat(self, index: Indices, ct: CtGrid) -> tuple[Voxels, int]:
        """Return flat indices of voxels in the CT, and how many lie outside it.

        Args:
            index: (m, n), of voxels along the axes of the other grid.
            ct: the CT.
        """
        i, j, k = (self.first + index @ self.steps).T
        slices, rows, columns = ct.shape
        inside = (k >= 0) & (k < slices) & (j >= 0) & (j < rows) & (i >= 0) & (i < columns)
        flat = ((k * rows + j) * columns + i)[inside]
        return np.sort(flat), int(len(index) - len(flat))


def place_grid(origin: Floats, axes_mm: Floats, size: tuple[int, ...], ct: CtGrid) -> Placement:
    """Find the voxels of a grid or a frame in a CT.

    Args:
        origin: (3,), centre of the first voxel, LPS mm.
        axes_mm: (n, 3), from one voxel to the next along each axis, LPS mm.
        size: voxels along each axis.
        ct: the CT.

    Raises:
        ValueError: for a grid whose voxels do not coincide with the CT's, with the reason;
            positions may differ by :func:`~scripts.volumes.slice_stack.place_tolerance_mm`.
    """
    edges = spacing_of(ct.affine_lps)
    steps = np.array([world_to_index(axis, _linear(ct)) for axis in axes_mm])
    whole = np.rint(steps).astype(np.int64)
    if not (np.abs(whole).sum(axis=1) == 1).all() or np.abs(steps - whole).max() > 0.2:
        raise ValueError(_why_not(axes_mm, edges, steps))
    ends = np.array([(count - 1) * axis for count, axis in zip(size, axes_mm, strict=True)])
    points = origin + np.vstack([np.zeros(3), ends])
    index = world_to_index(points, ct.affine_lps)
    first = np.rint(index[0]).astype(np.int64)
    wanted = np.vstack([first, *(first + (n - 1) * s for n, s in zip(size, whole, strict=True))])
    away_mm = float(np.linalg.norm((index - wanted) * edges, axis=1).max())
    if away_mm > place_tolerance_mm(*edges.tolist()):
        raise ValueError(
            f"its voxels lie up to {away_mm:.3f} mm beside those of the CT (spacing "
            f"{_numbers(np.linalg.norm(axes_mm, axis=1))} mm, the CT's {_numbers(edges)})"
        )
    return Placement(first, whole)


def _linear(ct: CtGrid) -> Floats:
    """Return the affine without its origin, for directions."""
    linear = ct.affine_lps.copy()
    linear[:3, 3] = 0
    return linear


def _why_not(axes_mm: Floats, edges: Floats, steps: Floats) -> str:
    unit = steps * edges / np.linalg.norm(axes_mm, axis=1)[:, None]
    if np.abs(np.abs(unit).max(axis=1) - 1).max() > 0.01:
        return "its axes are turned against those of the CT; it must be on the CT's own grid"
    return (
        f"its voxels are {_numbers(np.linalg.norm(axes_mm, axis=1))} mm apart, the CT's "
        f"{_numbers(edges)} mm; it must be on the CT's own grid, nothing is interpolated"
    )


def _numbers(values: Floats) -> str:
    return " x ".join(f"{value:g}" for value in np.round(values, 4).tolist())
