"""Learnable upsampling that starts as bilinear interpolation (Long et al. 2015, section 3.3)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL = (0.25, 0.75, 0.75, 0.25)
"""Weights along one axis: new pixels lie a quarter of a pixel from the old ones."""


class BilinearDoubling(nn.Module):
    """Transposed convolution to twice the size; untrained, it interpolates each map bilinearly.

    The border is repeated before and cropped after, so that it too equals
    ``F.interpolate(mode="bilinear", align_corners=False)`` at the start, neither darkened nor
    shifted.

    >>> BilinearDoubling(1)(torch.tensor([[[[0.0, 4.0]]]])).tolist()
    [[[[0.0, 1.0, 3.0, 4.0], [0.0, 1.0, 3.0, 4.0]]]]
    """

    def __init__(self, channels: int) -> None:
        """Double ``channels`` maps, separate at first; training may mix them."""
        super().__init__()
        self.weight = nn.Parameter(bilinear_kernel(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, 2H, 2W)."""
        bordered = F.pad(x, [1, 1, 1, 1], mode="replicate")
        return F.conv_transpose2d(bordered, self.weight, stride=2, padding=3)


def bilinear_kernel(channels: int) -> Tensor:
    """Return the weight (C, C, 4, 4) of a transposed convolution that doubles each map separately.

    >>> bilinear_kernel(2)[0, :, 1, 1].tolist()
    [0.5625, 0.0]
    """
    row = torch.tensor(KERNEL)
    return torch.eye(channels)[:, :, None, None] * torch.outer(row, row)
