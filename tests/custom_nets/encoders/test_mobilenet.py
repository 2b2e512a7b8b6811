from __future__ import annotations

from torch import nn

from custom_nets.encoders.mobilenet import MobileNetV3LargeEncoder, MobileNetV3SmallEncoder
from tests.custom_nets.encoders.encoder_contract import EncoderContract


class TestMobileNetV3Small(EncoderContract):
    encoder_type = MobileNetV3SmallEncoder
    layers = 52

    def test_the_stem_alone_is_block1(self) -> None:
        assert MobileNetV3SmallEncoder(1).parts["block1"] == {
            "conv1": ["features.0.0", "features.0.1"]
        }


def test_norms_then_those_of_the_paper_s_training():
    norms = [m for m in MobileNetV3SmallEncoder(1).modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(0.001, 0.01)}


def test_channels_then_those_before_each_halving():
    assert MobileNetV3SmallEncoder.block_channels == (16, 16, 24, 48, 576)
    assert MobileNetV3LargeEncoder.block_channels == (16, 24, 40, 112, 960)
