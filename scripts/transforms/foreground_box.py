"""Cleaning a mask where there is something to clean: in the box of its foreground."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

Transformation = Callable[[dict[Hashable, Any]], Mapping[Hashable, Any]]


class InForegroundBoxd(MapTransform):
    """Apply a transform to the smallest box that holds the foreground; the rest stays as it is.

    For transforms that look at pieces and holes, as RemoveSmallObjectsd, FillHolesd and
    KeepLargestConnectedComponentd: with these the result is that of the whole volume, and most of a
    volume is background that they would label voxel by voxel.

    Args:
        keys: masks (C, ...), cleaned one by one.
        transform: a dictionary transform of the same keys that keeps shapes, or a Compose of such.
        labels: the foreground, the ``applied_labels`` of the transform; None for all but 0.
    """

    def __init__(
        self,
        keys: KeysCollection,
        transform: Transformation,
        *,
        labels: Sequence[int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.transform = transform
        self.labels = labels

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, Any]:
        """Clean the mask of every key; affine and history are kept.

        Raises:
            ValueError: for a transform that gives another shape.
        """
        result = dict(data)
        for key in self.key_iterator(result):
            mask = result[key]
            box = foreground_box(mask, self.labels)
            if box is None:
                continue
            part = mask[box].clone()  # some transforms write into what they are given
            shape = part.shape
            cleaned = self.transform({key: part})[key]
            if cleaned.shape != shape:
                raise ValueError(
                    f"transform: must keep shapes, made {tuple(cleaned.shape)} of {tuple(shape)}"
                )
            whole = _plain(mask).to(cleaned.dtype, copy=True)
            whole[box] = _plain(cleaned)
            if isinstance(mask, MetaTensor):
                history = mask.applied_operations
                whole = MetaTensor(whole, meta=mask.meta, applied_operations=history)
            result[key] = whole
        return result


def foreground_box(
    mask: torch.Tensor, labels: Sequence[int] | None = None
) -> tuple[slice, ...] | None:
    """Find the smallest box that holds the foreground.

    Args:
        mask: (C, ...).
        labels: that are foreground; None for all but 0.

    Returns:
        A slice for each axis, all channels; None where there is no foreground.

    Example:
        >>> import torch
        >>> foreground_box(torch.tensor([[0, 3, 0, 1, 0]]))
        (slice(None, None, None), slice(1, 4, None))
    """
    plain = _plain(mask)
    if labels is None:
        left = plain.ne(0).any(dim=0)
    else:
        left = torch.zeros(plain.shape[1:], dtype=torch.bool, device=plain.device)
        for label in labels:
            left |= plain.eq(label).any(dim=0)
    ranges: list[slice] = [slice(None)]
    for axis in range(left.ndim):
        others = [other for other in range(left.ndim) if other != axis]
        occupied = torch.nonzero(left.any(dim=others) if others else left)
        if not len(occupied):
            return None
        ranges.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    return tuple(ranges)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
