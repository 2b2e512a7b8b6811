"""DenseNet-121 (Huang et al. 2017) as an encoder."""

from __future__ import annotations

import re
from collections import OrderedDict

import torch
from torch import Tensor, nn

from custom_nets.encoders.contract import Encoder
from custom_nets.encoders.tapped import TappedSequential
from custom_nets.freezing import FreezableBatchNorm2d

GROWTH = 32
BLOCKS = (6, 12, 24, 16)
"""Dense layers of each dense block; each adds GROWTH maps to those before it."""

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


class DenseNet121Encoder(Encoder):
    """DenseNet-121: the stem before its pooling is block1, the dense blocks are block2 ... block5.

    A transition (norm, ReLU, 1x1 convolution, pooling) belongs to the block after it, the last norm
    with its ReLU to block5. Each norm belongs to the layer of the convolution after it, in conv1
    ... conv120; the last norm to conv120. Weights:
    https://download.pytorch.org/models/densenet121-a639ec97.pth (ImageNet-1k).
    """

    name = "densenet121"
    block_channels = (64, 256, 512, 1024, 1024)
    norm_first = True

    def __init__(self, in_channels: int = 3) -> None:
        """Build with random weights for 1 or 3 input channels."""
        super().__init__(in_channels)
        members: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False),
            norm0=FreezableBatchNorm2d(64),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        channels = 64
        for number, layers in enumerate(BLOCKS, start=1):
            members[f"denseblock{number}"] = _dense_block(channels, layers)
            channels += layers * GROWTH
            if number < len(BLOCKS):
                members[f"transition{number}"] = _transition(channels)
                channels //= 2
        members["norm5"] = FreezableBatchNorm2d(channels)
        members["relu5"] = nn.ReLU(inplace=True)
        taps = ["relu0", "denseblock1", "denseblock2", "denseblock3", "relu5"]
        self.features = TappedSequential(members, taps=taps)
        self.finish(self.features.between_taps())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, in_channels, H, W) to block1 ... block5 at strides 2, 4, 8, 16, 32."""
        outputs: list[Tensor] = self.features(x)
        return outputs

    def block_modules(self) -> list[list[nn.Module]]:
        """See `custom_nets.encoders.contract.Encoder`."""
        return self.features.between_taps()

    @staticmethod
    def current_key(key: str) -> str:
        """Translate a key of the published file.

        >>> DenseNet121Encoder.current_key("features.denseblock1.denselayer1.norm.1.weight")
        'features.denseblock1.denselayer1.norm1.weight'
        """
        return OLD_NAME.sub(r"\1\2.", key)


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
