"""ConvNeXt (Liu, Mao, Wu, Feichtenhofer, Darrell, Xie, CVPR 2022) as an encoder: ConvNeXt-T."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.encoders.encoder import OneLayer
from custom_nets.encoders.stochastic_depth import StochasticDepth
from custom_nets.encoders.tapped import TappedEncoder, numbered

EPS = 1e-6
"""Added to the variance by the layer norms."""

FIRST_SCALE = 1e-6
"""Factor of every residual branch before training."""


class MapNorm(nn.LayerNorm):
    """Layer norm over the channels at each place of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        """Normalise ``channels`` maps."""
        super().__init__(channels, eps=EPS)

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        last = input.permute(0, 2, 3, 1)
        normed = F.layer_norm(last, self.normalized_shape, self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)


class Permuted(nn.Module):
    """Reorder the axes of a map."""

    def __init__(self, *axes: int) -> None:
        """Put ``axes`` of the input in this order."""
        super().__init__()
        self.axes = list(axes)

    def forward(self, x: Tensor) -> Tensor:
        """Return a view of x with its axes in the stated order."""
        return x.permute(self.axes)


class ConvNeXtUnit(OneLayer):
    """7x7 depthwise convolution, layer norm, and two linear layers at each place, scaled.

    One layer for freezing: the factors of the branch belong to the unit as a whole.
    """

    def __init__(self, channels: int, drop_rate: float) -> None:
        """Map ``channels`` maps to as many."""
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            Permuted(0, 2, 3, 1),
            nn.LayerNorm(channels, eps=EPS),
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            nn.Linear(4 * channels, channels),
            Permuted(0, 3, 1, 2),
        )
        self.layer_scale = nn.Parameter(torch.full((channels, 1, 1), FIRST_SCALE))
        self.stochastic_depth = StochasticDepth(drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        branch: Tensor = self.stochastic_depth(self.layer_scale * self.block(x))
        return branch + x


class ConvNeXtEncoder(TappedEncoder):
    """The stem is block1, each stage with the halving before it one of block2 ... block5.

    The stem divides the sides by 4 at once, so that there is no map at stride 2, and block1 and
    block2 have the same: a decoder takes block2 there. A subclass states the units and widths of
    its stages. Layers are the stem, the units and the halvings, each with its norms.
    """

    block_strides = (4, 4, 8, 16, 32)
    units: ClassVar[tuple[int, ...]]
    drop_rate: ClassVar[float]

    def __init_subclass__(
        cls,
        *,
        name: str,
        units: tuple[int, int, int, int],
        widths: tuple[int, int, int, int],
        drop_rate: float,
    ) -> None:
        """Declare a member of the family; ``drop_rate`` is that of its last unit."""
        super().__init_subclass__()
        cls.name, cls.units, cls.drop_rate = name, units, drop_rate
        cls.block_channels = (widths[0], *widths)

    def __init__(self, in_channels: int = 3) -> None:
        """Build with random weights for 1 or 3 input channels."""
        super().__init__(in_channels)
        width = self.block_channels[0]
        members = [nn.Sequential(nn.Conv2d(in_channels, width, 4, stride=4), MapNorm(width))]
        for stage, channels in enumerate(self.block_channels[1:]):
            if channels != width:
                halving = nn.Conv2d(width, channels, 2, stride=2)
                members.append(nn.Sequential(MapNorm(width), halving))
            members.append(self._stage(stage, channels))
            width = channels
        self.add_features(numbered(members), ["0", "1", "3", "5", "7"])

    def _stage(self, stage: int, channels: int) -> nn.Sequential:
        """Build the units of a stage, counted from 0; the drop rate rises linearly from 0."""
        first, last = sum(self.units[:stage]), sum(self.units) - 1
        rates = [self.drop_rate * (first + unit) / last for unit in range(self.units[stage])]
        return nn.Sequential(*(ConvNeXtUnit(channels, rate) for rate in rates))


class ConvNeXtTinyEncoder(
    ConvNeXtEncoder,
    name="convnext_tiny",
    units=(3, 3, 9, 3),
    widths=(96, 192, 384, 768),
    drop_rate=0.1,
):
    """ConvNeXt-T; conv1 ... conv22."""
