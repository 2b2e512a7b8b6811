"""Every further size of a family, against figures of torchvision's network of the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from custom_nets.encoders import BLOCK_NAMES, ENCODERS, Encoder
from tests.custom_nets.encoders import KINDS, reference
from tests.custom_nets.encoders.encoder_contract import check_figures, check_layers, scripted
from tests.custom_nets.training import moved_shares, snapshot, train

VARIANTS = sorted(reference.variants())
DEEPEST = ("vgg19_bn", "densenet201", "efficientnet_b3", "mobilenet_v3_large")


def filled(name: str, in_channels: int = 3) -> Encoder:
    return reference.filled(lambda: ENCODERS[name](in_channels))


@pytest.mark.parametrize("name", VARIANTS)
def test_keys_maps_and_training_then_those_of_torchvision(name: str) -> None:
    encoder, figures = filled(name), reference.variants()[name]
    keys = {key: list(tensor.shape) for key, tensor in encoder.state_dict().items()}
    assert sum(p.numel() for p in encoder.parameters()) == figures["parameters"]
    assert len(keys) == figures["tensors"]
    assert reference.fingerprint(keys) == figures["keys"]
    with torch.no_grad():
        maps = encoder(reference.image(64))
        torch.manual_seed(3)
        trained = encoder.train()(reference.batch(64))
    for block, evaluated, training in zip(BLOCK_NAMES, maps, trained, strict=True):
        check_figures(evaluated, figures["blocks"][block])
        mean, std = figures["training"][block]
        assert training.double().mean().item() == pytest.approx(mean, rel=1e-3, abs=1e-3 * std)
        assert training.double().std().item() == pytest.approx(std, rel=1e-3)


@pytest.mark.parametrize("name", DEEPEST)
def test_deepest_of_a_family_then_frozen_blocks_stay_and_layers_are_in_order(name: str) -> None:
    encoder = filled(name, 1)
    encoder.set_trainable(["block4"])
    before = snapshot(encoder)
    train(encoder, [torch.rand(2, 1, 32, 64)])
    shares = moved_shares(encoder, before)
    assert shares == {f"block{i}": float(i == 4) for i in range(1, 6)}
    count = sum(isinstance(module, nn.Conv2d) for module in encoder.modules())
    check_layers(filled(name), count)


@scripted
@pytest.mark.parametrize("name", ["vgg19_bn", "mobilenet_v3_large"])
def test_deepest_of_a_family_when_scripted_then_the_same_maps(name: str) -> None:
    encoder, image = filled(name, 1), torch.rand(1, 1, 45, 70)
    with torch.no_grad():
        found, expected = torch.jit.script(encoder)(image), encoder(image)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_every_encoder_then_has_figures_or_a_test_of_its_own() -> None:
    files = {path.stem.removeprefix("parity_") for path in reference.FOLDER.glob("parity_*.json")}
    assert set(ENCODERS) - files - set(VARIANTS) == {"resnet38"}
    assert set(KINDS) >= {"efficientnet_b0", "mobilenet_v3_small", "convnext_tiny"}
