"""Texture of tissue: coarse random fields, interpolated slice by slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from scripts.phantom.build import Build
from scripts.phantom.solids import Array, Grid

TEXTURE_MM = 2.6  # step of the field of the lungs
REACH_MM = (400.0, 280.0, 400.0)  # z, y, x covered by the fields of an abdomen


def draw_texture(build: Build, rng: np.random.Generator) -> Array:
    """Draw the texture (Z, Y, X) of the lung tissue in HU on a coarse grid of TEXTURE_MM."""
    shape = tuple(int(extent / TEXTURE_MM) + 2 for extent in (330.0, 200.0, 300.0))
    fine = rng.standard_normal(shape, dtype=np.float32)
    medium = gaussian_filter(fine, 1.0)
    slow = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 5.0)
    texture = 14.0 * fine + 13.0 * medium / medium.std() + 14.0 * slow / slow.std()
    if build.emphysema:
        holes = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 1.6)
        height = np.linspace(-0.5, 0.7, shape[0], dtype=np.float32)[:, None, None]
        level = np.quantile(holes, 1 - build.emphysema)
        texture -= 70.0 * np.clip((holes / holes.std() + height - level / holes.std()) * 1.5, 0, 1)
    return np.asarray(texture, dtype=np.float32)


class TextureLookup:
    """Linear interpolation of a coarse field, slice by slice.

    Args:
        field: (Z, Y, X) on a grid of ``step_mm`` centred on the patient's frame.
        grid: voxel grid to interpolate at.
        step_mm: spacing of the field.
    """

    def __init__(self, field: Array, grid: Grid, step_mm: float = TEXTURE_MM) -> None:
        self.field, self.step_mm = field, step_mm
        self.along = [
            self._positions(axis, count)
            for axis, count in zip((grid.z, grid.y, grid.x), field.shape, strict=True)
        ]

    def _positions(self, axis: Array, count: int) -> tuple[NDArray[np.intp], Array]:
        position = np.clip(axis / self.step_mm + (count - 1) / 2, 0, count - 1.001)
        low = np.floor(position).astype(np.intp)
        return low, (position - low).astype(np.float32)

    def slice(self, row: int) -> Array:
        """Return the field (Y, X) at one slice of the grid."""
        (z, tz), (y, ty), (x, tx) = self.along
        plane = self.field[z[row]] * (1 - tz[row]) + self.field[z[row] + 1] * tz[row]
        plane = plane[y] * (1 - ty[:, None]) + plane[y + 1] * ty[:, None]
        return np.asarray(plane[:, x] * (1 - tx) + plane[:, x + 1] * tx)


def draw_field(rng: np.random.Generator, step_mm: float, reach_steps: float) -> Array:
    """Draw a smooth random field (Z, Y, X) of unit variance on a grid of ``step_mm``."""
    shape = tuple(int(extent / step_mm) + 2 for extent in REACH_MM)
    field = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), reach_steps, mode="wrap")
    return np.asarray(field / field.std(), dtype=np.float32)


def sample_field(field: Array, grid: Grid, step_mm: float) -> Array:
    """Interpolate a field at the voxels of a grid (Z, Y, X)."""
    lookup = TextureLookup(field, grid, step_mm)
    return np.stack([lookup.slice(row) for row in range(len(grid.z))])
