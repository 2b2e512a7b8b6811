from __future__ import annotations

from custom_nets.encoders.vgg import VGG16Encoder
from tests.custom_nets.encoders.encoder_contract import EncoderContract


class TestVGG16(EncoderContract):
    encoder_type = VGG16Encoder
    layers = 13
