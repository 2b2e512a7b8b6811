"""Square patches around one voxel, near and far: the input of voxel-wise classifiers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

NEAR = 35
"""Side in pixels of a pathway's input; the voxel to classify is in the middle."""

FAR = 65
"""Side in pixels of the wider surroundings, which are shrunk to ``NEAR``."""

PLANES = 3
"""Planes of a patch: a slice and its two neighbours, or three slices at right angles."""


# Sizes are default arguments because TorchScript does not read global names.
def near_patch(x: Tensor, size: int = NEAR) -> Tensor:
    """Cut (B, C, size, size) out of the middle of (B, C, FAR, FAR)."""
    top, left = (x.shape[2] - size) // 2, (x.shape[3] - size) // 2
    return x[:, :, top : top + size, left : left + size]


def far_patch(x: Tensor, size: int = NEAR) -> Tensor:
    """Shrink (B, C, FAR, FAR) to (B, C, size, size) by cubic interpolation.

    Both sides are odd and the corners are aligned, so that the middle pixel stays in the middle.

    >>> import torch
    >>> row = torch.arange(65.0).expand(1, 1, 65, 65)
    >>> far_patch(row)[0, 0, 0, [0, 17, 34]].tolist()
    [0.0, 32.0, 64.0]
    """
    return F.interpolate(x, size=[size, size], mode="bicubic", align_corners=True)


def check_patch(x: Tensor, planes: int = PLANES, size: int = FAR) -> None:
    """Refuse an input that is not (B, planes, size, size).

    Raises:
        ValueError: the input has another shape; a whole slice needs an inferer that cuts patches.
    """
    if x.dim() != 4 or x.shape[1] != planes or x.shape[2] != size or x.shape[3] != size:
        raise ValueError(
            f"input must be patches (B, {planes}, {size}, {size}) around one voxel each; got "
            f"{list(x.shape)}; classify whole slices and volumes through "
            "scripts.training.inferers.CentreVoxelInferer"
        )
