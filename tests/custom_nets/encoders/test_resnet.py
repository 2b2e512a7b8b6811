from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from custom_nets.encoders import ENCODERS, make_encoder
from custom_nets.encoders.encoder import Encoder
from custom_nets.encoders.resnet import (
    ResidualUnit,
    ResNet34Encoder,
    ResNet38Encoder,
    ResNet50Encoder,
    ResNet101Encoder,
)
from tests.custom_nets.encoders import reference
from tests.custom_nets.encoders.encoder_contract import EncoderContract, ReferenceContract
from tests.custom_nets.undrawn import undrawn_weights

UNITS = {
    "resnet34": (3, 4, 6, 3),
    "resnet38": (3, 3, 3, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}


class Recomputed:
    """The paper's forward, from the ``state_dict`` alone, by torch's functions."""

    def __init__(self, state: dict[str, Tensor], dilations: tuple[int, ...] = (1, 1)) -> None:
        """``dilations`` are those of stages 3 and 4; above 1 they replace the stride."""
        self.state = state
        self.dilations = (1, 1, *dilations)

    def convolved(self, x: Tensor, conv: str, norm: str, **options: Any) -> Tensor:
        x = F.conv2d(x, self.state[f"{conv}.weight"], **options)
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.state[f"{norm}.{name}"] for name in names))

    def unit(self, x: Tensor, at: str, stride: int, first: int, later: int) -> Tensor:
        """``first`` is the dilation of the strided convolution, ``later`` of those after it."""
        spread = {"stride": stride, "padding": first, "dilation": first}
        if f"{at}.conv3.weight" in self.state:
            out = self.convolved(x, f"{at}.conv1", f"{at}.bn1").relu()
            out = self.convolved(out, f"{at}.conv2", f"{at}.bn2", **spread).relu()
            out = self.convolved(out, f"{at}.conv3", f"{at}.bn3")
        else:
            out = self.convolved(x, f"{at}.conv1", f"{at}.bn1", **spread).relu()
            out = self.convolved(out, f"{at}.conv2", f"{at}.bn2", padding=later, dilation=later)
        if f"{at}.downsample.0.weight" in self.state:
            x = self.convolved(x, f"{at}.downsample.0", f"{at}.downsample.1", stride=stride)
        return (out + x).relu()

    def __call__(self, x: Tensor, units: tuple[int, ...]) -> list[Tensor]:
        maps = [self.convolved(x, "conv1", "bn1", stride=2, padding=3).relu()]
        x = F.max_pool2d(maps[0], 3, stride=2, padding=1)
        before = 1
        for stage, (count, dilation) in enumerate(zip(units, self.dilations, strict=True), start=1):
            stride = 2 if stage > 1 and dilation == before else 1
            x = self.unit(x, f"layer{stage}.0", stride, before, dilation)
            for index in range(1, count):
                x = self.unit(x, f"layer{stage}.{index}", 1, dilation, dilation)
            maps.append(x)
            before = dilation
        return maps


def filled(name: str, **options: Any) -> Encoder:
    return reference.filled(lambda: make_encoder(name, **options))


class TestResNet34(EncoderContract):
    encoder_type = ResNet34Encoder
    layers = 36

    def test_a_norm_counts_with_the_convolution_before_it(self) -> None:
        parts = ResNet34Encoder(1).parts
        assert parts["block1"] == {"conv1": ["conv1", "bn1"]}
        assert parts["block3"]["conv10"] == ["layer2.0.downsample.0", "layer2.0.downsample.1"]


class TestResNet38(EncoderContract):
    """Without published weights: its reference is the forward recomputed here."""

    encoder_type = ResNet38Encoder
    layers = 41

    def test_keys_and_shapes_are_those_of_the_published_file(self, encoder: Encoder) -> None:
        """As ResNet-50's, from which one unit is missing in stage 2 and three in stage 3."""
        left_out = ("layer2.3.", "layer3.3.", "layer3.4.", "layer3.5.")
        keys = reference.figures("resnet50")["keys"]
        expected = {key: shape for key, shape in keys.items() if not key.startswith(left_out)}
        assert {k: list(t.shape) for k, t in encoder.state_dict().items()} == expected

    def test_filled_features_are_those_of_the_reference(self) -> None:
        encoder = filled("resnet38")
        with torch.no_grad():
            maps = encoder(reference.image(64))
            expected = Recomputed(encoder.state_dict())(reference.image(64), UNITS["resnet38"])
        assert all(torch.equal(one, other) for one, other in zip(maps, expected, strict=True))


class TestResNet50(ReferenceContract):
    encoder_type = ResNet50Encoder
    layers = 53


class TestResNet101(ReferenceContract):
    encoder_type = ResNet101Encoder
    layers = 104


@pytest.mark.parametrize(("name", "units"), [("resnet38", 12), ("resnet50", 16), ("resnet101", 33)])
def test_layers_of_a_bottleneck_network_then_three_for_each_unit_and_two(name, units):
    with undrawn_weights():
        encoder = ENCODERS[name](1)
    projections = sum("downsample.0" in key for key in encoder.state_dict())
    layers = len(encoder.layer_names) - projections + 1  # the classifying layer is left out
    assert (projections, layers) == (4, 3 * units + 2)
    assert f"resnet{layers}" == name


@pytest.mark.parametrize(
    ("name", "known"),  # of torchvision's tables, less the classifier; less a unit of 128, 3 of 256
    [
        *(("resnet50", 25557032 - 2049000), ("resnet101", 44549160 - 2049000)),
        ("resnet38", 25557032 - 2049000 - 280064 - 3 * 1117184),
    ],
)
def test_parameters_of_a_bottleneck_network_then_the_sum_of_its_layers(name, known):
    """Stem; for each unit 1x1 from c to w, 3x3 of w, 1x1 to 4w, and norms 2(w + w + 4w);
    for each stage a projection from its input to 4w with its norm."""
    total = 3 * 64 * 49 + 2 * 64
    channels = 64
    for width, units in zip((64, 128, 256, 512), UNITS[name], strict=True):
        total += channels * 4 * width + 2 * 4 * width
        for _ in range(units):
            total += channels * width + 9 * width**2 + 4 * width**2 + 12 * width
            channels = 4 * width
    with undrawn_weights():
        encoder = ENCODERS[name](3)
    assert sum(p.numel() for p in encoder.parameters()) == total == known


@pytest.mark.parametrize(
    ("name", "output_stride", "dilations"),
    [
        *(("resnet34", 32, (1, 1)), ("resnet34", 16, (1, 2)), ("resnet34", 8, (2, 4))),
        *(("resnet38", None, (1, 1)), ("resnet38", 16, (1, 2)), ("resnet38", 8, (2, 4))),
    ],
)
def test_dilated_maps_of_a_grey_image_then_those_recomputed(name, output_stride, dilations):
    encoder = filled(name, output_stride=output_stride, in_channels=1)
    image = reference.image(64)[:, :1]
    with torch.no_grad():
        maps = encoder(image)
        expected = Recomputed(encoder.state_dict(), dilations)(image, UNITS[name])
    assert all(torch.equal(one, other) for one, other in zip(maps, expected, strict=True))
    assert [64 // m.shape[-1] for m in maps] == list(encoder.block_strides)
    assert max(encoder.block_strides) == (output_stride or 32)


@pytest.mark.parametrize("name", ["resnet34", "resnet38"])
def test_dilated_network_at_the_places_of_the_strided_one_then_the_same_maps(name):
    """So weights of a dilated network, such as COCO's, serve both forms."""
    image = reference.image(96)
    with torch.no_grad():
        fine, coarse = filled(name, output_stride=8)(image)[-1], filled(name)(image)[-1]
    torch.testing.assert_close(fine[:, :, ::4, ::4], coarse, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("output_stride", [4, 64, 0])
def test_output_stride_that_is_none_of_the_three_then_refused(output_stride):
    with pytest.raises(ValueError, match=f"must be one of 32, 16, 8; got {output_stride}"):
        make_encoder("resnet50", output_stride=output_stride)


def test_output_stride_of_another_encoder_then_refused_with_those_that_have_it():
    with pytest.raises(ValueError, match="for vgg16, only resnet18, resnet34, .*, resnet152 have"):
        make_encoder("vgg16", output_stride=8)


def test_unit_without_convolutions_then_says_so():
    with pytest.raises(NotImplementedError):
        ResidualUnit(1, 1, stride=1)
