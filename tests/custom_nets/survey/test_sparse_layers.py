"""Sparse auto-encoders: what they see, what sparsity does, and that the network's weights train."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import BasicUNet
from torch import Tensor, nn

from custom_nets.fcn import TransferFCN
from custom_nets.survey.csae import ConvolutionalSparseNetwork
from custom_nets.survey.sparse_layers import (
    SparseBlock,
    SparsePatchLayer,
    sparse_layers,
    sparsity,
)
from custom_nets.unet import TransferUNet
from scripts.unsupervised.layerwise import train_layers


def images(count: int = 6, size: int = 32) -> list[Tensor]:
    """Smooth random images with bright spots, in batches of four."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(count, 4, 1, size, size, generator=generator)
    return [F.avg_pool2d(one, 5, 1, 2) + (one > 0.98) for one in noise]


def csae(weight: float = 0.005) -> list[SparsePatchLayer]:
    torch.manual_seed(0)
    network = ConvolutionalSparseNetwork(in_channels=1, widths=(16, 16, 16))
    return sparse_layers(network, weight=weight, patches=64)  # type: ignore[return-value]


def test_patches_then_the_units_are_those_of_the_convolution_at_their_place() -> None:
    layers = csae()
    x = images()[0]
    for layer in layers:
        maps = layer.before(x)
        torch.manual_seed(3)
        units = layer.units(layer.draw(maps))
        torch.manual_seed(3)
        image, row, column = (
            torch.randint(high, (64, 1, 1)).flatten()
            for high in (len(maps), maps.shape[-2], maps.shape[-1])
        )
        expected = layer.encode(x)[image, :, row, column]
        torch.testing.assert_close(units, expected, rtol=1e-4, atol=1e-5)
        assert len({*zip(image.tolist(), row.tolist(), strict=True)}) > 20
        x = layer.encode(x)


def test_layers_then_those_of_the_network_itself() -> None:
    network = ConvolutionalSparseNetwork(in_channels=1, widths=(16, 16, 16))
    layers = sparse_layers(network, patches=64)
    x = images()[0]
    with torch.no_grad():
        for layer, expected in zip(layers, network.encoder(x), strict=True):
            x = layer.encode(x)
            assert torch.equal(x, expected)
    before = network.encoder.conv1.weight.clone()
    train_layers(layers[:1], images(), epochs=1, learning_rate=1e-3, seed=0)
    assert not torch.equal(network.encoder.conv1.weight, before)


def active(layers: list[SparsePatchLayer]) -> float:
    """Return the mean number of active units of a patch, over the layers."""
    x, counts = torch.cat(images()), []
    with torch.no_grad():
        for layer in layers:
            counts.append((layer.units(layer.draw(layer.before(x))) > 0).sum(dim=1).float().mean())
            x = layer.encode(x)
    return torch.stack(counts).mean().item()


def test_sparsity_when_weighted_then_fewer_units_are_active_and_images_are_restored() -> None:
    found, losses = {}, {}
    for weight in (0.0, 0.02):
        layers = csae(weight)
        losses[weight] = train_layers(layers, images(), epochs=12, learning_rate=3e-3, seed=0)
        found[weight] = active(layers)
    assert found[0.0] >= 1.5 * found[0.02] > 0
    assert all(history[-1] < 0.7 * history[0] for history in losses[0.0])


def test_sparsity_then_of_samples_and_of_units_and_never_of_scale() -> None:
    one_sample_active = torch.tensor([[1.0, 1, 1], [0, 0, 0], [0, 0, 0]])
    one_unit_active = one_sample_active.T
    # population: root 3 for one sample, 0 for the silent ones; lifetime: 1 for each unit
    assert sparsity(one_sample_active).item() == pytest.approx(3**0.5 / 3 + 1)
    assert sparsity(one_unit_active).item() == pytest.approx(1 + 3**0.5 / 3)
    spread = torch.rand(5, 4)
    assert sparsity(7 * spread).item() == pytest.approx(sparsity(spread).item(), rel=1e-5)
    assert torch.isfinite(sparsity(torch.zeros(2, 2)))


@pytest.mark.parametrize(
    "make",
    [partial(TransferUNet, decoder_channels=(4,) * 5), TransferFCN],
    ids=["unet", "fcn"],
)
def test_blocks_of_an_encoder_then_trained_in_place_and_give_its_maps(
    tiny: str, make: Callable[..., nn.Module]
) -> None:
    torch.manual_seed(0)
    network = make(tiny, in_channels=1).eval()
    layers = sparse_layers(network, weight=0.001)
    history = train_layers(layers, images(), epochs=8, learning_rate=3e-3, seed=0)
    assert len(history) == 5
    assert history[0][-1] < 0.8 * history[0][0]
    x = images()[0]
    with torch.no_grad():
        for layer, expected in zip(layers, network.encoder(network.normalise(x)), strict=True):
            x = layer.encode(x)
            torch.testing.assert_close(x, expected)


def test_block_when_the_sparsity_is_weighted_then_its_map_is_sparser(tiny: str) -> None:
    found = []
    for weight in (0.0, 0.05):
        torch.manual_seed(0)
        layers = sparse_layers(
            TransferUNet(tiny, in_channels=1, decoder_channels=(4,) * 5), weight=weight
        )[:1]
        train_layers(layers, images(), epochs=15, learning_rate=1e-2, seed=0)
        with torch.no_grad():
            units = layers[0].encode(torch.cat(images())).movedim(1, -1).flatten(0, -2)  # type: ignore[operator]
        found.append(sparsity(units.relu()).item())
    assert found[1] < 0.9 * found[0]


@pytest.mark.parametrize("encoder", ["resnet34", "densenet121"])
def test_block_then_its_input_which_it_restores_is_not_overwritten(encoder: str) -> None:
    network = TransferUNet(encoder, in_channels=1)
    x = images(1)[0]
    for layer in sparse_layers(network)[:3]:
        kept = x.clone()
        assert isinstance(layer, SparseBlock)
        assert torch.isfinite(layer.loss(x))
        assert torch.equal(x, kept)
        with torch.no_grad():
            x = layer.encode(x)


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (BasicUNet(2, 1, 1, (4, 4, 4, 4, 4, 4)), {}, "network must have an encoder"),
        (nn.Conv2d(1, 1, 1), {"weight": -1.0}, "sparsity must be at least 0, .* got -1.0"),
        (nn.Conv2d(1, 1, 1), {"patches": 1}, "patches at least 2; got 0.005, 1"),
    ],
    ids=["network", "weight", "patches"],
)
def test_layers_when_something_is_wrong_then_refused(
    network: nn.Module, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sparse_layers(network, **options)  # type: ignore[arg-type]
