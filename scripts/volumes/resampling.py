"""Parallel slices that form no regular grid, resampled to one, and masks put back on the slices.

Slices of a tilted gantry are shifted against each other, others are unevenly spaced. Networks and
volume files need a regular, orthogonal grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from scripts.volumes.geometry import Floats, check_affine, index_to_world, world_to_index

AIR_HU = -1000  # around the slices
# The grid has at most so many slices for each of the source, and rows and columns for each row and
# column; more would be made of a few slices far from the others.
MOST_SLICES = 4
MOST_IN_PLANE = 2.0
_ROUNDING = 1e-4  # voxels, of positions that lie on the grid


@dataclass(frozen=True)
class SliceStack:
    """Positions of parallel slices with equal pixels.

    Args:
        positions: (n, 3), n > 1: centre of each slice's first pixel in LPS mm, ascending along the
            slices' normal.
        axes: (2, 3): unit vectors along rows and along columns of pixels, LPS.
        edges_mm: distance between columns and between rows.
        shape: rows and columns.
    """

    positions: Floats
    axes: Floats
    edges_mm: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> Floats:
        """(3,): unit vector from each slice to the next one's plane."""
        return np.asarray(np.cross(*self.axes), np.float64)

    @property
    def distances_mm(self) -> Floats:
        """(n - 1,): between the planes of neighbouring slices."""
        return np.asarray(np.diff(self.positions @ self.normal), np.float64)

    @property
    def tilt_degrees(self) -> float:
        """Angle between the slices' normal and the line from the first to the last of them."""
        return float(np.degrees(np.arccos(np.clip(self._line @ self.normal, -1, 1))))

    def remark(self) -> str:
        """Say for a reader of results how the slices lay, and where results lie."""
        low, high = self.distances_mm.min(), self.distances_mm.max()
        apart = f"{low:.4g} to {high:.4g}" if high - low > 0.01 else f"{low:.4g}"
        lay = f"slices {apart} mm apart"
        if self.tilt_degrees > 0.05:
            lay = f"gantry tilted by {self.tilt_degrees:.1f} degrees, {lay}"
        return (
            f"resampled to a regular grid ({lay}): mask.nii.gz "
            "and measurements are of that grid, DICOM objects of the source's slices"
        )

    def record(self) -> dict[str, Any]:
        """Describe how the slices lay and how they are resampled, for the manifest."""
        distances = [round(float(d), 4) for d in (self.distances_mm.min(), self.distances_mm.max())]
        return {
            "slices": len(self.positions),
            "slice_distances_mm": distances,
            "tilt_degrees": round(self.tilt_degrees, 3),
            "interpolation": {"hu": "linear", "mask": "nearest"},
        }

    @property
    def _line(self) -> Floats:
        line = self.positions[-1] - self.positions[0]
        return np.asarray(line / np.linalg.norm(line), np.float64)

    def on_slice(self, k: int, column_row: ArrayLike) -> Floats:
        """Map points of a slice to the patient.

        Args:
            k: 0-based slice.
            column_row: (..., 2), 0-based, fractions allowed.

        Returns:
            (..., 3), LPS mm.
        """
        steps = self.axes * np.array(self.edges_mm)[:, None]
        return np.asarray(self.positions[k] + np.asarray(column_row) @ steps, np.float64)

    def points(self, k: int) -> Floats:
        """(rows, columns, 3): centres of a slice's pixels in LPS mm."""
        return self.on_slice(k, np.moveaxis(np.indices(self.shape)[::-1], 0, -1))

    def index_of(self, points: Floats) -> Floats:
        """Return where points lie between slices and pixels.

        Args:
            points: (..., 3), LPS mm.

        Returns:
            (3, ...): 0-based slice, row and column with fractions. Beyond the first and the last
            slice the stack continues with its last distance, for one slice.
        """
        first, last = self.positions[:2], self.positions[-2:]
        around = np.vstack([2 * first[0] - first[1], self.positions, 2 * last[1] - last[0]])
        numbers = np.arange(-1.0, len(self.positions) + 1)
        onto = np.stack(
            [self.normal, self.axes[1] / self.edges_mm[1], self.axes[0] / self.edges_mm[0]]
        )
        origins = around @ onto.T
        index = np.tensordot(onto, points, axes=(1, -1))
        index[0] = np.interp(index[0], origins[:, 0], numbers)
        for axis in (1, 2):
            index[axis] -= np.interp(index[0], numbers, origins[:, axis])
        return np.asarray(index, np.float64)


@dataclass(frozen=True)
class RegularGrid:
    """An orthogonal grid of even spacing.

    Args:
        shape: (Z, Y, X).
        affine_lps: (4, 4), 0-based index (x, y, z) to LPS mm.
    """

    shape: tuple[int, int, int]
    affine_lps: Floats


def regular_grid(stack: SliceStack) -> RegularGrid:
    """Return a regular grid that covers all pixels of a stack.

    Its slices are parallel to those of the source, so that only shifts within slices are
    interpolated; if these would be too oblique for slice-wise networks, they are perpendicular to
    the line through the slices' first pixels. Pixels keep their size; the distance of slices is the
    smallest of the source, at least a quarter of the mean.

    Raises:
        ValueError: for slices that are too oblique either way, or shifted against each other by
            more than their own size.
    """
    try:
        return _grid_along(stack, stack.normal)
    except ValueError:
        if stack.tilt_degrees < 1:
            raise
        return _grid_along(stack, stack._line)


def _grid_along(stack: SliceStack, normal: Floats) -> RegularGrid:
    """Return the grid whose slices have this normal."""
    down = np.cross(normal, stack.axes[0])
    down /= np.linalg.norm(down)
    axes = np.stack([np.cross(down, normal), down, normal], axis=1)  # columns: along x, y, z
    along = stack.positions @ normal
    rows, columns = stack.shape
    ends = [stack.points(k)[[0, 0, rows - 1, rows - 1], [0, columns - 1, 0, columns - 1]]
            for k in range(len(stack.positions))]  # fmt: skip
    corners = np.concatenate(ends) @ axes
    low, size = corners.min(axis=0), np.ptp(corners, axis=0)
    steps = float(np.diff(along).min()), float(np.ptp(along)) / (len(along) - 1)
    edges = np.array([*stack.edges_mm, max(steps[0], steps[1] / MOST_SLICES)])
    counts = np.ceil(size / edges - _ROUNDING).astype(int) + 1
    if max(counts[0] / columns, counts[1] / rows) > MOST_IN_PLANE:
        raise ValueError(
            f"slices: together they are {size[:2].max():.0f} mm wide, more than twice the size of "
            "one; are they of one scan?"
        )
    edges[2] = size[2] / (counts[2] - 1)  # the first and the last slice are those of the source
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes * edges, axes @ low
    x, y, z = counts.tolist()
    return RegularGrid((z, y, x), check_affine(affine, "slices, resampled"))


def to_grid(hu: NDArray[Any], stack: SliceStack, grid: RegularGrid) -> NDArray[Any]:
    """Resample HU to a regular grid, linearly; around the slices is air.

    Args:
        hu: (n, rows, columns).
        stack: of these slices.
        grid: of :func:`regular_grid`.

    Returns:
        (Z, Y, X): of the data type of ``hu``, whole numbers rounded.
    """
    resampled = np.empty(grid.shape, hu.dtype)
    j, i = np.indices(grid.shape[1:])
    plane = index_to_world(np.stack([i, j, np.zeros_like(i)], axis=-1), grid.affine_lps)
    for k in range(len(resampled)):
        index = stack.index_of(plane + k * grid.affine_lps[:3, 2])
        values = ndimage.map_coordinates(hu, index, np.float32, order=1, mode="nearest")
        for at, count in zip(index, hu.shape, strict=True):
            values[(at < -0.5) | (at > count - 0.5)] = AIR_HU
        resampled[k] = np.rint(values) if hu.dtype.kind in "iu" else values
    return resampled


def to_slices(mask: NDArray[Any], stack: SliceStack, affine_lps: ArrayLike) -> NDArray[Any]:
    """Put a mask of a regular grid back on the slices: each pixel takes the nearest voxel's value.

    The nearest, because numbers of segments cannot be averaged; what the mean probability of
    neighbours would decide otherwise lies within half a voxel of the outline.

    Args:
        mask: (Z, Y, X).
        stack: of the slices.
        affine_lps: (4, 4), the mask's index (x, y, z) to LPS mm.

    Returns:
        (n, rows, columns).
    """
    restored = np.empty((len(stack.positions), *stack.shape), mask.dtype)
    for k in range(len(restored)):
        index = world_to_index(stack.points(k), affine_lps)[..., ::-1]
        ndimage.map_coordinates(
            mask, np.moveaxis(index, -1, 0), restored[k], order=0, mode="nearest"
        )
    return restored
