"""EfficientNet (Tan and Le, ICML 2019) as an encoder: B0 to B3."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

from torch import nn

from custom_nets.encoders.inverted_residual import InvertedUnit, Style, UnitShape, multiple_of_8
from custom_nets.encoders.tapped import TappedEncoder, block_ends, numbered


class Stage(NamedTuple):
    """Units of one stage of B0: expansion, kernel, stride of the first, maps, number."""

    expansion: int
    kernel: int
    stride: int
    width: int
    units: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
"""Stages 2 to 8 of table 1 of the paper."""

STEM = 32
"""Maps of the first convolution of B0."""

HEAD = 4
"""Maps of the last 1x1 convolution for each map before it."""

DROP_RATE = 0.2
"""Of stochastic depth after the last unit; it rises linearly from 0 at the first."""

STYLE = Style(excitation=nn.SiLU, gate=nn.Sigmoid)

STRIDES = (2, *(stage.stride for stage in STAGES), 1)
"""Of the members: the stem, the stages, and the last convolution."""


class EfficientNetEncoder(TappedEncoder):
    """Stem, stages and the last 1x1 convolution; a block ends before each next halving.

    So block1 is the stem with the first stage, block5 the last two stages with the convolution to
    1280 or more maps, as in torchvision's ``features``. A subclass states by how much its stages
    are wider and deeper than those of B0. Layers are all convolutions, those of squeeze and
    excitation too.
    """

    widths: ClassVar[tuple[int, ...]]
    units: ClassVar[tuple[int, ...]]

    def __init_subclass__(cls, *, name: str, width: float = 1.0, depth: float = 1.0) -> None:
        """Declare a member of the family by the factors of its width and depth."""
        super().__init_subclass__()
        stages = [multiple_of_8(stage.width * width) for stage in STAGES]
        cls.name = name
        cls.widths = (multiple_of_8(STEM * width), *stages, HEAD * stages[-1])
        cls.units = tuple(math.ceil(stage.units * depth) for stage in STAGES)
        cls.block_channels = tuple(cls.widths[end] for end in block_ends(STRIDES))

    def __init__(self, in_channels: int = 3) -> None:
        """Build with random weights for 1 or 3 input channels."""
        super().__init__(in_channels)
        stem = STYLE.convolution(
            in_channels, self.widths[0], kernel=3, stride=2, activation=nn.SiLU
        )
        stages = [self._stage(number) for number in range(len(STAGES))]
        head = STYLE.convolution(*self.widths[-2:], activation=nn.SiLU)
        taps = [str(end) for end in block_ends(STRIDES)]
        self.add_features(numbered([stem, *stages, head]), taps)

    def _stage(self, number: int) -> nn.Sequential:
        """Build stage ``number`` of `STAGES`."""
        _, kernel, stride, _, _ = STAGES[number]
        before, after = self.widths[number : number + 2]
        first, total = sum(self.units[:number]), sum(self.units)
        stage = nn.Sequential()
        for unit in range(self.units[number]):
            shape = UnitShape(
                before=before,
                expanded=before * STAGES[number].expansion,
                after=after,
                kernel=kernel,
                stride=stride if unit == 0 else 1,
                squeezed=before // 4,
                activation=nn.SiLU,
                drop_rate=DROP_RATE * (first + unit) / total,
            )
            stage.append(InvertedUnit(shape, STYLE))
            before = after
        return stage


class EfficientNetB0Encoder(EfficientNetEncoder, name="efficientnet_b0"):
    """EfficientNet-B0; conv1 ... conv81."""


class EfficientNetB1Encoder(EfficientNetEncoder, name="efficientnet_b1", depth=1.1):
    """EfficientNet-B1, deeper by a tenth."""


class EfficientNetB2Encoder(EfficientNetEncoder, name="efficientnet_b2", width=1.1, depth=1.2):
    """EfficientNet-B2."""


class EfficientNetB3Encoder(EfficientNetEncoder, name="efficientnet_b3", width=1.2, depth=1.4):
    """EfficientNet-B3."""
