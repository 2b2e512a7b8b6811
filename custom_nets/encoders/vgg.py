"""VGG networks (Simonyan and Zisserman 2015) as encoders: VGG-11 to VGG-19, also with norms."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from custom_nets.encoders.tapped import TappedEncoder, numbered
from custom_nets.freezing import FreezableBatchNorm2d

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the 3x3 convolutions of each block; the blocks are separated by max pooling."""


class VGGEncoder(TappedEncoder):
    """A VGG network up to block5, before pool5; block1 is at full resolution.

    A subclass states its convolutions. With ``norms`` a batch norm follows each of them, and the
    convolution keeps its bias, as in the published weights, of which only ``features.*`` is used.
    """

    block_channels = WIDTHS
    block_strides = (1, 2, 4, 8, 16)
    convolutions: ClassVar[tuple[int, ...]]
    norms: ClassVar[bool]

    def __init_subclass__(
        cls, *, name: str, convolutions: tuple[int, int, int, int, int], norms: bool = False
    ) -> None:
        """Declare a member of the family: the number of convolutions in each block."""
        super().__init_subclass__()
        cls.name, cls.convolutions, cls.norms = name, convolutions, norms

    def __init__(self, in_channels: int = 3) -> None:
        """Build with random weights for 1 or 3 input channels."""
        super().__init__(in_channels)
        members, taps = self._members(in_channels)
        self.add_features(numbered(members), taps)

    def _members(self, channels: int) -> tuple[list[nn.Module], list[str]]:
        members: list[nn.Module] = []
        taps: list[str] = []
        for width, count in zip(WIDTHS, self.convolutions, strict=True):
            if members:
                members.append(nn.MaxPool2d(2))
            for _ in range(count):
                members.append(nn.Conv2d(channels, width, 3, padding=1))
                members += [FreezableBatchNorm2d(width)] if self.norms else []
                members.append(nn.ReLU(inplace=True))
                channels = width
            taps.append(str(len(members) - 1))
        return members, taps


class VGG11Encoder(VGGEncoder, name="vgg11", convolutions=(1, 1, 2, 2, 2)):
    """VGG-11, configuration A of the paper; conv1 ... conv8."""


class VGG11NormEncoder(VGGEncoder, name="vgg11_bn", convolutions=(1, 1, 2, 2, 2), norms=True):
    """VGG-11 with batch norms."""


class VGG13Encoder(VGGEncoder, name="vgg13", convolutions=(2, 2, 2, 2, 2)):
    """VGG-13, configuration B; conv1 ... conv10."""


class VGG13NormEncoder(VGGEncoder, name="vgg13_bn", convolutions=(2, 2, 2, 2, 2), norms=True):
    """VGG-13 with batch norms."""


class VGG16Encoder(VGGEncoder, name="vgg16", convolutions=(2, 2, 3, 3, 3)):
    """VGG-16, configuration D; conv1 ... conv13."""


class VGG16NormEncoder(VGGEncoder, name="vgg16_bn", convolutions=(2, 2, 3, 3, 3), norms=True):
    """VGG-16 with batch norms."""


class VGG19Encoder(VGGEncoder, name="vgg19", convolutions=(2, 2, 4, 4, 4)):
    """VGG-19, configuration E; conv1 ... conv16."""


class VGG19NormEncoder(VGGEncoder, name="vgg19_bn", convolutions=(2, 2, 4, 4, 4), norms=True):
    """VGG-19 with batch norms."""
