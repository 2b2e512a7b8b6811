"""CF-CNN, the central focused network for lung nodules (Wang et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from custom_nets.baselines.central_pooling import CentralPooling
from custom_nets.baselines.patches import NEAR, PLANES, check_patch, far_patch, near_patch
from custom_nets.encoders.encoder import initialise
from custom_nets.freezing import FreezableBatchNorm2d

WIDTHS = (36, 48, 68)
"""Maps of the three pairs of convolutions."""


class CentralFocusedBranch(nn.Module):
    """Three pairs of 3x3 convolutions, central pooling between them, and a feature vector."""

    def __init__(self, in_channels: int, widths: Sequence[int], features: int) -> None:
        """Map patches of ``in_channels`` planes to ``features`` numbers."""
        super().__init__()
        size, before = NEAR, in_channels
        layers: list[nn.Module] = []
        for index, width in enumerate(widths):
            if index:
                pooling = CentralPooling(size)
                layers.append(pooling)
                size = pooling.pooled_size
            layers += [*_convolution(before, width), *_convolution(width, width)]
            before = width
        self.convolutions = nn.Sequential(*layers)
        self.features = nn.Sequential(nn.Linear(before * size * size, features), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, 35, 35) to (B, features)."""
        features: Tensor = self.features(self.convolutions(x).flatten(1))
        return features


class CFCNN(nn.Module):
    """Patches (B, 3, 65, 65) to logits (B, out_channels, 1, 1) of the voxel in their middle.

    The planes are the voxel's slice and the slices below and above it. Two branches have the same
    layers: the input of the 3D branch is all three planes, 35 pixels wide; that of the 2D branch is
    the middle plane at two scales, 35 pixels, and 65 pixels shrunk to 35. Their features are joined
    and scored.

    Source: Wang, Zhou, Liu, Liu, Gu, Zang, Dong, Gevaert, Tian, Central focused convolutional
    neural networks: developing a data-driven model for lung nodule segmentation, Medical Image
    Analysis 40, 172-183, 2017. Departs from the paper, or could not be checked against it, in: the
    number of windows of each size in a central pooling; the widths 36, 48, 68, the 300 features and
    PReLU, which are taken from memory of the paper; padded convolutions; one sigmoid logit for
    each class where the paper has a softmax over two; no post-processing of the mask.

    >>> tuple(CFCNN().eval()(torch.rand(2, 3, 65, 65)).shape)
    (2, 1, 1, 1)
    """

    def __init__(
        self, out_channels: int = 1, *, widths: Sequence[int] = WIDTHS, features: int = 300
    ) -> None:
        """Build with random weights.

        Args:
            out_channels: logits of a voxel.
            widths: maps of the three pairs of convolutions.
            features: length of each branch's feature vector.

        Raises:
            ValueError: not three widths, as the size of the patch allows, or a number below 1.
        """
        super().__init__()
        if len(widths) != 3 or min(*widths, features, out_channels) < 1:
            raise ValueError(
                f"widths must be three numbers of maps, features and out_channels at least 1; got "
                f"{list(widths)}, {features}, {out_channels}; correct them"
            )
        self.volume = CentralFocusedBranch(PLANES, widths, features)
        self.scales = CentralFocusedBranch(2, widths, features)
        self.joined = nn.Sequential(nn.Linear(2 * features, features), nn.PReLU())
        self.score = nn.Linear(features, out_channels)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, 65, 65) to (B, out_channels, 1, 1).

        Raises:
            ValueError: another shape.
        """
        check_patch(x)
        near, middle = near_patch(x), x[:, 1:2]
        scales = torch.cat([near[:, 1:2], far_patch(middle)], dim=1)
        features = torch.cat([self.volume(near), self.scales(scales)], dim=1)
        logits: Tensor = self.score(self.joined(features))
        return logits[:, :, None, None]


def _convolution(in_channels: int, channels: int) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    return [convolution, FreezableBatchNorm2d(channels), nn.PReLU()]
