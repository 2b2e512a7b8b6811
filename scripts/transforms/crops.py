"""Training patches with a lesion at a random position."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable, SpatialCrop


class RandCropWithLabeld(MapTransform, Randomizable):
    """Crop random patches of one size, a share of which contains a labelled voxel.

    Its position in the patch is uniformly distributed. MONAI's ``RandCropByPosNegLabeld`` puts it
    in the middle: a network that always sees small lesions there learns the position (zero padding
    reveals the middle) and finds nothing in a whole slice. An image smaller than the patch is not
    cropped along that axis.

    Args:
        keys: arrays (C, ...) of one spatial shape, which are cropped to the same region.
        label_key: key of the label; voxels above 0 are labelled.
        patch_size: size along each spatial axis, in voxels.
        share: share of patches that must contain a labelled voxel, if the item has any.
        num_samples: number of patches from one item.

    Raises:
        ValueError: for a share outside 0 to 1, or no samples.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_key: str,
        patch_size: Sequence[int],
        *,
        share: float = 0.75,
        num_samples: int = 1,
    ) -> None:
        super().__init__(keys)
        if not 0 <= share <= 1:
            raise ValueError(f"share: must be from 0 to 1, got {share}")
        if num_samples < 1:
            raise ValueError(f"num_samples: must be at least 1, got {num_samples}")
        self.label_key = label_key
        self.patch_size = tuple(patch_size)
        self.share = share
        self.num_samples = num_samples

    def __call__(self, data: Mapping[Hashable, Any]) -> list[dict[Hashable, Any]]:
        """Return one item for each patch, with the other entries of the input.

        Raises:
            ValueError: when ``patch_size`` has another number of axes than the label.
        """
        shape = tuple(data[self.label_key].shape[1:])
        if len(shape) != len(self.patch_size):
            raise ValueError(f"patch_size: must have {len(shape)} numbers, got {self.patch_size}")
        labelled = torch.nonzero(torch.as_tensor(data[self.label_key])[0] > 0).numpy()
        return [self._crop(data, shape, labelled) for _ in range(self.num_samples)]

    def _crop(
        self, data: Mapping[Hashable, Any], shape: tuple[int, ...], labelled: np.ndarray[Any, Any]
    ) -> dict[Hashable, Any]:
        start = self._start(shape, labelled)
        stop = [a + size for a, size in zip(start, self.patch_size, strict=True)]
        crop = SpatialCrop(roi_start=start, roi_end=stop)
        cropped = {key: crop(data[key]) for key in self.key_iterator(dict(data))}
        return {**data, **cropped}

    def _start(self, shape: tuple[int, ...], labelled: np.ndarray[Any, Any]) -> list[int]:
        """Draw the patch's first voxel along each axis."""
        last = [max(side - size, 0) for side, size in zip(shape, self.patch_size, strict=True)]
        low, high = [0] * len(last), last
        if len(labelled) and self.R.random() < self.share:
            voxel = labelled[self.R.randint(len(labelled))]
            axes = list(zip(voxel, self.patch_size, last, strict=True))
            low = [min(max(int(v) - size + 1, 0), end) for v, size, end in axes]
            high = [min(int(v), end) for v, _, end in axes]
        return [int(self.R.randint(a, b + 1)) for a, b in zip(low, high, strict=True)]
