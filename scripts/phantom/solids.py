"""Solids drawn into a volume with soft, partial-volume edges.

A solid is given by its signed distance in mm (negative inside). A voxel's share of it is taken as
linear in that distance over one voxel, which is exact for a flat edge along an axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Array = NDArray[np.float32]
THINNEST = 0.35  # smallest radius drawn, in edge widths
Window = tuple[slice, slice, slice]
Axes = tuple[Array, Array, Array]


@dataclass(frozen=True)
class Grid:
    """Voxel centres of a volume, patient frame: x left, y posterior, z head-wards, in mm.

    Args:
        x, y, z: coordinates of the voxel centres along each axis, evenly spaced, rising.
        spacing_mm: voxel size (x, y, z).
    """

    x: Array
    y: Array
    z: Array
    spacing_mm: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Array shape (Z, Y, X)."""
        return len(self.z), len(self.y), len(self.x)

    def window(self, low: NDArray[np.floating], high: NDArray[np.floating]) -> Window:
        """Index ranges (z, y, x) of the voxels between two corners (x, y, z) in mm.

        >>> axis = np.arange(4, dtype=np.float32)
        >>> Grid(axis, axis, axis, (1.0, 1.0, 1.0)).window(np.array([0, 1, 2]), np.array([3, 2, 9]))
        (slice(2, 4, None), slice(1, 3, None), slice(0, 4, None))
        """
        (window,) = self.windows(np.asarray(low)[None], np.asarray(high)[None])
        return window

    def windows(self, low: NDArray[np.floating], high: NDArray[np.floating]) -> list[Window]:
        """As :meth:`window`, for many corners (N, 3) at once."""
        spans: list[list[slice]] = []
        for number, axis in enumerate((self.x, self.y, self.z)):
            first = np.searchsorted(axis, low[:, number]).tolist()
            past = np.searchsorted(axis, np.nextafter(high[:, number], np.inf)).tolist()
            spans.append(list(map(slice, first, past)))
        return list(zip(*reversed(spans), strict=True))

    def axes(self, window: Window) -> tuple[Array, Array, Array]:
        """Coordinates (x, y, z) of a window's voxels, shaped to broadcast to (Z, Y, X)."""
        along_z, along_y, along_x = window
        return self.x[along_x], self.y[along_y, None], self.z[along_z, None, None]


def coverage(distance_mm: Array, width_mm: float | np.floating) -> Array:
    """Share of a voxel inside an edge that passes at a signed distance (negative: inside).

    >>> coverage(np.array([-9.0, 0.0, 9.0], dtype=np.float32), 1.0).tolist()
    [1.0, 0.5, 0.0]
    """
    share = distance_mm * np.float32(-1.0 / width_mm)
    share += np.float32(0.5)
    return np.clip(share, 0.0, 1.0, out=share)


def blend(volume: Array, value: float | Array, share: Array) -> None:
    """Move a volume towards a value in place, by a share in [0, 1] of each voxel."""
    volume += (value - volume) * share


def blend_sparse(volume: Array, value: float, share: Array) -> None:
    """As :func:`blend`, for a share that is 0 nearly everywhere."""
    where = np.flatnonzero(share != 0)  # much sooner found than numbers
    flat, part = volume.reshape(-1), share.reshape(-1)[where]
    flat[where] += (np.float32(value) - flat[where]) * part


def tube_distance(
    axes: tuple[Array, Array, Array], ends: NDArray[np.floating], radii: NDArray[np.floating]
) -> Array:
    """Signed distance in mm to a straight tube with round ends, tapering between two radii.

    Args:
        axes: coordinates as from :meth:`Grid.axes`.
        ends: (2, 3) end points (x, y, z) of the axis in mm.
        radii: (2,) radii in mm at the ends.
    """
    start, step = ends[0].astype(np.float32), (ends[1] - ends[0]).astype(np.float32)
    offsets = [axis - origin for axis, origin in zip(axes, start, strict=True)]
    length2 = np.float32(max(float(step @ step), 1e-6))
    along = (offsets[0] * step[0] + offsets[1] * step[1] + offsets[2] * step[2]) / length2
    np.clip(along, 0.0, 1.0, out=along)
    squared = (offsets[0] - along * step[0]) ** 2
    squared += (offsets[1] - along * step[1]) ** 2
    squared += (offsets[2] - along * step[2]) ** 2
    radius = np.float32(radii[0]) + along * np.float32(radii[1] - radii[0])
    return np.asarray(np.sqrt(squared) - radius, dtype=np.float32)


def tube_share(
    grid: Grid, ends: NDArray[np.floating], radii: NDArray[np.floating]
) -> tuple[Window, Array]:
    """Where a tube lies in the grid and which share of each voxel there it fills.

    The shares add up to the cross-section: the soft edge would widen a tube by (width ** 2) / 12,
    and one thinner than the voxel is drawn at THINNEST of the edge's width and made fainter.
    """
    return next(tube_shares(grid, ends[None], radii[None]))


def tube_shares(
    grid: Grid, ends: NDArray[np.floating], radii: NDArray[np.floating]
) -> Iterator[tuple[Window, Array]]:
    """Yield :func:`tube_share` of many tubes, with ends (N, 2, 3) and radii (N, 2)."""
    width = edge_width(grid)
    margin = (radii.max(axis=1) + width)[:, None]
    windows = grid.windows(ends.min(axis=1) - margin, ends.max(axis=1) + margin)
    drawn = np.sqrt(np.maximum(radii**2 - width**2 / 12.0, (THINNEST * width) ** 2))
    full = (0.5 + THINNEST) ** 3 / 3.0 * width**2
    faint = np.minimum(1.0, radii.mean(axis=1) ** 2 / full).astype(np.float32)
    for window, one, thickness, share in zip(windows, ends, drawn, faint, strict=True):
        distance = tube_distance(grid.axes(window), one, thickness)
        yield window, coverage(distance, width) * share


def edge_width(grid: Grid) -> float:
    """Width in mm of a soft edge: the voxel in the slice, a little more for thick slices."""
    return float(0.75 * grid.spacing_mm[0] + 0.25 * grid.spacing_mm[2])


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid: centre (3,), half-axes (3,) in mm and the rotation (3, 3) of its axes."""

    centre: NDArray[np.float64]
    half_axes: NDArray[np.float64]
    rotation: NDArray[np.float64]

    @property
    def form(self) -> NDArray[np.float64]:
        """The matrix M with (p - c)' M (p - c) = 1 on the surface."""
        return np.asarray(self.rotation @ np.diag(self.half_axes**-2.0) @ self.rotation.T)

    def grown(self, margin_mm: float) -> Ellipsoid:
        """The same ellipsoid with longer (or, if negative, shorter) half-axes."""
        return Ellipsoid(self.centre, self.half_axes + margin_mm, self.rotation)

    def share(self, grid: Grid) -> tuple[Window, Array]:
        """Where it lies in the grid and which share of each voxel there it fills."""
        window = self.window(grid)
        return window, coverage(self.distance(grid.axes(window)), edge_width(grid))

    def window(self, grid: Grid, margin_mm: float = 2.0) -> Window:
        """The box around it in the grid, wider by a margin."""
        reach = np.sqrt(np.diag(np.linalg.inv(self.form))) + margin_mm
        return grid.window(self.centre - reach, self.centre + reach)

    def distance(self, axes: tuple[Array, Array, Array]) -> Array:
        """Signed distance in mm to the surface, exact to first order, at axes of a grid."""
        x, y, z = (axis - np.float32(c) for axis, c in zip(axes, self.centre, strict=True))
        form = self.form.astype(np.float32)
        slopes = [row[0] * x + row[1] * y + row[2] * z for row in form]
        level = np.sqrt(np.maximum(x * slopes[0] + y * slopes[1] + z * slopes[2], 1e-6))
        steepness = np.sqrt(slopes[0] ** 2 + slopes[1] ** 2 + slopes[2] ** 2) + np.float32(1e-6)
        return np.asarray((level - 1.0) * level / steepness)

    def reach_along_x(
        self, y: NDArray[np.float64], z: NDArray[np.float64], side: int
    ) -> NDArray[np.float64]:
        """Largest side * x on the surface over points (y, z); -inf where the line misses it."""
        form, dy, dz = self.form, y - self.centre[1], z - self.centre[2]
        half = form[0, 1] * dy + form[0, 2] * dz
        rest = form[1, 1] * dy**2 + 2 * form[1, 2] * dy * dz + form[2, 2] * dz**2 - 1.0
        root = half**2 - form[0, 0] * rest
        reach = side * self.centre[0] + (-side * half + np.sqrt(np.maximum(root, 0))) / form[0, 0]
        return np.where(root > 0, reach, -np.inf)


def smooth_max(first: Array, second: Array, radius_mm: float) -> Array:
    """The part common to two solids, its edge rounded.

    >>> smooth_max(np.float32([0.0, 9.0]), np.float32([0.0, 0.0]), 4.0).tolist()
    [1.0, 9.0]
    """
    overlap = np.maximum(np.float32(radius_mm) - np.abs(first - second), np.float32(0))
    return np.asarray(np.maximum(first, second) + overlap**2 * np.float32(0.25 / radius_mm))


def smooth_min(first: Array, second: Array, radius_mm: float) -> Array:
    """Two solids joined, the groove between them filled."""
    return np.asarray(-smooth_max(-first, -second, radius_mm))


def rise(value: Array, low: float, high: float) -> Array:
    """Rise from 0 at ``low`` to 1 at ``high`` without corners, in single precision."""
    part = np.clip((value - np.float32(low)) * np.float32(1.0 / (high - low)), 0, 1)
    return np.asarray(part * part * (np.float32(3) - np.float32(2) * part))


def ellipsoid(
    centre: Sequence[float] | NDArray[np.float64],
    half_axes: Sequence[float] | NDArray[np.float64],
    scale: Sequence[float] = (1.0, 1.0, 1.0),
    turn: Sequence[float] = (0.0, 0.0, 0.0),
) -> Ellipsoid:
    """An ellipsoid in a scaled frame, turned about x, y and z by degrees."""
    rotation = Rotation.from_euler("xyz", list(turn), degrees=True).as_matrix()
    factors = np.asarray(scale, dtype=float)
    return Ellipsoid(np.array(centre) * factors, np.array(half_axes) * factors, rotation)
