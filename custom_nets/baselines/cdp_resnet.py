"""CDP-ResNet, the cascaded dual-pathway residual network for lung nodules (Liu et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from custom_nets.baselines.patches import NEAR, PLANES, check_patch, far_patch, near_patch
from custom_nets.encoders.encoder import initialise
from custom_nets.encoders.resnet import BasicUnit
from custom_nets.freezing import FreezableBatchNorm2d

WIDTHS = (32, 64, 128)
"""Maps of the three residual units of a pathway; each but the first halves the patch."""


class ResidualPathway(nn.Module):
    """A convolution and residual units; the last map is flattened, so positions stay distinct."""

    def __init__(self, widths: Sequence[int], features: int) -> None:
        """Map patches of three planes to ``features`` numbers."""
        super().__init__()
        first = nn.Conv2d(PLANES, widths[0], 3, padding=1, bias=False)
        layers = [first, FreezableBatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        size, before = NEAR, widths[0]
        for index, width in enumerate(widths):
            stride = 2 if index else 1
            layers.append(BasicUnit(before, width, stride=stride))
            size, before = (size + stride - 1) // stride, width
        self.units = nn.Sequential(*layers)
        self.features = nn.Sequential(
            nn.Linear(before * size * size, features), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, 35, 35) to (B, features)."""
        features: Tensor = self.features(self.units(x).flatten(1))
        return features


class DualPathway(nn.Module):
    """A local and a context pathway, joined with an earlier network's logits, to logits."""

    def __init__(
        self, out_channels: int, *, widths: Sequence[int], features: int, prior: int
    ) -> None:
        """Score ``out_channels`` from two pathways and ``prior`` logits of an earlier network."""
        super().__init__()
        self.local = ResidualPathway(widths, features)
        self.context = ResidualPathway(widths, features)
        self.score = nn.Linear(2 * features + prior, out_channels)

    def forward(self, near: Tensor, far: Tensor, prior: Tensor) -> Tensor:
        """Map two patches (B, 3, 35, 35) and (B, prior) to logits (B, out_channels)."""
        features = torch.cat([self.local(near), self.context(far), prior], dim=1)
        logits: Tensor = self.score(features)
        return logits


class CDPResNet(nn.Module):
    """Patches (B, 3, 65, 65) to logits (B, out_channels, 1, 1) of the voxel in their middle.

    The planes are the axial, coronal and sagittal slice through the voxel (or, for data without
    volumes, the slice and its two neighbours). The input of the local pathway is 35 pixels wide,
    that of the context pathway 65 pixels, shrunk to 35. Two such networks form a cascade: the
    logits of the first are an input of the second's last layer.

    Source: Liu, Cao, Song, Ma, Xu, Jin, Jin, Hung, A cascaded dual-pathway residual network for
    lung nodule segmentation in CT images, Physica Medica 63, 112-121, 2019. Its abstract gives
    views, scales, two residual pathways, the cascade and sampling near the edge. Departs from the
    paper, or could not be checked against it, in: where the cascade joins (here before the last
    layer, as one of the cascades of Havaei et al., Medical Image Analysis 35, 2017), both networks
    being trained together; the number and the widths of the residual units; one sigmoid logit for
    each class.

    >>> tuple(CDPResNet(widths=(8, 8, 8), features=16).eval()(torch.rand(2, 3, 65, 65)).shape)
    (2, 1, 1, 1)
    """

    def __init__(
        self, out_channels: int = 1, *, widths: Sequence[int] = WIDTHS, features: int = 256
    ) -> None:
        """Build with random weights.

        Args:
            out_channels: logits of a voxel.
            widths: maps of the residual units of each pathway.
            features: length of each pathway's feature vector.

        Raises:
            ValueError: no widths, or a number below 1.
        """
        super().__init__()
        if not widths or min(*widths, features, out_channels) < 1:
            raise ValueError(
                f"widths, features and out_channels must be at least 1; got {list(widths)}, "
                f"{features}, {out_channels}; correct them"
            )
        self.first = DualPathway(out_channels, widths=widths, features=features, prior=0)
        self.second = DualPathway(
            out_channels, widths=widths, features=features, prior=out_channels
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, 65, 65) to (B, out_channels, 1, 1).

        Raises:
            ValueError: another shape.
        """
        check_patch(x)
        near, far = near_patch(x), far_patch(x)
        prior = self.first(near, far, x.new_zeros(x.shape[0], 0))
        logits: Tensor = self.second(near, far, prior)
        return logits[:, :, None, None]
