"""Shapes of organs put together from simple solids: signed distances that are joined smoothly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from scripts.phantom.parenchyma import TextureLookup
from scripts.phantom.solids import Array, Ellipsoid, Grid

Axes = tuple[Array, Array, Array]
REACH_MM = (400.0, 280.0, 400.0)  # z, y, x covered by the fields


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


def draw_field(rng: np.random.Generator, step_mm: float, reach_steps: float) -> Array:
    """A random field (Z, Y, X) of unit variance on a grid of ``step_mm``, smooth over its steps."""
    shape = tuple(int(extent / step_mm) + 2 for extent in REACH_MM)
    field = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), reach_steps, mode="wrap")
    return np.asarray(field / field.std(), dtype=np.float32)


def sample_field(field: Array, grid: Grid, step_mm: float) -> Array:
    """A field at the voxels of a grid (Z, Y, X)."""
    lookup = TextureLookup(field, grid, step_mm)
    return np.stack([lookup.slice(row) for row in range(len(grid.z))])
