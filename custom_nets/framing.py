"""Padding of images to sizes that a network can halve five times."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

STRIDE = 32
"""Height and width are padded to a multiple of it, so that every map halves exactly."""


def pad_to_stride(x: Tensor, channels: int) -> tuple[Tensor, list[int]]:
    """Pad an image at its lower and right edge with copies of its last row and column.

    Scriptable and exportable for any height and width.

    Args:
        x: (B, channels, H, W).
        channels: that x must have; one channel would be broadcast to three unnoticed.

    Returns:
        The image with sides that are multiples of `STRIDE`; and the negative padding with which
        ``F.pad`` crops a map of its size to the image again. Unlike a slice it can be exported.

    Raises:
        ValueError: x is not a batch of images with ``channels`` channels.

    >>> import torch
    >>> image, back = pad_to_stride(torch.rand(1, 3, 33, 64), 3)
    >>> tuple(image.shape), back
    ((1, 3, 64, 64), [0, 0, 0, -31])
    """
    if x.dim() != 4 or x.shape[1] != channels:
        raise ValueError(
            f"input must be (B, {channels}, H, W); got {list(x.shape)}; "
            "change the input, or in_channels of the network"
        )
    below, right = missing_rows(x.shape[-2]), missing_rows(x.shape[-1])
    return F.pad(x, [0, right, 0, below], mode="replicate"), [0, -right, 0, -below]


def missing_rows(size: int, stride: int = STRIDE) -> int:  # TorchScript reads no global
    """Return the rows or columns missing from the next multiple of ``stride``.

    >>> missing_rows(33), missing_rows(64)
    (31, 0)
    """
    return (size + stride - 1) // stride * stride - size
