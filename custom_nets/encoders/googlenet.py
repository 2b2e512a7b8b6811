"""GoogLeNet, Inception-v1 (Szegedy et al., CVPR 2015) as an encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from custom_nets.encoders.encoder import Encoder
from custom_nets.encoders.inception import ConvNormReLU

WIDTHS: dict[str, tuple[int, tuple[int, int], tuple[int, int], int]] = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}
"""Widths of each inception module (table 1 of the paper): 1x1, reduced and 3x3, reduced and 5x5,
1x1 after the pooling."""


class InceptionModule(nn.Module):
    """Four parallel branches, concatenated: 1x1; 1x1 and 3x3, twice; pooling and 1x1.

    The published weights have a 3x3 convolution where the paper has a 5x5.
    """

    def __init__(self, in_channels: int, name: str) -> None:
        """Build the module ``name`` of `WIDTHS` for ``in_channels`` maps."""
        super().__init__()
        single, first, second, pooled = WIDTHS[name]
        self.branch1 = ConvNormReLU(in_channels, single, 1)
        self.branch2 = _reduced(in_channels, *first)
        self.branch3 = _reduced(in_channels, *second)
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), ConvNormReLU(in_channels, pooled, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, sum of the branches' widths, H, W)."""
        branches = [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)]
        return torch.cat(branches, dim=1)


class GoogLeNetEncoder(Encoder):
    """GoogLeNet with batch norms: block1 and block2 are the stem, split at its first pooling.

    block3 is inception3a and 3b, block4 4a ... 4e, block5 5a and 5b; the auxiliary classifiers are
    left out. Layers are conv1 ... conv57. Weights: torchvision's googlenet-1378be20.pth
    (ImageNet-1k, trained by Google), which expect inputs of mean 0.5 and standard deviation 0.5.
    """

    name = "googlenet"
    block_channels = (64, 192, 480, 832, 1024)
    normalisation = "half"

    def __init__(self, in_channels: int = 3) -> None:
        """Build with random weights for 1 or 3 input channels."""
        super().__init__(in_channels)
        self.conv1 = ConvNormReLU(in_channels, 64, 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvNormReLU(64, 64, 1)
        self.conv3 = ConvNormReLU(64, 192, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = InceptionModule(192, "3a")
        self.inception3b = InceptionModule(256, "3b")
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = InceptionModule(480, "4a")
        self.inception4b = InceptionModule(512, "4b")
        self.inception4c = InceptionModule(512, "4c")
        self.inception4d = InceptionModule(512, "4d")
        self.inception4e = InceptionModule(528, "4e")
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = InceptionModule(832, "5a")
        self.inception5b = InceptionModule(832, "5b")
        self.finish(self.block_modules())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, in_channels, H, W) to block1 ... block5 at strides 2, 4, 8, 16, 32."""
        block1 = self.conv1(x)
        block2 = self.conv3(self.conv2(self.maxpool1(block1)))
        block3 = self.inception3b(self.inception3a(self.maxpool2(block2)))
        block4 = self.inception4b(self.inception4a(self.maxpool3(block3)))
        block4 = self.inception4e(self.inception4d(self.inception4c(block4)))
        block5 = self.inception5b(self.inception5a(self.maxpool4(block4)))
        return [block1, block2, block3, block4, block5]

    def block_modules(self) -> list[list[nn.Module]]:
        """See `custom_nets.encoders.encoder.Encoder`."""
        members = list(self.children())
        return [members[:1], members[1:4], members[4:7], members[7:13], members[13:]]


def _reduced(in_channels: int, reduced: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        ConvNormReLU(in_channels, reduced, 1), ConvNormReLU(reduced, channels, 3, padding=1)
    )
