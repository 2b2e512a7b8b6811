"""ResNet-34 (He et al. 2016) as an encoder."""

from __future__ import annotations

from torch import Tensor, nn

from custom_nets.encoders.contract import Encoder
from custom_nets.freezing import FreezableBatchNorm2d

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Width and number of residual units of each stage; all but the first halve the map."""


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions in parallel with an identity, or a 1x1 projection if shapes change."""

    def __init__(self, in_channels: int, channels: int, *, stride: int) -> None:
        """Map ``in_channels`` to ``channels`` maps, ``stride`` times smaller."""
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = FreezableBatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = FreezableBatchNorm2d(channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False),
                FreezableBatchNorm2d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H / stride, W / stride)."""
        out: Tensor = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            x = self.downsample(x)
        joined: Tensor = self.relu(out + x)
        return joined


class ResNet34Encoder(Encoder):
    """ResNet-34: the stem before its pooling is block1, the four stages are block2 ... block5.

    Weights: https://download.pytorch.org/models/resnet34-b627a593.pth (ImageNet-1k). Its layers
    are conv1 ... conv36: 33 in the main path and the three projections, each after its unit.
    """

    name = "resnet34"
    block_channels = (64, *(width for width, _ in STAGES))

    def __init__(self, in_channels: int = 3) -> None:
        """Build with random weights for 1 or 3 input channels."""
        super().__init__(in_channels)
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = FreezableBatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(64, *STAGES[0], stride=1)
        self.layer2 = _stage(64, *STAGES[1], stride=2)
        self.layer3 = _stage(128, *STAGES[2], stride=2)
        self.layer4 = _stage(256, *STAGES[3], stride=2)
        stem = [self.conv1, self.bn1]
        self.finish([stem, [self.layer1], [self.layer2], [self.layer3], [self.layer4]])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, in_channels, H, W) to block1 ... block5 at strides 2, 4, 8, 16, 32."""
        block1 = self.relu(self.bn1(self.conv1(x)))
        block2 = self.layer1(self.maxpool(block1))
        block3 = self.layer2(block2)
        block4 = self.layer3(block3)
        return [block1, block2, block3, block4, self.layer4(block4)]

    def block_modules(self) -> list[list[nn.Module]]:
        """See `custom_nets.encoders.contract.Encoder`."""
        stem = [self.conv1, self.bn1, self.relu]
        return [stem, [self.maxpool, self.layer1], [self.layer2], [self.layer3], [self.layer4]]


def _stage(in_channels: int, channels: int, units: int, *, stride: int) -> nn.Sequential:
    first = ResidualUnit(in_channels, channels, stride=stride)
    rest = (ResidualUnit(channels, channels, stride=1) for _ in range(units - 1))
    return nn.Sequential(first, *rest)
