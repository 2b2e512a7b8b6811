from __future__ import annotations

import torch
import torch.nn.functional as F

from custom_nets.encoders.googlenet import GoogLeNetEncoder
from tests.custom_nets.encoders import reference
from tests.custom_nets.encoders.encoder_contract import EncoderContract


class TestGoogLeNet(EncoderContract):
    encoder_type = GoogLeNetEncoder
    layers = 57

    def test_inputs_are_expected_as_google_trained_it(self) -> None:
        assert GoogLeNetEncoder.normalisation == "half"


def test_maps_then_those_recomputed_from_the_weights():
    encoder = reference.filled(lambda: GoogLeNetEncoder(1))
    state = encoder.state_dict()

    def unit(x, at, **options):
        x = F.conv2d(x, state[f"{at}.conv.weight"], **options)
        names = ("running_mean", "running_var", "weight", "bias")
        norm = (state[f"{at}.bn.{name}"] for name in names)
        return F.batch_norm(x, *norm, eps=0.001).relu()

    def module(x, at):
        branches = [unit(x, f"{at}.branch1")]
        for branch in ("branch2", "branch3"):
            reduced = unit(x, f"{at}.{branch}.0")
            branches.append(unit(reduced, f"{at}.{branch}.1", padding=1))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1)
        return torch.cat([*branches, unit(pooled, f"{at}.branch4.1")], dim=1)

    def modules(x, names, window=3):
        x = F.max_pool2d(x, window, stride=2, ceil_mode=True)
        for name in names:
            x = module(x, f"inception{name}")
        return x

    with torch.no_grad():
        maps = encoder(reference.image(64)[:, :1])
        block1 = unit(reference.image(64)[:, :1], "conv1", stride=2, padding=3)
        x = F.max_pool2d(block1, 3, stride=2, ceil_mode=True)
        block2 = unit(unit(x, "conv2"), "conv3", padding=1)
        block3 = modules(block2, ["3a", "3b"])
        block4 = modules(block3, ["4a", "4b", "4c", "4d", "4e"])
        block5 = modules(block4, ["5a", "5b"], window=2)
    expected = [block1, block2, block3, block4, block5]
    assert all(torch.equal(one, other) for one, other in zip(maps, expected, strict=True))


def test_parameters_then_those_of_torchvision_without_its_classifiers():
    """6624904 of torchvision's table (auxiliary classifiers left out) less fc's 1025000."""
    assert sum(p.numel() for p in GoogLeNetEncoder(3).parameters()) == 6624904 - 1025000
