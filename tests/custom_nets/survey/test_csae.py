"""The CSAE's network: each layer compared with its own formula, its size, freezing and weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from custom_nets.survey.csae import (
    ConvolutionalSparseEncoder,
    ConvolutionalSparseNetwork,
    GaussianPyramid,
    MultiScaleConvolution,
)
from tests.custom_nets.training import moved_shares, snapshot, train

BINOMIAL = torch.tensor([1.0, 4, 6, 4, 1]) / 16


def network(**options: object) -> ConvolutionalSparseNetwork:
    torch.manual_seed(0)
    made = ConvolutionalSparseNetwork(**{"in_channels": 1, "widths": (6, 5, 7), **options})  # type: ignore[arg-type]
    torch.nn.init.normal_(made.decoder.weight)
    return made.eval()


def smoothed(x: Tensor, step: int) -> Tensor:
    """Blur each channel with the binomial filter whose taps are ``step`` pixels apart."""
    kernel = torch.zeros(4 * step + 1)
    kernel[::step] = BINOMIAL
    square = torch.outer(kernel, kernel)[None, None]
    channels = [F.conv2d(F.pad(c, [2 * step] * 4, "replicate"), square) for c in x.split(1, 1)]
    return torch.cat(channels, 1)


def test_pyramid_then_every_fourth_pixel_is_the_usual_second_level() -> None:
    image = torch.rand(2, 3, 40, 44)
    level1 = smoothed(image, 1)[..., ::2, ::2]
    level2 = smoothed(level1, 1)[..., ::2, ::2]
    levels = GaussianPyramid(3)(image)
    torch.testing.assert_close(levels[:, :3], image)
    torch.testing.assert_close(levels[:, 3:6, ::2, ::2], level1)
    inner = (..., slice(2, -2), slice(2, -2))  # where neither repeats a border
    torch.testing.assert_close(levels[:, 6:, ::4, ::4][inner], level2[inner])


def test_convolution_of_scales_then_the_kernel_takes_every_second_and_fourth_pixel() -> None:
    layer = MultiScaleConvolution(2, 3, 5, scales=3)
    maps = torch.rand(1, 6, 21, 21)
    value = layer.bias.detach().clone()
    for scale, step in enumerate((1, 2, 4)):
        patch = maps[0, 2 * scale : 2 * scale + 2, 10 - 2 * step : 11 + 2 * step : step]
        patch = patch[:, :, 10 - 2 * step : 11 + 2 * step : step]
        value += (layer.weight[:, 2 * scale : 2 * scale + 2] * patch).sum((1, 2, 3)).detach()
    torch.testing.assert_close(layer(maps)[0, :, 10, 10], value)


@pytest.mark.parametrize(("poolings", "stride"), [(1, 2), (2, 4)])
@torch.no_grad()
def test_network_then_equals_its_formula_on_the_state_dict(poolings: int, stride: int) -> None:
    made = network(poolings=poolings, out_channels=2)
    w = made.state_dict()
    image = torch.rand(2, 1, 64, 32)
    first = smoothed(image, 1)
    total = w["encoder.conv1.bias"][None, :, None, None]
    for scale, level in enumerate((image, first, smoothed(first, 2))):
        kernel = w["encoder.conv1.weight"][:, scale : scale + 1]
        total = total + F.conv2d(level, kernel, padding=3 * 2**scale, dilation=2**scale)
    x = F.max_pool2d(total.relu(), 2)
    x = F.conv2d(x, w["encoder.conv2.weight"], w["encoder.conv2.bias"], padding=2).relu()
    x = F.max_pool2d(x, 2) if poolings == 2 else x
    x = F.conv2d(x, w["encoder.conv3.weight"], w["encoder.conv3.bias"], padding=2).relu()
    scores = F.conv2d(x, w["decoder.weight"], w["decoder.bias"])
    assert scores.shape[-1] == 32 // stride
    expected = F.interpolate(scores, (64, 32), mode="bilinear")
    torch.testing.assert_close(made(image), expected, rtol=0, atol=1e-5)


def test_parameters_then_the_sum_worked_out_by_hand() -> None:
    first, second, third = 50 * (3 * 3 * 49) + 50, 50 * 50 * 25 + 50, 100 * 50 * 25 + 100
    made = ConvolutionalSparseNetwork(in_channels=3, out_channels=1)
    assert sum(p.numel() for p in made.parameters()) == first + second + third + 100 + 1


def test_scores_then_zero_before_any_training() -> None:
    assert not ConvolutionalSparseNetwork(in_channels=1)(torch.rand(1, 1, 32, 32)).any()


def test_image_of_odd_size_then_logits_of_its_size_and_exports_agree() -> None:
    made = network()
    image = torch.rand(1, 1, 45, 70)
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        scripted = torch.jit.script(made)
    with torch.no_grad():
        assert made(image).shape == (1, 1, 45, 70)
        torch.testing.assert_close(scripted(image), made(image))
    with pytest.raises(ValueError, match=r"input must be \(B, 1, H, W\); got \[1, 3, 45, 70\]"):
        made(torch.rand(1, 3, 45, 70))


@pytest.mark.parametrize(
    "released", [["decoder"], ["block1", "decoder"], ["block3"], ["encoder"], ["all"]]
)
def test_parts_then_only_the_released_move(released: list[str]) -> None:
    made = network()
    before = snapshot(made)
    made.set_trainable(released)
    train(made, [torch.rand(2, 1, 32, 32)] * 2)
    names = {"all": set(made.block_names), "encoder": {"block1", "block2", "block3"}}
    moving = set().union(*(names.get(name, {name}) for name in released))
    assert made.block_names == ("block1", "block2", "block3", "decoder")
    assert moved_shares(made, before) == {name: float(name in moving) for name in made.block_names}


@pytest.mark.parametrize("in_channels", [1, 3])
def test_weights_of_a_file_then_loaded_bit_equal(tmp_path: Path, in_channels: int) -> None:
    encoder = ConvolutionalSparseEncoder(in_channels)
    file = tmp_path / "encoder.pt"
    torch.save({"encoder": "csae", "state_dict": encoder.state_dict(), "epoch": 1}, file)
    made = ConvolutionalSparseNetwork(in_channels=in_channels, weights=str(file))
    for key, tensor in encoder.state_dict().items():
        assert torch.equal(made.encoder.state_dict()[key], tensor)
    other = 4 - in_channels
    with pytest.raises(ValueError, match="conv1.weight .* must be"):
        ConvolutionalSparseNetwork(in_channels=other, weights=str(file))
    with pytest.raises(ValueError, match="no weights 'imagenet' are published for 'csae'"):
        ConvolutionalSparseNetwork(weights="imagenet")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": 0}, "scales must be at least 1; got 0"),
        ({"widths": (5, 5)}, "widths must be 3 numbers"),
        ({"poolings": 3}, "poolings 1 or 2; got .* 3"),
        ({"out_channels": 0}, "out_channels must be at least 1; got 0"),
        ({"in_channels": 2}, "in_channels must be 1"),
    ],
)
def test_option_when_out_of_range_then_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(**options)
