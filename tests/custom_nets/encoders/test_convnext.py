from __future__ import annotations

import pytest
import torch

from custom_nets.encoders.convnext import ConvNeXtEncoder, ConvNeXtTinyEncoder, MapNorm
from custom_nets.framing import pad_to_stride
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


class Narrow(
    ConvNeXtEncoder, name="narrow", units=(1, 1, 2, 1), widths=(8, 16, 24, 32), drop_rate=0.1
):
    """One unit in most stages."""

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return super().forward(pad_to_stride(x, self.in_channels)[0])


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_exported_program_at_any_size_then_the_same_maps():
    """Its permuted maps leave torch's exporter the most to decide."""
    encoder = Narrow(1).eval()
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    with torch.no_grad():
        program = torch.export.export(encoder, (torch.rand(2, 1, 64, 70),), dynamic_shapes=(free,))
        for shape in [(1, 1, 50, 33), (3, 1, 64, 96)]:
            image = torch.rand(shape)
            found, expected = program.module()(image), encoder(image)
            assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
