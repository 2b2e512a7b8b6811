"""Residual networks (He, Zhang, Ren, Sun, CVPR 2016) as encoders: ResNet-18 to ResNet-152."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from custom_nets.encoders.encoder import Encoder
from custom_nets.freezing import FreezableBatchNorm2d

WIDTHS = (64, 128, 256, 512)
"""Width of the units of each stage; all stages but the first halve the map."""


OUTPUT_STRIDES = (32, 16, 8)
"""Strides that the deepest map may have."""


class ResidualUnit(nn.Module):
    """Convolutions in parallel with an identity, or a 1x1 projection if shapes change.

    Every convolution has a batch norm; a ReLU follows each but the last, and the sum.
    """

    expansion: ClassVar[int] = 1
    """Maps of the output for each map of ``width``."""

    def __init__(
        self, in_channels: int, width: int, *, stride: int, dilations: tuple[int, int] = (1, 1)
    ) -> None:
        """Map ``in_channels`` to ``expansion * width`` maps, ``stride`` times smaller.

        ``dilations`` are those of 3x3 convolutions before and after the stride; they differ where
        a dilation replaces the stride.
        """
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.add_convolutions(in_channels, width, stride, dilations)
        channels = self.expansion * width
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False),
                FreezableBatchNorm2d(channels),
            )

    def add_convolutions(
        self, in_channels: int, width: int, stride: int, dilations: tuple[int, int]
    ) -> None:
        """Add ``conv1``, ``bn1``, ``conv2`` ... in forward order."""
        raise NotImplementedError

    def main_path(self, x: Tensor) -> Tensor:
        """Map the input to what is added to it."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, expansion * width, H / stride, W / stride)."""
        out = self.main_path(x)
        if self.downsample is not None:
            x = self.downsample(x)
        joined: Tensor = self.relu(out + x)
        return joined


class BasicUnit(ResidualUnit):
    """Two 3x3 convolutions, the first with the stride."""

    def add_convolutions(
        self, in_channels: int, width: int, stride: int, dilations: tuple[int, int]
    ) -> None:
        """Add two 3x3 convolutions of ``width`` maps."""
        self.conv1 = _convolution3x3(in_channels, width, stride=stride, dilation=dilations[0])
        self.bn1 = FreezableBatchNorm2d(width)
        self.conv2 = _convolution3x3(width, width, stride=1, dilation=dilations[1])
        self.bn2 = FreezableBatchNorm2d(width)

    def main_path(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, width, H / stride, W / stride)."""
        x = self.relu(self.bn1(self.conv1(x)))
        out: Tensor = self.bn2(self.conv2(x))
        return out


class BottleneckUnit(ResidualUnit):
    """1x1, 3x3 and 1x1 convolution; the 3x3 has the stride.

    The paper has it on the first 1x1; torchvision, whose weights these are, on the 3x3.
    """

    expansion = 4

    def add_convolutions(
        self, in_channels: int, width: int, stride: int, dilations: tuple[int, int]
    ) -> None:
        """Add convolutions of ``width``, ``width`` and ``4 * width`` maps."""
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = FreezableBatchNorm2d(width)
        self.conv2 = _convolution3x3(width, width, stride=stride, dilation=dilations[0])
        self.bn2 = FreezableBatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, self.expansion * width, 1, bias=False)
        self.bn3 = FreezableBatchNorm2d(self.expansion * width)

    def main_path(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, 4 * width, H / stride, W / stride)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        out: Tensor = self.bn3(self.conv3(x))
        return out


class ResNetEncoder(Encoder):
    """The stem before its pooling is block1, the four stages are block2 ... block5.

    A subclass states its units. Layers are the convolutions of the main path and the four (basic
    units: three) projections, each after its unit.

    ``output_stride`` 16 or 8 keeps the maps of the last, or the last two stages at that stride:
    their convolutions are dilated instead (torchvision's ``replace_stride_with_dilation``; Chen et
    al., DeepLab, IEEE TPAMI 2018). The weights stay the same, and at the places that the strided
    network keeps, the maps are the same too.
    """

    unit: ClassVar[type[ResidualUnit]]
    units: ClassVar[tuple[int, ...]]

    def __init_subclass__(
        cls, *, name: str, unit: type[ResidualUnit], units: tuple[int, int, int, int]
    ) -> None:
        """Declare a member of the family: the kind of its units, and their number in each stage."""
        super().__init_subclass__()
        cls.name, cls.unit, cls.units = name, unit, units
        cls.block_channels = (64, *(unit.expansion * width for width in WIDTHS))

    def __init__(self, in_channels: int = 3, *, output_stride: int | None = None) -> None:
        """Build with random weights for 1 or 3 input channels.

        Raises:
            ValueError: another number of channels, or an output stride other than 32, 16 and 8.
        """
        super().__init__(in_channels)
        self.block_strides = _limited(self.block_strides, output_stride)
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = FreezableBatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._stage(1)
        self.layer2 = self._stage(2)
        self.layer3 = self._stage(3)
        self.layer4 = self._stage(4)
        stem = [self.conv1, self.bn1]
        self.finish([stem, [self.layer1], [self.layer2], [self.layer3], [self.layer4]])

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, in_channels, H, W) to block1 ... block5 at ``block_strides``."""
        block1 = self.relu(self.bn1(self.conv1(x)))
        block2 = self.layer1(self.maxpool(block1))
        block3 = self.layer2(block2)
        block4 = self.layer3(block3)
        return [block1, block2, block3, block4, self.layer4(block4)]

    def block_modules(self) -> list[list[nn.Module]]:
        """See `custom_nets.encoders.encoder.Encoder`."""
        stem = [self.conv1, self.bn1, self.relu]
        return [stem, [self.maxpool, self.layer1], [self.layer2], [self.layer3], [self.layer4]]

    def _stage(self, number: int) -> nn.Sequential:
        """Build stage 1 to 4; a convolution is dilated by the strides missing before it."""
        before, after = self.block_strides[number - 1 : number + 1]
        usual = type(self).block_strides
        dilations = usual[number - 1] // before, usual[number] // after
        stride = 1 if number == 1 else after // before
        channels, width = self.block_channels[number - 1], WIDTHS[number - 1]
        stage = nn.Sequential(self.unit(channels, width, stride=stride, dilations=dilations))
        channels, dilations = self.block_channels[number], (dilations[1], dilations[1])
        for _ in range(self.units[number - 1] - 1):
            stage.append(self.unit(channels, width, stride=1, dilations=dilations))
        return stage


class ResNet18Encoder(ResNetEncoder, name="resnet18", unit=BasicUnit, units=(2, 2, 2, 2)):
    """ResNet-18, with torchvision's weights of ImageNet-1k; conv1 ... conv20."""


class ResNet34Encoder(ResNetEncoder, name="resnet34", unit=BasicUnit, units=(3, 4, 6, 3)):
    """ResNet-34, with torchvision's weights of ImageNet-1k; conv1 ... conv36."""


class ResNet38Encoder(ResNetEncoder, name="resnet38", unit=BottleneckUnit, units=(3, 3, 3, 3)):
    """ResNet-38 of FCRN-38 (Yu et al. 2017); conv1 ... conv41; no weights are published.

    38 layers need twelve bottleneck units (3 x 12 + 2). Three in each stage is our choice.
    """


class ResNet50Encoder(ResNetEncoder, name="resnet50", unit=BottleneckUnit, units=(3, 4, 6, 3)):
    """ResNet-50, with torchvision's weights of ImageNet-1k or COCO; conv1 ... conv53."""


class ResNet101Encoder(ResNetEncoder, name="resnet101", unit=BottleneckUnit, units=(3, 4, 23, 3)):
    """ResNet-101, with torchvision's weights of ImageNet-1k or COCO; conv1 ... conv104."""


class ResNet152Encoder(ResNetEncoder, name="resnet152", unit=BottleneckUnit, units=(3, 8, 36, 3)):
    """ResNet-152, with torchvision's weights of ImageNet-1k; conv1 ... conv155."""


def _limited(strides: tuple[int, ...], output_stride: int | None) -> tuple[int, ...]:
    """Return the strides of the blocks, none above ``output_stride``."""
    if output_stride not in (None, *OUTPUT_STRIDES):
        raise ValueError(
            f"output_stride must be one of {', '.join(map(str, OUTPUT_STRIDES))}; "
            f"got {output_stride!r}; choose one of them"
        )
    return tuple(min(stride, output_stride or OUTPUT_STRIDES[0]) for stride in strides)


def _convolution3x3(in_channels: int, channels: int, *, stride: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(
        *(in_channels, channels, 3, stride),
        padding=dilation,
        dilation=dilation,
        bias=False,
    )
