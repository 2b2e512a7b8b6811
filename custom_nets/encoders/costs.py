"""Size and cost of each encoder, counted by torch; those at the usual size are stored."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from custom_nets.encoders import make_encoder

USUAL_SIZE = 512
"""Height and width of a slice of a CT."""


class Cost(NamedTuple):
    """Size of an encoder of three input channels, and what one image costs.

    Attributes:
        parameters: learned numbers.
        flop: multiplications and additions of convolutions and linear layers, both counted.
        layers: that can be released one by one.
    """

    parameters: int
    flop: int
    layers: int


COSTS = {
    "vgg11": Cost(9_220_480, 78_215_380_992, 8),
    "vgg11_bn": Cost(9_225_984, 78_215_380_992, 8),
    "vgg13": Cost(9_404_992, 116_870_086_656, 10),
    "vgg13_bn": Cost(9_410_880, 116_870_086_656, 10),
    "vgg16": Cost(14_714_688, 160_356_630_528, 13),
    "vgg16_bn": Cost(14_723_136, 160_356_630_528, 13),
    "vgg19": Cost(20_024_384, 203_843_174_400, 16),
    "vgg19_bn": Cost(20_035_392, 203_843_174_400, 16),
    "resnet18": Cost(11_176_512, 18_949_865_472, 20),
    "resnet34": Cost(21_284_672, 38_277_218_304, 36),
    "resnet38": Cost(19_876_416, 33_579_597_824, 41),
    "resnet50": Cost(23_508_032, 42_706_403_328, 53),
    "resnet101": Cost(42_500_160, 81_495_326_720, 104),
    "resnet152": Cost(58_143_808, 120_284_250_112, 155),
    "densenet121": Cost(6_953_856, 29_603_397_632, 120),
    "densenet169": Cost(12_484_480, 35_089_547_264, 168),
    "densenet201": Cost(18_092_928, 44_820_332_544, 200),
    "efficientnet_b0": Cost(4_007_548, 4_012_696_576, 81),
    "efficientnet_b1": Cost(6_513_184, 5_929_538_560, 115),
    "efficientnet_b2": Cost(7_700_994, 6_859_683_712, 115),
    "efficientnet_b3": Cost(10_696_232, 10_027_556_992, 130),
    "mobilenet_v3_small": Cost(927_008, 569_737_216, 52),
    "mobilenet_v3_large": Cost(2_971_952, 2_224_193_280, 62),
    "convnext_tiny": Cost(27_818_592, 46_547_730_432, 22),
    "googlenet": Cost(5_599_904, 15_645_802_496, 57),
    "inception_v3": Cost(21_785_568, 39_671_824_384, 94),
}
"""At `USUAL_SIZE`; counting all of them takes some seconds."""


def cost_of(name: str, size: int = USUAL_SIZE) -> Cost:
    """Return the cost of an encoder for an image of ``size`` x ``size`` pixels.

    Raises:
        ValueError: the name is unknown.
    """
    stored = COSTS.get(name)
    return stored if stored is not None and size == USUAL_SIZE else counted(name, size)


def counted(name: str, size: int) -> Cost:
    """Count the cost of an encoder, without its weights.

    >>> counted("mobilenet_v3_small", 32).layers
    52

    Raises:
        ValueError: the name is unknown.
    """
    with torch.device("meta"), torch.no_grad():
        encoder = make_encoder(name).eval()
        with FlopCounterMode(display=False) as counter:
            encoder(torch.empty(1, 3, size, size))
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    return Cost(parameters, counter.get_total_flops(), len(encoder.layer_names))
