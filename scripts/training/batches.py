"""Batches of images of several sizes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.data.utils import list_data_collate
from monai.transforms import SpatialPad

Item = Mapping[Hashable, Any]


def padded_batch(batch: Sequence[Item | Sequence[Item]]) -> Any:
    """Collate items whose images differ in size, as slices of several scans do.

    Images smaller than the patch stay as they are, so a batch may hold several sizes. The last row
    and column of each are repeated up to the largest size, as networks pad images of odd sizes.
    Without a difference nothing is padded.

    Args:
        batch: items with tensors (C, ...), or lists of them as random crops return.

    Returns:
        The entries as tensors (B, C, ...).

    Example:
        >>> small, large = ({"image": torch.ones(1, 2, side)} for side in (3, 4))
        >>> padded_batch([small, large])["image"].shape
        torch.Size([2, 1, 2, 4])
    """
    items = [one for item in batch for one in ([item] if isinstance(item, Mapping) else item)]
    sizes: dict[Hashable, list[torch.Size]] = {}
    for item in items:
        for key, value in item.items():
            if isinstance(value, torch.Tensor) and value.ndim > 2:
                sizes.setdefault(key, []).append(value.shape[1:])
    unequal = {key: shapes for key, shapes in sizes.items() if len(set(shapes)) > 1}
    pads = {key: _pad_to_largest(shapes) for key, shapes in unequal.items()}
    return list_data_collate(
        [{key: pads[key](v) if key in pads else v for key, v in item.items()} for item in items]
    )


def _pad_to_largest(shapes: Sequence[torch.Size]) -> SpatialPad:
    largest = [max(sides) for sides in zip(*shapes, strict=True)]
    return SpatialPad(largest, method="end", mode="edge")
