"""Convolutions in 8 bits: which, and how far from float32."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from scripts.prediction.network.openvino_network import (
    Conversion,
    compile_outputs,
    conversion_of,
)
from scripts.prediction.network.quantisation import (
    LAST,
    Range,
    inner_convolutions,
    quantised,
    range_with_zero,
    ranges_of,
    smoothing_scale,
    with_ranges,
)


class Chain(nn.Module):
    """Ten convolutions; the input of the second has one channel far wider than the others."""

    in_channels = 3

    def __init__(self, *, wide=1.0):
        super().__init__()
        torch.manual_seed(0)
        sizes = (3, *9 * (8,), 1)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
        with torch.no_grad():
            self.layers[0].weight[0] *= wide
            self.layers[1].weight[:, 0] /= wide

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


@pytest.fixture
def image():
    return torch.rand(2, 3, 24, 32, generator=torch.Generator().manual_seed(1))


def observed(model, image):
    copy, places = with_ranges(model)
    logits, *ends = compile_outputs(copy, torch.float32)(image)
    return torch.from_numpy(logits), ranges_of(places, ends)


def error_of(network, image):
    """Of 8 bits, relative to the spread of the logits."""
    network.eval()
    conversion = conversion_of(network, channels=3)
    logits, ranges = observed(conversion.model, image)
    rounded = Conversion(quantised(conversion.model, ranges)).call(torch.float32)(image)
    torch.testing.assert_close(logits, network(image).detach(), atol=1e-4, rtol=1e-4)
    return float((rounded - logits).std() / logits.std())


def test_convolutions_then_those_inside_only():
    model = conversion_of(Chain().eval(), channels=3).model
    names = [node.get_friendly_name() for node in inner_convolutions(model)]
    assert ["layers.1" in names[0], "layers.2" in names[1], len(names)] == [True, True, 2]


class Doubling(nn.Module):
    """A transposed convolution after the first, then layers up to the logits."""

    in_channels = 1

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 1),
            nn.ConvTranspose2d(4, 6, 2, stride=2),
            *(nn.Conv2d(6, 6, 1) for _ in range(LAST)),
        )

    def forward(self, x):
        return self.layers(x)


def test_transposed_convolution_then_in_eight_bits_too(image):
    image = image[:, :1]
    conversion = conversion_of(Doubling().eval(), channels=1)
    (inner,) = inner_convolutions(conversion.model)
    logits, ranges = observed(conversion.model, image)
    rounded = Conversion(quantised(conversion.model, ranges)).call(torch.float32)(image)
    assert inner.get_type_name() == "ConvolutionBackpropData"
    assert 1e-5 < float((rounded - logits).std() / logits.std()) < 0.02


class Passing(nn.Module):
    """Layers that give the image back, one of them in 8 bits."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 1),
            *(nn.Conv2d(4, 4, 1) for _ in range(LAST)),
            nn.Conv2d(4, 1, 1),
        )
        with torch.no_grad():
            for layer in self.layers:
                layer.bias.zero_()
                layer.weight.copy_(
                    torch.eye(4)[: len(layer.weight), : layer.in_channels, None, None]
                )
            self.layers[0].weight.fill_(1)
            self.layers[-1].weight.fill_(0.25)

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("high", [0.36803, 0.3712])
def test_values_of_both_signs_then_rounded_without_a_mean_error(high):
    image = torch.linspace(-1, high, 96 * 96)[torch.randperm(96 * 96)].reshape(1, 1, 96, 96)
    conversion = conversion_of(Passing().eval(), channels=1)
    _, ranges = observed(conversion.model, image)
    rounded = Conversion(quantised(conversion.model, ranges)).call(torch.float32)(image)
    level = (1 + high) / 255
    assert abs(float((rounded - image).mean())) < 0.05 * level
    assert 0.1 * level < float((rounded - image).abs().max()) < 1.1 * level


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-1, 2), (-0.1, 2), (-1e-6, 3), (-3, 0), (-5, 1e-7), (-0.7, 0.3)]
)
def test_range_then_around_both_ends_with_a_level_at_zero(low, high):
    bottom, top = range_with_zero(low, high)
    level = float(bottom) * 255 / float(top - bottom)
    assert level == pytest.approx(round(level), abs=1e-3)
    assert bottom <= low + 1e-6 and high - 1e-6 <= top  # noqa: PT018
    assert float(top - bottom) <= (high - low) * 256 / 254 + 1e-6


def test_map_of_zeros_then_an_empty_range():
    assert range_with_zero(0.0, 0.0) == (0, 0)


def test_ranges_then_those_of_each_channel_and_never_without_zero(image):
    network = Chain().eval()
    _, ranges = observed(conversion_of(network, channels=3).model, image)
    first = torch.relu(network.layers[0](image)).detach()
    found = next(iter(ranges.values()))
    assert len(ranges) == 2
    torch.testing.assert_close(torch.from_numpy(found.high), first.amax(dim=(0, 2, 3)))
    assert found.low.tolist() == [0.0] * 8
    found.widen(np.full(8, -1, np.float32), np.zeros(8, np.float32))
    assert found.low.tolist() == [-1.0] * 8
    assert float(found.high.max()) == float(first.max())


def test_channel_that_was_always_zero_then_a_range_above_zero():
    dead = Range(np.zeros(2, np.float32), np.array([0, 4], np.float32))
    assert dead.width.tolist() == pytest.approx([0.004, 4.0])
    assert Range(np.zeros(1, np.float32), np.zeros(1, np.float32)).width[0] > 0


def test_eight_bits_then_near_float32_but_not_it(image):
    assert 1e-5 < error_of(Chain(), image) < 0.05


def test_channel_much_wider_than_the_others_then_as_near(image, monkeypatch):
    even, wide = error_of(Chain(), image), error_of(Chain(wide=300.0), image)
    assert wide < 3 * even
    monkeypatch.setattr(
        "scripts.prediction.network.quantisation.smoothing_scale",
        lambda width, weights: np.ones_like(width),
    )
    assert error_of(Chain(wide=300.0), image) > 3 * wide  # what the scale is for


def test_scale_when_several_convolutions_share_an_input_then_of_the_widest_weights():
    narrow, broad = (np.full((2, 1, 1, 1), value, np.float32) for value in (0.01, 4.0))
    scale = smoothing_scale(np.array([1], np.float32), [narrow, broad])
    assert scale.tolist() == [0.5]
