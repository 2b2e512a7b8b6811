"""Patches of an image around the points of a grid, and the cells that they stand for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from scripts.transforms.body_field import body_field
from scripts.transforms.lung_field import lung_field
from scripts.transforms.mask_closing import Mask, fill
from scripts.volumes.volume import Volume

REGIONS = ("body", "body_box", "lung", "lung_box", "all")
USUAL_STRIDE, MOST_CELLS = 3, 60_000
Indices = NDArray[np.int64]


def region_named(volume: Volume, name: str) -> Mask:
    """Return the part of a CT that is to be segmented.

    Args:
        volume: in LPS index order.
        name: ``body`` (without the table, with the lungs), ``lung``, their bounding boxes
            ``body_box`` and ``lung_box``, or ``all``.

    Returns:
        (Z, Y, X).

    Raises:
        NoLungsError: when there are no lungs in it.
        KeyError: for another name.
    """
    field = _FIELDS[name.removesuffix("_box")](volume.hu, volume.spacing_mm)
    if not name.endswith("_box"):
        return field
    region = np.zeros_like(field)
    region[bounding_box(field)] = True
    return region


def _body(hu_zyx: NDArray[np.int16], spacing_mm: Sequence[float]) -> Mask:
    return fill(body_field(hu_zyx, spacing_mm))


def _all(hu_zyx: NDArray[np.int16], spacing_mm: Sequence[float]) -> Mask:
    return np.ones(hu_zyx.shape, bool)


_FIELDS: dict[str, Callable[[NDArray[np.int16], Sequence[float]], Mask]] = {
    "body": _body,
    "lung": lung_field,
    "all": _all,
}


def bounding_box(mask: Mask) -> tuple[slice, ...]:
    """Return the smallest box around a mask that is not empty."""
    occupied = (np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3))
    return tuple(slice(int(index[0]), int(index[-1]) + 1) for index in occupied)


def grid_steps(stride: int, spacing_mm: Sequence[float]) -> tuple[int, int, int]:
    """Return the edges (z, y, x) in voxels of a cell that is about as high as it is wide.

    Args:
        stride: edge in the slice, in pixels.
        spacing_mm: along x, y, z.

    Example:
        >>> grid_steps(3, (0.7, 0.7, 0.7)), grid_steps(3, (0.7, 0.7, 2.5))
        ((3, 3, 3), (1, 3, 3))
    """
    return max(1, round(stride * spacing_mm[0] / spacing_mm[2])), stride, stride


def usual_stride(region: Mask, spacing_mm: Sequence[float]) -> int:
    """Return the stride of Moriya et al., 3, or the least with at most 60,000 cells.

    Args:
        region: (Z, Y, X).
        spacing_mm: along x, y, z.

    Example:
        >>> usual_stride(np.ones((10, 90, 90), bool), (1, 1, 3))
        3
    """
    voxels, stride = int(region.sum()), USUAL_STRIDE
    while voxels / math.prod(grid_steps(stride, spacing_mm)) > MOST_CELLS:
        stride += 1
    return stride


@dataclass(frozen=True)
class PatchGrid:
    """The cells of a regular grid that a region touches; together they cover the region.

    Args:
        region: (Z, Y, X).
        steps: edges of a cell along z, y, x in voxels.

    Example:
        >>> grid = PatchGrid(np.ones((1, 4, 5), bool), (1, 3, 3))
        >>> grid.centres().tolist()
        [[0, 1, 1], [0, 1, 4], [0, 3, 1], [0, 3, 4]]
        >>> grid.project(np.array([1, 2, 3, 4]))[0].tolist()
        [[1, 1, 1, 2, 2], [1, 1, 1, 2, 2], [1, 1, 1, 2, 2], [3, 3, 3, 4, 4]]
    """

    region: Mask
    steps: tuple[int, int, int]

    def _cells(self) -> Mask:
        """Return which cells the region touches."""
        cells = self.region
        for axis, step in enumerate(self.steps):
            starts = np.arange(0, cells.shape[axis], step)
            cells = np.logical_or.reduceat(cells, starts, axis=axis)
        return np.asarray(cells)

    def centres(self) -> Indices:
        """Return (N, 3): the voxel (z, y, x) in the middle of each cell."""
        middle = np.argwhere(self._cells()) * self.steps + np.array(self.steps) // 2
        return np.asarray(np.minimum(middle, np.array(self.region.shape) - 1), np.int64)

    def project(self, labels: Indices) -> NDArray[np.uint8]:
        """Give the label of each cell to its voxels; 0 outside the region.

        Args:
            labels: (N,), one for each row of :meth:`centres`, from 1 to 255.
        """
        cells = self._cells()
        values = np.zeros(cells.shape, np.uint8)
        values[cells] = labels
        for axis, step in enumerate(self.steps):
            values = values.repeat(step, axis=axis)
        inside = values[tuple(slice(n) for n in self.region.shape)]
        return np.asarray(np.where(self.region, inside, np.uint8(0)))


@dataclass(frozen=True)
class ImagePatches:
    """Patches of one image; beyond its edges it is mirrored.

    Args:
        image: (Z, Y, X), float32.
        size: edge of a patch in pixels.
        spatial_dims: 2: three slices as channels, patches (3, P, P); 3: patches (1, P, P, P).
    """

    image: NDArray[np.float32]
    size: int
    spatial_dims: int = 2

    @property
    def channels(self) -> int:
        """Number of channels of a patch."""
        return 3 if self.spatial_dims == 2 else 1

    @cached_property
    def _views(self) -> NDArray[np.float32]:
        """Every patch as a view (Z, Y, X, D, P, P) of the image with its frame."""
        depth = 3 if self.spatial_dims == 2 else self.size
        window = (depth, self.size, self.size)
        frame = [(edge // 2, edge - 1 - edge // 2) for edge in window]
        padded = np.pad(self.image, frame, mode="symmetric")
        return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, window))

    def at(self, centres: Indices) -> torch.Tensor:
        """Return the patches (N, 3, P, P) or (N, 1, P, P, P) around voxels (z, y, x)."""
        z, y, x = centres.T
        cut = torch.from_numpy(self._views[z, y, x])
        return cut if self.spatial_dims == 2 else cut[:, None]

    def near(self, centres: Indices, reach: int, rng: np.random.Generator) -> torch.Tensor:
        """Return patches around voxels up to ``reach`` from the given ones along each axis.

        With three slices as channels, the slices stay the same.
        """
        shifts = rng.integers(-reach, reach, centres.shape, endpoint=True)
        if self.spatial_dims == 2:
            shifts[:, 0] = 0
        return self.at(np.clip(centres + shifts, 0, np.array(self.image.shape) - 1))
