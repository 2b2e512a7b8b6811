"""Dense networks (Huang et al. 2017) as encoders: DenseNet-121, -169 and -201."""

from __future__ import annotations

import re
from collections import OrderedDict
from itertools import accumulate
from typing import ClassVar

import torch
from torch import Tensor, nn

from custom_nets.encoders.tapped import TappedEncoder
from custom_nets.freezing import FreezableBatchNorm2d

GROWTH = 32
"""Maps that each dense layer adds to those before it."""

STEM = 64
"""Maps of the stem."""

OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")


class DenseLayer(nn.Module):
    """A 1x1 and a 3x3 convolution, each after norm and ReLU; adds GROWTH maps to the input's."""

    def __init__(self, in_channels: int) -> None:
        """Map ``in_channels`` maps to ``in_channels + GROWTH``."""
        super().__init__()
        self.norm1 = FreezableBatchNorm2d(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, 4 * GROWTH, 1, bias=False)
        self.norm2 = FreezableBatchNorm2d(4 * GROWTH)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4 * GROWTH, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, in_channels + GROWTH, H, W)."""
        new = self.conv1(self.relu1(self.norm1(x)))
        new = self.conv2(self.relu2(self.norm2(new)))
        return torch.cat([x, new], dim=1)


class DenseNetEncoder(TappedEncoder):
    """The stem before its pooling is block1, the dense blocks are block2 ... block5.

    A subclass states the dense layers of its blocks. A transition (norm, ReLU, 1x1 convolution,
    pooling) belongs to the block after it, the last norm with its ReLU to block5. Each norm belongs
    to the layer of the convolution after it, the last norm to the last convolution.
    """

    norm_first = True
    layers: ClassVar[tuple[int, ...]]

    def __init_subclass__(cls, *, name: str, layers: tuple[int, int, int, int]) -> None:
        """Declare a member of the family: the number of dense layers in each block."""
        super().__init_subclass__()
        cls.name, cls.layers = name, layers
        ends = accumulate(layers, lambda maps, count: maps // 2 + count * GROWTH, initial=2 * STEM)
        cls.block_channels = (STEM, *list(ends)[1:])

    def __init__(self, in_channels: int = 3) -> None:
        """Build with random weights for 1 or 3 input channels."""
        super().__init__(in_channels)
        members: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(in_channels, STEM, 7, stride=2, padding=3, bias=False),
            norm0=FreezableBatchNorm2d(STEM),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        channels = STEM
        for number, count in enumerate(self.layers, start=1):
            if number > 1:
                members[f"transition{number - 1}"] = _transition(channels)
                channels //= 2
            members[f"denseblock{number}"] = _dense_block(channels, count)
            channels = self.block_channels[number]
        members["norm5"] = FreezableBatchNorm2d(channels)
        members["relu5"] = nn.ReLU(inplace=True)
        taps = ["relu0", "denseblock1", "denseblock2", "denseblock3", "relu5"]
        self.add_features(members, taps)

    @staticmethod
    def current_key(key: str) -> str:
        """Translate a key of the published file.

        >>> DenseNetEncoder.current_key("features.denseblock1.denselayer1.norm.1.weight")
        'features.denseblock1.denselayer1.norm1.weight'
        """
        return OLD_NAME.sub(r"\1\2.", key)


class DenseNet121Encoder(DenseNetEncoder, name="densenet121", layers=(6, 12, 24, 16)):
    """DenseNet-121; conv1 ... conv120."""


class DenseNet169Encoder(DenseNetEncoder, name="densenet169", layers=(6, 12, 32, 32)):
    """DenseNet-169; conv1 ... conv168."""


class DenseNet201Encoder(DenseNetEncoder, name="densenet201", layers=(6, 12, 48, 32)):
    """DenseNet-201; conv1 ... conv200."""


def _dense_block(channels: int, layers: int) -> nn.Sequential:
    numbered = ((f"denselayer{i + 1}", DenseLayer(channels + i * GROWTH)) for i in range(layers))
    return nn.Sequential(OrderedDict(numbered))


def _transition(channels: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            norm=FreezableBatchNorm2d(channels),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(channels, channels // 2, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )
