"""Convolutions of an OpenVINO model in 8 bits, with ranges that were observed on images.

Each convolution, transposed ones too, gets its input rounded to 256 levels of one range and its
weights to 255 levels of a range for each output channel. A channel of the input with a wide range
would leave few levels to the others, so that ranges are first evened out between channels and
weights (SmoothQuant, Xiao et al. 2023, equation 4, there for linear layers): exact in real numbers,
and free, as the division is part of the rounding and the multiplication part of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Place = tuple[str, int]
"""Output of an operation: its name and its number."""

KINDS = ("Convolution", "ConvolutionBackpropData")
"""OpenVINO's names of a convolution and a transposed one."""
FIRST, LAST = 1, 7
"""Convolutions at either end that stay as they are: an image and logits need more than 8 bits. Of a
U-Net seven are the logits' and the two last steps'."""
LEVELS = 255
"""Of a range, and one for zero."""
SMOOTHING = 0.5
"""Share of a channel's range that moves to the weights; 0.5 is that of the paper."""
LEAST_RANGE = 1e-3
"""Of the widest channel; a channel that was zero on all images is not scaled up without limit."""


@dataclass
class Range:
    """Least and greatest value of each channel of a convolution's input, over all images.

    Attributes:
        low: (C,), at most 0.
        high: (C,), at least 0.
    """

    low: Floats
    high: Floats

    def widen(self, low: Floats, high: Floats) -> None:
        """Include those of a further image."""
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)

    @property
    def width(self) -> Floats:
        """Greatest magnitude of each channel, above 0."""
        width: Floats = np.maximum(self.high, -self.low)
        least = np.float32(LEAST_RANGE * max(float(width.max()), 1e-6))
        return np.maximum(width, least, dtype=np.float32)


def inner_convolutions(model: Any) -> list[Any]:
    """Return the convolutions that 8 bits suit: with fixed weights, without those at the ends."""
    found = [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() in KINDS
        and node.input_value(1).get_node().get_type_name() == "Constant"
    ]
    return found[FIRST:-LAST]


def _is_transposed(convolution: Any) -> bool:
    return str(convolution.get_type_name()) == KINDS[1]


def _weights_of(convolution: Any) -> Floats:
    """Return the weights (O, C, kernel...), also of a transposed convolution."""
    weights = np.array(convolution.input_value(1).get_node().data, np.float32)
    return weights.swapaxes(0, 1) if _is_transposed(convolution) else weights


def place_of(convolution: Any) -> Place:
    """Return where a convolution's input comes from; several may share one."""
    source = convolution.input_value(0)
    return source.get_node().get_friendly_name(), source.get_index()


def with_ranges(model: Any) -> tuple[Any, list[Place]]:
    """Return a copy of a model that also gives the ranges of its inner convolutions' inputs.

    Returns:
        The copy, whose outputs after the first are the least and the greatest value of each channel
        of one place after another; and these places.
    """
    from openvino import opset13 as operations

    observed, places = model.clone(), []
    axes = operations.constant(np.array([0, 2, 3], np.int64))
    for convolution in inner_convolutions(observed):
        place, source = place_of(convolution), convolution.input_value(0)
        if place not in places:
            places.append(place)
            ends = (operations.reduce_min, operations.reduce_max)
            observed.add_outputs([end(source, axes, False).output(0) for end in ends])
    return observed, places


def ranges_of(places: Sequence[Place], ends: Sequence[Floats]) -> dict[Place, Range]:
    """Return the ranges of one image, from the further outputs of :func:`with_ranges`."""
    pairs = zip(ends[::2], ends[1::2], strict=True)
    return {
        place: Range(np.minimum(low, 0), np.maximum(high, 0))
        for place, (low, high) in zip(places, pairs, strict=True)
    }


def quantised(model: Any, ranges: dict[Place, Range]) -> Any:
    """Return a copy of a model with its inner convolutions in 8 bits.

    Args:
        model: OpenVINO's, in float32.
        ranges: of the inputs of these convolutions.
    """
    copy = model.clone()
    sharing: dict[Place, list[Any]] = {}
    for convolution in inner_convolutions(copy):
        sharing.setdefault(place_of(convolution), []).append(convolution)
    for place, convolutions in sharing.items():
        _quantise(convolutions, ranges[place])
    copy.validate_nodes_and_infer_types()
    return copy


def _quantise(convolutions: Sequence[Any], observed: Range) -> None:
    """Round the input that convolutions share, and the weights of each."""
    from openvino import opset13 as operations

    weights = [_weights_of(each) for each in convolutions]
    scale = smoothing_scale(observed.width, weights)
    bottom, top = range_with_zero(
        float((observed.low / scale).min()), float((observed.high / scale).max())
    )
    each = scale.reshape(1, -1, 1, 1)
    source = convolutions[0].input_value(0)
    rounded = operations.fake_quantize(source, bottom * each, top * each, bottom, top, LEVELS + 1)
    for convolution, values in zip(convolutions, weights, strict=True):
        scaled = values * each
        width = np.abs(scaled).max(axis=(1, 2, 3), keepdims=True)
        width = np.maximum(width, np.float32(1e-12))
        if _is_transposed(convolution):  # as OpenVINO keeps them
            scaled, width = scaled.swapaxes(0, 1), width.swapaxes(0, 1)
        narrow = operations.fake_quantize(
            operations.constant(np.ascontiguousarray(scaled)), -width, width, -width, width, LEVELS
        )
        convolution.input(0).replace_source_output(rounded.output(0))
        convolution.input(1).replace_source_output(narrow.output(0))


def range_with_zero(low: float, high: float) -> tuple[np.float32, np.float32]:
    """Return the least range around low and high of whose 256 levels one is exactly zero.

    OpenVINO rounds the level of zero to a whole number. If that is not one, it shifts every value
    by the same part of a level, in each channel, and the logits with them.

    Args:
        low: at most 0.
        high: at least 0.

    Example:
        >>> bottom, top = range_with_zero(-0.1, 2.0)
        >>> round(float(bottom), 4), round(float(top), 4)
        (-0.1074, 2.0)
        >>> round(float(-bottom * 255 / (top - bottom)), 3)
        13.0
    """
    if high <= low:
        return np.float32(0), np.float32(0)
    fewest, most = int(low < 0), LEVELS - int(high > 0)  # levels below zero
    exactly = -low * LEVELS / (high - low)
    choices = {min(max(near(exactly), fewest), most) for near in (math.floor, math.ceil)}
    step, below = min(
        (max(-low / max(below, 1), high / max(LEVELS - below, 1)), below) for below in choices
    )
    return np.float32(-below * step), np.float32((LEVELS - below) * step)


def smoothing_scale(width: Floats, weights: Sequence[Floats]) -> Floats:
    """Return the number by which each channel of an input is divided, and its weights multiplied.

    Args:
        width: greatest magnitude of each channel.
        weights: (O, C, kernel...) of each convolution that reads the input.

    Example:
        >>> weights = np.ones((1, 2, 1, 1), np.float32)
        >>> smoothing_scale(np.array([1, 16], np.float32), [weights]).tolist()
        [1.0, 4.0]
    """
    reach = np.max([np.abs(each).max(axis=(0, 2, 3)) for each in weights], axis=0)
    reach = np.maximum(reach, LEAST_RANGE * max(float(reach.max()), 1e-6))
    scale: Floats = (width**SMOOTHING / reach ** (1 - SMOOTHING)).astype(np.float32)
    return scale
