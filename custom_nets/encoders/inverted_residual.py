"""Inverted residual units (Sandler et al., CVPR 2018), of which EfficientNet and MobileNetV3 are.

Source of squeeze and excitation: Hu, Shen, Sun, CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from typing_extensions import Self

from custom_nets.encoders.stochastic_depth import StochasticDepth
from custom_nets.freezing import FreezableBatchNorm2d

Activation = Callable[..., nn.Module]


@dataclass(frozen=True)
class Style:
    """What all units of a network have in common.

    Attributes:
        excitation: activation between the two convolutions of a squeeze and excitation.
        gate: activation after them, to [0, 1].
        eps: of the batch norms, added to the variance.
        momentum: of the batch norms, weight of the newest batch.
    """

    excitation: Activation
    gate: Activation
    eps: float = 1e-5
    momentum: float = 0.1

    def convolution(
        self,
        before: int,
        after: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        depthwise: bool = False,
        activation: Activation | None = None,
    ) -> nn.Sequential:
        """Return a convolution without bias, a batch norm and, unless None, an activation."""
        groups = before if depthwise else 1
        members: list[nn.Module] = [
            nn.Conv2d(
                *(before, after, kernel, stride, kernel // 2),
                groups=groups,
                bias=False,
            ),
            FreezableBatchNorm2d(after, eps=self.eps, momentum=self.momentum),
        ]
        if activation is not None:
            members.append(activation(inplace=True))
        return nn.Sequential(*members)


@dataclass(frozen=True)
class UnitShape:
    """Shape of one unit.

    Attributes:
        before: maps of its input.
        expanded: maps between its convolutions.
        after: maps of its output.
        kernel: side of the depthwise convolution.
        stride: of the depthwise convolution.
        squeezed: values between the two convolutions of its squeeze and excitation; 0: none.
        activation: after the expansion and the depthwise convolution.
        drop_rate: of its stochastic depth.
    """

    before: int
    expanded: int
    after: int
    kernel: int
    stride: int
    squeezed: int
    activation: Activation
    drop_rate: float = 0.0


class SqueezeExcitation(nn.Module):
    """Scale each map by a gate that is computed from the means of all maps."""

    def __init__(self, channels: int, squeezed: int, style: Style) -> None:
        """Gate ``channels`` maps by way of ``squeezed`` values."""
        super().__init__()
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.excitation = style.excitation(inplace=True)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.gate = style.gate()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        gate: Tensor = self.gate(self.fc2(self.excitation(self.fc1(self.mean(x)))))
        return gate * x


class InvertedUnit(nn.Module):
    """1x1 expansion, depthwise convolution, squeeze and excitation, 1x1 projection.

    The expansion is left out where the maps are not more than those of the input. The input is
    added to the output where the shapes are equal.
    """

    def __init__(self, shape: UnitShape, style: Style) -> None:
        """Map ``shape.before`` to ``shape.after`` maps, ``shape.stride`` times smaller."""
        super().__init__()
        self.block = nn.Sequential(*_members(shape, style))
        self.adds = shape.stride == 1 and shape.before == shape.after
        self.stochastic_depth = StochasticDepth(shape.drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, before, H, W) to (B, after, H / stride, W / stride)."""
        out: Tensor = self.block(x)
        return self.stochastic_depth(out) + x if self.adds else out

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a unit in which nothing trains leaves nothing out."""
        super().train(mode)
        learns = any(parameter.requires_grad for parameter in self.parameters())
        self.stochastic_depth.train(mode and learns)
        return self


def multiple_of_8(width: float) -> int:
    """Round a number of maps to a multiple of 8, at least 8, never down by more than a tenth.

    >>> multiple_of_8(35.2), multiple_of_8(4), multiple_of_8(18)
    (32, 8, 24)
    """
    rounded = max(8, 8 * int(width / 8 + 0.5))
    return rounded if rounded >= 0.9 * width else rounded + 8


def _members(shape: UnitShape, style: Style) -> list[nn.Module]:
    members: list[nn.Module] = []
    if shape.expanded != shape.before:
        members.append(style.convolution(shape.before, shape.expanded, activation=shape.activation))
    members.append(
        style.convolution(
            *(shape.expanded, shape.expanded),
            kernel=shape.kernel,
            stride=shape.stride,
            depthwise=True,
            activation=shape.activation,
        )
    )
    if shape.squeezed:
        members.append(SqueezeExcitation(shape.expanded, shape.squeezed, style))
    members.append(style.convolution(shape.expanded, shape.after))
    return members
