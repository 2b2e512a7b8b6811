"""Padding of images and volumes to sizes that a network can halve."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

STRIDE = 32
"""Height and width are padded to a multiple of it, so that every map halves exactly."""


def pad_to_stride(
    x: Tensor, channels: int, stride: int = STRIDE, axes: int = 2
) -> tuple[Tensor, list[int]]:
    """Pad an image at its lower and right edge with copies of its last row and column.

    Scriptable and exportable for any height and width.

    Args:
        x: (B, channels, H, W), or (B, channels, H, W, D).
        channels: that x must have; one channel would be broadcast to three unnoticed.
        stride: whose multiples the padded sides are.
        axes: number of spatial axes.

    Returns:
        The padded image; and the negative padding with which ``F.pad`` crops a map of its size to
        the image again. Unlike a slice it can be exported.

    Raises:
        ValueError: x is not a batch of images with ``channels`` channels.

    >>> import torch
    >>> image, back = pad_to_stride(torch.rand(1, 3, 33, 64), 3)
    >>> tuple(image.shape), back
    ((1, 3, 64, 64), [0, 0, 0, -31])
    """
    check_input(x, channels, axes)
    missing: list[int] = []
    for axis in range(axes):
        missing += [0, missing_rows(x.shape[-1 - axis], stride)]
    # without a branch on the size, of which an export would keep one side only
    return F.pad(x, missing, mode="replicate"), [-lacking for lacking in missing]


def check_input(x: Tensor, channels: int, axes: int = 2) -> None:
    """Refuse an input with other channels or axes.

    Raises:
        ValueError: x is not (B, channels, H, W) or, with three axes, (B, channels, H, W, D).
    """
    if x.dim() != axes + 2 or x.shape[1] != channels:
        sides = "H, W" if axes == 2 else "H, W, D"
        raise ValueError(
            f"input must be (B, {channels}, {sides}); got {list(x.shape)}; "
            "change the input, or in_channels of the network"
        )


def missing_rows(size: int, stride: int = STRIDE) -> int:  # TorchScript reads no global
    """Return the rows or columns missing from the next multiple of ``stride``.

    >>> missing_rows(33), missing_rows(64)
    (31, 0)
    """
    return (size + stride - 1) // stride * stride - size
