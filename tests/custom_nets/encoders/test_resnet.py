from __future__ import annotations

from custom_nets.encoders.resnet import ResNet34Encoder
from tests.custom_nets.encoders.encoder_contract import EncoderContract


class TestResNet34(EncoderContract):
    encoder_type = ResNet34Encoder
    layers = 36

    def test_a_norm_counts_with_the_convolution_before_it(self) -> None:
        parts = ResNet34Encoder(1).parts
        assert parts["block1"] == {"conv1": ["conv1", "bn1"]}
        assert parts["block3"]["conv10"] == ["layer2.0.downsample.0", "layer2.0.downsample.1"]
