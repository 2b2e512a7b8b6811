from __future__ import annotations

import pytest
import torch

from custom_nets.encoders import ENCODERS
from custom_nets.encoders.efficientnet import EfficientNetB0Encoder
from custom_nets.encoders.inverted_residual import InvertedUnit
from tests.custom_nets.encoders.encoder_contract import EncoderContract


class TestEfficientNetB0(EncoderContract):
    encoder_type = EfficientNetB0Encoder
    layers = 81

    def test_squeeze_and_excitation_are_layers_after_their_depthwise_convolution(self) -> None:
        parts = EfficientNetB0Encoder(1).parts
        assert list(parts["block1"].values()) == [
            ["features.0.0", "features.0.1"],
            ["features.1.0.block.0.0", "features.1.0.block.0.1"],
            ["features.1.0.block.1.fc1"],
            ["features.1.0.block.1.fc2"],
            ["features.1.0.block.2.0", "features.1.0.block.2.1"],
        ]


@pytest.mark.parametrize(
    ("name", "units", "channels"),
    [  # depths and widths by table 1 of the paper, times the factors, rounded
        ("efficientnet_b0", 16, (16, 24, 40, 112, 1280)),
        ("efficientnet_b1", 23, (16, 24, 40, 112, 1280)),
        ("efficientnet_b2", 23, (16, 24, 48, 120, 1408)),
        ("efficientnet_b3", 26, (24, 32, 48, 136, 1536)),
    ],
)
def test_variant_then_scaled_in_width_and_depth(name, units, channels):
    with torch.device("meta"):
        found = [m for m in ENCODERS[name](3).modules() if isinstance(m, InvertedUnit)]
    assert (len(found), ENCODERS[name].block_channels) == (units, channels)
    rates = [unit.stochastic_depth.rate for unit in found]
    assert rates == pytest.approx([0.2 * index / units for index in range(units)])
