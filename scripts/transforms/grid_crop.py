"""Cropping to a region along a grid, so that a network computes there what it would in the whole.

A network that halves its maps five times sees the slice in blocks of 32 voxels. Cropped elsewhere
than at a multiple of 32 every block holds other voxels, and the result differs throughout, not
just at the rim.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import CropForeground, CropForegroundd
from numpy.typing import NDArray


class CropOnGridd(CropForegroundd):
    """Crop to where ``source_key`` is above 0, from grid line to grid line; can be inverted.

    Args:
        keys: cropped alike, each (C, ...) of one spatial shape.
        source_key: the region, (1, ...).
        margin: voxels around it, for each spatial axis; no more than the image has.
        grid: distance of grid lines in voxels, for each spatial axis; the first is the image's
            edge. The last cell is as large as the image leaves it.

    Raises:
        ValueError: for a distance below 1.
    """

    def __init__(
        self,
        keys: KeysCollection,
        source_key: str,
        *,
        margin: Sequence[int],
        grid: Sequence[int],
    ) -> None:
        super().__init__(keys, source_key=source_key)
        if min(grid) < 1:
            raise ValueError(f"grid: must be at least 1 along each axis, got {list(grid)}")
        self.cropper = _GridCrop(margin=margin, grid=grid)


class _GridCrop(CropForeground):
    def __init__(self, *, margin: Sequence[int], grid: Sequence[int]) -> None:
        super().__init__(margin=margin, allow_smaller=True)
        self.grid = np.array(grid)

    def compute_bounding_box(
        self, img: torch.Tensor
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the box of a region (1, ...): first voxel and the one behind the last."""
        start, end = super().compute_bounding_box(img)
        outer = -(-end // self.grid) * self.grid
        return start // self.grid * self.grid, np.minimum(outer, np.array(img.shape[1:]))
