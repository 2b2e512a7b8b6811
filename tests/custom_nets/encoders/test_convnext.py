from __future__ import annotations

import torch

from custom_nets.encoders.convnext import ConvNeXtTinyEncoder, MapNorm
from tests.custom_nets.encoders.encoder_contract import EncoderContract
from tests.custom_nets.training import moved_shares, snapshot, train


class TestConvNeXtTiny(EncoderContract):
    encoder_type = ConvNeXtTinyEncoder
    layers = 22

    def test_a_norm_counts_with_its_stem_or_the_halving_that_it_feeds(self) -> None:
        parts = ConvNeXtTinyEncoder(1).parts
        assert parts["block1"] == {"conv1": ["features.0.0", "features.0.1"]}
        assert parts["block2"] == {f"conv{i + 2}": [f"features.1.{i}"] for i in range(3)}
        assert parts["block3"]["conv5"] == ["features.2.1", "features.2.0"]


def test_unit_then_released_as_one_layer_with_its_factors():
    encoder = ConvNeXtTinyEncoder(1)
    encoder.set_trainable(["conv22"])
    before = snapshot(encoder)
    train(encoder, [torch.rand(2, 1, 32, 32)])
    after = encoder.state_dict()
    moved = {key for key, tensor in after.items() if not torch.equal(tensor, before[key])}
    assert moved == {key for key in after if key.startswith("features.7.2.")}
    assert moved_shares(encoder, before)["block4"] == 0


def test_norm_of_a_map_then_over_its_channels_at_each_place():
    x = torch.randn(2, 8, 3, 5)
    with torch.no_grad():
        found = MapNorm(8)(x)
    torch.testing.assert_close(found.mean(dim=1), torch.zeros(2, 3, 5), atol=1e-5, rtol=0)
    spread = (x.var(dim=1, correction=0, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(found, (x - x.mean(dim=1, keepdim=True)) / spread)
