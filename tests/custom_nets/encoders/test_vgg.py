from __future__ import annotations

import torch
from torch import nn

from custom_nets.encoders import ENCODERS
from custom_nets.encoders.vgg import VGG11NormEncoder, VGG16Encoder, VGGEncoder
from tests.custom_nets.encoders.encoder_contract import EncoderContract


class TestVGG16(EncoderContract):
    encoder_type = VGG16Encoder
    layers = 13


class TestVGG11Norm(EncoderContract):
    encoder_type = VGG11NormEncoder
    layers = 8

    def test_a_norm_counts_with_the_convolution_before_it(self) -> None:
        parts = VGG11NormEncoder(1).parts
        assert parts["block1"] == {"conv1": ["features.0", "features.1"]}
        assert parts["block3"]["conv4"] == ["features.11", "features.12"]


def test_name_then_counts_the_layers_with_the_three_of_the_classifier() -> None:
    members = [encoder for encoder in ENCODERS.values() if issubclass(encoder, VGGEncoder)]
    assert len(members) == 8
    with torch.device("meta"):
        for encoder in members:
            built = encoder(3)
            layers = len(built.layer_names) + 3
            norms = sum(isinstance(module, nn.BatchNorm2d) for module in built.modules())
            assert f"vgg{layers}" + "_bn" * encoder.norms == encoder.name
            assert norms == (layers - 3 if encoder.norms else 0)
