"""VGG networks (Simonyan and Zisserman 2015) as encoders: VGG-11 to VGG-19, also with norms."""

from __future__ import annotations

import logging
from typing import ClassVar

import torch
from torch import Tensor, nn

from custom_nets.encoders.tapped import TappedEncoder, numbered
from custom_nets.freezing import FreezableBatchNorm2d
from custom_nets.normalisation import STATISTICS

logger = logging.getLogger(__name__)

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of the 3x3 convolutions of each block; the blocks are separated by max pooling."""


AUTHORS_BIASES = (-0.309122, 0.363972, 0.137376, 0.077180)
"""First biases of conv2 in the weights that the authors of VGG-16 published."""

AUTHORS_KERNELS = (0.170518, 0.185095, 0.150307)
"""Means of the absolute kernels of their conv1 for red, green and blue levels of 0 to 255."""

AUTHORS_MEANS = (123.68, 116.779, 103.939)
"""Red, green and blue levels that they subtract from an image."""


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

    @staticmethod
    def for_normalised_input(tensors: dict[str, Tensor], source: object) -> dict[str, Tensor]:
        """Convert the authors' own weights, in which conv1 expects levels of 0 to 255."""
        kernel, biases = tensors.get("features.0.weight"), tensors.get("features.2.bias")
        if kernel is None or biases is None or kernel.ndim != 4 or kernel.shape[1] != 3:
            return tensors
        if not torch.allclose(biases[:4].float(), torch.tensor(AUTHORS_BIASES), atol=1e-4):
            return tensors
        found, expected = kernel.float().abs().mean((0, 2, 3)), torch.tensor(AUTHORS_KERNELS)
        if torch.allclose(found, expected.flip(0), rtol=1e-2):
            logger.info("%s: channels in the order blue, green, red, reversed", source)
            kernel = kernel.flip(1)
        elif not torch.allclose(found, expected, rtol=1e-2):
            return tensors
        logger.info("%s: conv1 for levels of 0 to 255, converted to normalised input", source)
        return tensors | from_grey_levels(kernel, tensors["features.0.bias"])


class VGG16NormEncoder(VGGEncoder, name="vgg16_bn", convolutions=(2, 2, 3, 3, 3), norms=True):
    """VGG-16 with batch norms."""


class VGG19Encoder(VGGEncoder, name="vgg19", convolutions=(2, 2, 4, 4, 4)):
    """VGG-19, configuration E; conv1 ... conv16."""


class VGG19NormEncoder(VGGEncoder, name="vgg19_bn", convolutions=(2, 2, 4, 4, 4), norms=True):
    """VGG-19 with batch norms."""


def from_grey_levels(kernel: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """Return conv1 for inputs with ImageNet's mean and deviation, from one for levels of 0 to 255.

    Equal but at the rim, where padding with 0 stands for another mean (half a level at most).

    Args:
        kernel: (64, 3, 3, 3), for red, green and blue levels less `AUTHORS_MEANS`.
        bias: (64,).
    """
    means, deviations = (255 * torch.tensor(figures) for figures in STATISTICS["imagenet"])
    shift = means - torch.tensor(AUTHORS_MEANS)
    return {
        "features.0.weight": kernel * deviations.view(1, 3, 1, 1),
        "features.0.bias": bias + (kernel.sum((2, 3)) * shift).sum(1),
    }
