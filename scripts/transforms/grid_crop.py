"""Cropping to a region along a grid, so that a network gives the same result as in the whole image.

A network that halves its maps five times processes the slice in blocks of 32 voxels. When cropped
at other positions than multiples of 32, each block contains other voxels, and the result differs
everywhere, not only at the border.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import CropForeground, CropForegroundd
from numpy.typing import NDArray


class CropOnGridd(CropForegroundd):
    """Crop to the region where ``source_key`` is above 0, along grid lines; invertible.

    Args:
        keys: arrays (C, ...) of one spatial shape, which are cropped to the same box.
        source_key: key of the region, (1, ...).
        margin: voxels around the region along each spatial axis, limited to the image.
        grid: distance between grid lines in voxels along each spatial axis, from the image's edge.
            The last cell may be smaller.

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
        """Return the box of a region (1, ...): start and end, the end not included."""
        start, end = super().compute_bounding_box(img)
        outer = -(-end // self.grid) * self.grid
        return start // self.grid * self.grid, np.minimum(outer, np.array(img.shape[1:]))
