"""VGG-16 (Simonyan and Zisserman 2015) as an encoder."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from custom_nets.encoders.contract import Encoder
from custom_nets.encoders.tapped import TappedSequential

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the 3x3 convolutions of each block; the blocks are separated by max pooling."""


class VGG16Encoder(Encoder):
    """VGG-16 up to block5, before pool5; block1 is at full resolution.

    Weights: https://download.pytorch.org/models/vgg16-397923af.pth (ImageNet-1k), of which only
    ``features.*`` is used. Its thirteen convolutions are conv1 ... conv13.
    """

    name = "vgg16"
    block_channels = tuple(block[-1] for block in BLOCKS)
    block_strides = (1, 2, 4, 8, 16)

    def __init__(self, in_channels: int = 3) -> None:
        """Build with random weights for 1 or 3 input channels."""
        super().__init__(in_channels)
        self.features = _features(in_channels)
        self.finish(self.features.between_taps())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, in_channels, H, W) to block1 ... block5 at strides 1, 2, 4, 8, 16."""
        outputs: list[Tensor] = self.features(x)
        return outputs

    def block_modules(self) -> list[list[nn.Module]]:
        """See `custom_nets.encoders.contract.Encoder`."""
        return self.features.between_taps()


def _features(channels: int) -> TappedSequential:
    members: list[nn.Module] = []
    taps = []
    for block in BLOCKS:
        if members:
            members.append(nn.MaxPool2d(2))
        for width in block:
            members += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        taps.append(str(len(members) - 1))
    numbered = OrderedDict((str(index), member) for index, member in enumerate(members))
    return TappedSequential(numbered, taps=taps)
