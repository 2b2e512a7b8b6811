"""MobileNetV3 (Howard et al., ICCV 2019) as an encoder: small and large."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from torch import nn

from custom_nets.encoders.inverted_residual import InvertedUnit, Style, UnitShape, multiple_of_8
from custom_nets.encoders.tapped import TappedEncoder, block_ends, numbered


class Row(NamedTuple):
    """One unit, as in the tables of the paper.

    Attributes:
        kernel: side of its depthwise convolution.
        expanded: maps between its convolutions.
        width: maps of its output.
        squeezes: whether it has squeeze and excitation.
        hard_swish: its activation, otherwise ReLU.
        stride: of its depthwise convolution.
    """

    kernel: int
    expanded: int
    width: int
    squeezes: bool
    hard_swish: bool
    stride: int


LARGE = (
    Row(3, 16, 16, False, False, 1),
    Row(3, 64, 24, False, False, 2),
    Row(3, 72, 24, False, False, 1),
    Row(5, 72, 40, True, False, 2),
    *[Row(5, 120, 40, True, False, 1)] * 2,
    Row(3, 240, 80, False, True, 2),
    Row(3, 200, 80, False, True, 1),
    *[Row(3, 184, 80, False, True, 1)] * 2,
    Row(3, 480, 112, True, True, 1),
    Row(3, 672, 112, True, True, 1),
    Row(5, 672, 160, True, True, 2),
    *[Row(5, 960, 160, True, True, 1)] * 2,
)
"""Table 1 of the paper."""

SMALL = (
    Row(3, 16, 16, True, False, 2),
    Row(3, 72, 24, False, False, 2),
    Row(3, 88, 24, False, False, 1),
    Row(5, 96, 40, True, True, 2),
    *[Row(5, 240, 40, True, True, 1)] * 2,
    Row(5, 120, 48, True, True, 1),
    Row(5, 144, 48, True, True, 1),
    Row(5, 288, 96, True, True, 2),
    *[Row(5, 576, 96, True, True, 1)] * 2,
)
"""Table 2 of the paper."""

STEM = 16
"""Maps of the first convolution."""

HEAD = 6
"""Maps of the last 1x1 convolution for each map before it."""

STYLE = Style(excitation=nn.ReLU, gate=nn.Hardsigmoid, eps=0.001, momentum=0.01)


class MobileNetV3Encoder(TappedEncoder):
    """Stem, units and the last 1x1 convolution; a block ends before each next halving.

    A subclass states its units. Layers are all convolutions, those of squeeze and excitation too.
    """

    rows: ClassVar[tuple[Row, ...]]
    ends: ClassVar[list[int]]

    def __init_subclass__(cls, *, name: str, rows: tuple[Row, ...]) -> None:
        """Declare a member of the family by its units."""
        super().__init_subclass__()
        cls.name, cls.rows = name, rows
        cls.ends = block_ends([2, *(row.stride for row in rows), 1])
        widths = [STEM, *(row.width for row in rows), HEAD * rows[-1].width]
        cls.block_channels = tuple(widths[end] for end in cls.ends)

    def __init__(self, in_channels: int = 3) -> None:
        """Build with random weights for 1 or 3 input channels."""
        super().__init__(in_channels)
        stem = STYLE.convolution(in_channels, STEM, kernel=3, stride=2, activation=nn.Hardswish)
        members: list[nn.Module] = [stem]
        width = STEM
        for row in self.rows:
            members.append(InvertedUnit(_shape(width, row), STYLE))
            width = row.width
        members.append(STYLE.convolution(width, HEAD * width, activation=nn.Hardswish))
        self.add_features(numbered(members), [str(end) for end in self.ends])


class MobileNetV3SmallEncoder(MobileNetV3Encoder, name="mobilenet_v3_small", rows=SMALL):
    """MobileNetV3-Small; conv1 ... conv52."""


class MobileNetV3LargeEncoder(MobileNetV3Encoder, name="mobilenet_v3_large", rows=LARGE):
    """MobileNetV3-Large; conv1 ... conv62."""


def _shape(before: int, row: Row) -> UnitShape:
    return UnitShape(
        before=before,
        expanded=row.expanded,
        after=row.width,
        kernel=row.kernel,
        stride=row.stride,
        squeezed=multiple_of_8(row.expanded // 4) if row.squeezes else 0,
        activation=nn.Hardswish if row.hard_swish else nn.ReLU,
    )
