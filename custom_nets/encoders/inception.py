"""Inception-v3 (Szegedy et al. 2016) as an encoder."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from custom_nets.encoders.encoder import Encoder
from custom_nets.freezing import FreezableBatchNorm2d

INPUT = "input"
"""Source of the first unit of a branch of a mixed module."""


class Unit(NamedTuple):
    """One member of a mixed module: its source, width (0 for a pooling) and kernel."""

    name: str
    source: str
    width: int
    kernel: int | tuple[int, int]
    stride: int = 1


class ConvNormReLU(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        """Map ``in_channels`` to ``channels`` maps."""
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, channels, kernel, stride=stride, padding=padding, bias=False
        )
        self.bn = FreezableBatchNorm2d(channels, eps=0.001)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H', W')."""
        out: Tensor = self.relu(self.bn(self.conv(x)))
        return out


class Mixed(nn.Sequential):
    """Parallel branches; the outputs of units that feed no other unit are concatenated."""

    def __init__(self, in_channels: int, units: list[Unit], *, same_padding: bool = True) -> None:
        """Build the units in order; strided units are padded only with ``same_padding``."""
        super().__init__()
        widths = {INPUT: in_channels}
        for unit in units:
            widths[unit.name] = unit.width or widths[unit.source]
            self.add_module(unit.name, _member(widths[unit.source], unit, same_padding))
        names = list(widths)
        self.sources = [names.index(unit.source) for unit in units]
        self.ends = [i for i in range(1, len(names)) if i not in self.sources]
        self.channels = sum(widths[names[i]] for i in self.ends)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H / stride, W / stride)."""
        maps = [x]
        for index, member in enumerate(self):
            maps.append(member(maps[self.sources[index]]))
        return torch.cat([maps[end] for end in self.ends], dim=1)


class InceptionV3Encoder(Encoder):
    """Inception-v3: block1 and block2 are the stem, split at its first pooling.

    block3 is Mixed_5b ... 5d, block4 Mixed_6a ... 6e, block5 Mixed_7a ... 7c; the auxiliary
    classifier is left out. Layers are conv1 ... conv94. The published network loses border pixels
    (299 to 149, 147, 73, 71 ...); ``same_padding`` pads there, with the same weights, so that
    maps halve exactly, as a U-Net needs.
    Weights: https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth (ImageNet-1k,
    trained by Google), which expect inputs of mean 0.5 and standard deviation 0.5.
    """

    name = "inception_v3"
    block_channels = (64, 192, 288, 768, 2048)
    normalisation = "half"

    def __init__(self, in_channels: int = 3, *, same_padding: bool = True) -> None:
        """Build with random weights for 1 or 3 input channels."""
        super().__init__(in_channels)
        pad = int(same_padding)
        self.Conv2d_1a_3x3 = ConvNormReLU(in_channels, 32, 3, stride=2, padding=pad)
        self.Conv2d_2a_3x3 = ConvNormReLU(32, 32, 3, padding=pad)
        self.Conv2d_2b_3x3 = ConvNormReLU(32, 64, 3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, padding=pad)
        self.Conv2d_3b_1x1 = ConvNormReLU(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvNormReLU(80, 192, 3, padding=pad)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, padding=pad)
        self.Mixed_5b = Mixed(192, _grid35(pool=32))
        self.Mixed_5c = Mixed(256, _grid35(pool=64))
        self.Mixed_5d = Mixed(288, _grid35(pool=64))
        self.Mixed_6a = Mixed(288, _reduction17(), same_padding=same_padding)
        self.Mixed_6b = Mixed(768, _grid17(128))
        self.Mixed_6c = Mixed(768, _grid17(160))
        self.Mixed_6d = Mixed(768, _grid17(160))
        self.Mixed_6e = Mixed(768, _grid17(192))
        self.Mixed_7a = Mixed(768, _reduction8(), same_padding=same_padding)
        self.Mixed_7b = Mixed(1280, _grid8())
        self.Mixed_7c = Mixed(2048, _grid8())
        self.finish(self.block_modules())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, in_channels, H, W) to block1 ... block5 at strides 2, 4, 8, 16, 32."""
        block1 = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        block2 = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(block1)))
        block3 = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(block2))))
        block4 = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(block3)))
        block4 = self.Mixed_6e(self.Mixed_6d(block4))
        block5 = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(block4)))
        return [block1, block2, block3, block4, block5]

    def block_modules(self) -> list[list[nn.Module]]:
        """See `custom_nets.encoders.encoder.Encoder`."""
        members = list(self.children())
        return [members[:3], members[3:6], members[6:10], members[10:15], members[15:]]


def _member(in_channels: int, unit: Unit, same_padding: bool) -> nn.Module:
    rows, columns = (unit.kernel, unit.kernel) if isinstance(unit.kernel, int) else unit.kernel
    padded = same_padding or unit.stride == 1
    padding = (rows // 2, columns // 2) if padded else (0, 0)
    if unit.width:
        return ConvNormReLU(
            in_channels, unit.width, (rows, columns), stride=unit.stride, padding=padding
        )
    if unit.stride == 1:
        return nn.AvgPool2d(rows, stride=1, padding=padding)
    return nn.MaxPool2d(rows, stride=unit.stride, padding=padding)


def _pooled(width: int) -> list[Unit]:
    return [Unit("pool", INPUT, 0, 3), Unit("branch_pool", "pool", width, 1)]


def _grid35(*, pool: int) -> list[Unit]:
    return [
        Unit("branch1x1", INPUT, 64, 1),
        Unit("branch5x5_1", INPUT, 48, 1),
        Unit("branch5x5_2", "branch5x5_1", 64, 5),
        Unit("branch3x3dbl_1", INPUT, 64, 1),
        Unit("branch3x3dbl_2", "branch3x3dbl_1", 96, 3),
        Unit("branch3x3dbl_3", "branch3x3dbl_2", 96, 3),
        *_pooled(pool),
    ]


def _reduction17() -> list[Unit]:
    return [
        Unit("branch3x3", INPUT, 384, 3, stride=2),
        Unit("branch3x3dbl_1", INPUT, 64, 1),
        Unit("branch3x3dbl_2", "branch3x3dbl_1", 96, 3),
        Unit("branch3x3dbl_3", "branch3x3dbl_2", 96, 3, stride=2),
        Unit("pool", INPUT, 0, 3, stride=2),
    ]


def _grid17(width: int) -> list[Unit]:
    return [
        Unit("branch1x1", INPUT, 192, 1),
        Unit("branch7x7_1", INPUT, width, 1),
        Unit("branch7x7_2", "branch7x7_1", width, (1, 7)),
        Unit("branch7x7_3", "branch7x7_2", 192, (7, 1)),
        Unit("branch7x7dbl_1", INPUT, width, 1),
        Unit("branch7x7dbl_2", "branch7x7dbl_1", width, (7, 1)),
        Unit("branch7x7dbl_3", "branch7x7dbl_2", width, (1, 7)),
        Unit("branch7x7dbl_4", "branch7x7dbl_3", width, (7, 1)),
        Unit("branch7x7dbl_5", "branch7x7dbl_4", 192, (1, 7)),
        *_pooled(192),
    ]


def _reduction8() -> list[Unit]:
    return [
        Unit("branch3x3_1", INPUT, 192, 1),
        Unit("branch3x3_2", "branch3x3_1", 320, 3, stride=2),
        Unit("branch7x7x3_1", INPUT, 192, 1),
        Unit("branch7x7x3_2", "branch7x7x3_1", 192, (1, 7)),
        Unit("branch7x7x3_3", "branch7x7x3_2", 192, (7, 1)),
        Unit("branch7x7x3_4", "branch7x7x3_3", 192, 3, stride=2),
        Unit("pool", INPUT, 0, 3, stride=2),
    ]


def _grid8() -> list[Unit]:
    return [
        Unit("branch1x1", INPUT, 320, 1),
        Unit("branch3x3_1", INPUT, 384, 1),
        Unit("branch3x3_2a", "branch3x3_1", 384, (1, 3)),
        Unit("branch3x3_2b", "branch3x3_1", 384, (3, 1)),
        Unit("branch3x3dbl_1", INPUT, 448, 1),
        Unit("branch3x3dbl_2", "branch3x3dbl_1", 384, 3),
        Unit("branch3x3dbl_3a", "branch3x3dbl_2", 384, (1, 3)),
        Unit("branch3x3dbl_3b", "branch3x3dbl_2", 384, (3, 1)),
        *_pooled(192),
    ]
