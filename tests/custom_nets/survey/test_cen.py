"""CEN-s: compared with its own formula, its size, its start from RBMs, freezing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from custom_nets.survey.cen import (
    DEVIATION,
    ConvolutionalEncoderNetwork,
    missing_voxels,
    rbm_layers,
)
from custom_nets.survey.crbm import ConvolutionalRBM
from scripts.unsupervised.layerwise import train_layers
from tests.custom_nets.training import moved_shares, snapshot, train


def network(**options: object) -> ConvolutionalEncoderNetwork:
    torch.manual_seed(0)
    small = {"filters": 3, "kernel_size": (3, 3, 1)}
    made = ConvolutionalEncoderNetwork(**{**small, **options})  # type: ignore[arg-type]
    for parameter in made.parameters():
        if parameter.dim() == 1 or not parameter.any():
            nn.init.normal_(parameter)
    return made.eval()


@torch.no_grad()
def test_network_then_equals_its_formula_on_the_state_dict() -> None:
    made = network(out_channels=2)
    w = made.state_dict()
    volume = torch.rand(2, 1, 12, 14, 4)
    first = F.conv3d(volume / 0.2, w["encoder.conv1.weight"], w["encoder.conv1.bias"]).relu()
    pooled = F.avg_pool3d(first, 2)
    second = F.conv3d(pooled, w["encoder.conv2.weight"], w["encoder.conv2.bias"]).relu()
    back = F.conv_transpose3d(second, w["decoder.up2.weight"], w["decoder.up2.bias"]).relu()
    assert back.shape == pooled.shape
    for axis in (2, 3, 4):
        back = back.repeat_interleave(2, dim=axis)
    deep, shortcut = w["decoder.up1.weight"].split(3)
    expected = F.conv_transpose3d(back, deep) + F.conv_transpose3d(first, shortcut)
    expected = expected + w["decoder.up1.bias"].view(1, -1, 1, 1, 1)
    torch.testing.assert_close(made(volume), expected, rtol=0, atol=1e-5)


def test_parameters_then_the_sum_worked_out_by_hand() -> None:
    taps = 9 * 9 * 3
    first, second, third = 32 * taps + 32, 32 * 32 * taps + 32, 32 * 32 * taps + 32
    last = 64 * taps + 1
    made = ConvolutionalEncoderNetwork()
    assert sum(p.numel() for p in made.parameters()) == first + second + third + last


@pytest.mark.parametrize("size", [(12, 14, 4), (11, 15, 5), (3, 4, 1)])
def test_volume_of_any_size_then_logits_of_its_size(size: tuple[int, ...]) -> None:
    made = network()
    volume = torch.rand(1, 1, *size)
    with torch.no_grad():
        assert made(volume).shape == volume.shape
    with pytest.raises(ValueError, match=r"input must be \(B, 1, H, W, D\); got"):
        made(volume[..., 0])


def test_padding_then_the_least_that_leaves_an_even_number_and_room_for_the_kernels() -> None:
    for kernel in (1, 3, 7, 9):
        for size in range(1, 60):
            missing = missing_voxels(size, kernel)
            left = size + missing - kernel + 1
            assert left % 2 == 0
            assert left // 2 >= kernel
            assert missing < 2 or left == 2 * kernel


def test_export_then_equal_for_another_size() -> None:
    made = network()
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        scripted = torch.jit.script(made)
    volume = torch.rand(1, 1, 13, 12, 5)
    with torch.no_grad():
        torch.testing.assert_close(scripted(volume), made(volume))


@pytest.mark.parametrize("released", [["decoder"], ["block2", "decoder"], ["encoder"], ["all"]])
def test_parts_then_only_the_released_move(released: list[str]) -> None:
    made = network()
    before = snapshot(made)
    made.set_trainable(released)
    train(made, [torch.rand(1, 1, 12, 12, 4)] * 2)
    names = {"all": {"block1", "block2", "decoder"}, "encoder": {"block1", "block2"}}
    moving = set().union(*(names.get(name, {name}) for name in released))
    assert moved_shares(made, before) == {name: float(name in moving) for name in made.block_names}


def test_rbms_then_train_the_network_and_both_ways_start_from_their_file(tmp_path: Path) -> None:
    made = network()
    layers = rbm_layers(made, sparsity=0.0)
    volumes = [torch.rand(2, 1, 12, 12, 4) for _ in range(3)]
    layer = layers[0]
    assert isinstance(layer, ConvolutionalRBM)
    first = layer.restoration_error(volumes[0])
    train_layers(layers, volumes, epochs=15, learning_rate=0.01, seed=0)  # type: ignore[arg-type]
    assert layer.restoration_error(volumes[0]) < 0.5 * first
    with torch.no_grad():
        x = volumes[0]
        for one, expected in zip(layers, made.encoder(x), strict=True):
            x = one.encode(x)  # type: ignore[operator]
            assert torch.equal(x, expected)
    encoder = made.encoder
    assert encoder.visible1.abs().sum() > 0
    assert encoder.visible2.abs().sum() > 0
    file = tmp_path / "encoder.pt"
    torch.save({"encoder": "cen_s", "state_dict": encoder.state_dict(), "epoch": 1}, file)
    taken = network(weights=str(file), out_channels=2)
    started = ConvolutionalEncoderNetwork(
        filters=3, kernel_size=(3, 3, 1), weights=str(file), out_channels=2
    )
    for key, tensor in encoder.state_dict().items():
        assert torch.equal(started.encoder.state_dict()[key], tensor)
    assert torch.equal(started.decoder.up2.weight, encoder.conv2.weight)
    assert torch.equal(started.decoder.up2.bias, encoder.visible2)
    deep, shortcut = started.decoder.up1.weight.split(3)
    for half in (deep[:, :1], deep[:, 1:], shortcut[:, :1]):
        assert torch.equal(half, encoder.conv1.weight / 2)
    assert torch.equal(started.decoder.up1.bias.sigmoid(), torch.full((2,), 0.05))
    assert isinstance(taken, ConvolutionalEncoderNetwork)
    with pytest.raises(ValueError, match="conv1.weight .* must be"):
        network(weights=str(file), filters=4)


def test_voxels_at_the_start_then_of_the_first_probability_whatever_the_image() -> None:
    made = ConvolutionalEncoderNetwork(filters=3, kernel_size=(3, 3, 1), first_probability=0.2)
    with torch.no_grad():
        probabilities = made(torch.rand(1, 1, 12, 14, 4)).sigmoid()
    torch.testing.assert_close(probabilities, torch.full((1, 1, 12, 14, 4), 0.2))


def test_images_then_divided_by_the_deviation_before_the_first_layer() -> None:
    layer = rbm_layers(network())[0]
    assert isinstance(layer, ConvolutionalRBM)
    assert torch.equal(layer.before(torch.tensor([DEVIATION])), torch.ones(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": (3, 3)}, "kernel_size must be three numbers"),
        ({"filters": 0}, "filters at least 1; got"),
        ({"out_channels": 0}, "out_channels must be at least 1"),
        ({"first_probability": 1.0}, "first_probability must be between 0 and 1"),
        ({"in_channels": 2}, "in_channels must be 1"),
        ({"weights": "imagenet"}, "are published for 'cen_s'"),
    ],
)
def test_option_when_out_of_range_then_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(**options)
    with pytest.raises(ValueError, match="network must be a CEN-s; got a Conv2d"):
        rbm_layers(nn.Conv2d(1, 1, 1))  # type: ignore[arg-type]
