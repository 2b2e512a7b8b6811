from __future__ import annotations

import torch

from custom_nets.encoders.inception import InceptionV3Encoder
from tests.custom_nets.encoders.encoder_contract import EncoderContract


class TestInceptionV3(EncoderContract):
    encoder_type = InceptionV3Encoder
    layers = 94
    parity = {"same_padding": False}

    def test_the_published_padding_trims_borders(self) -> None:
        encoder = InceptionV3Encoder(3, same_padding=False).eval()
        with torch.no_grad():
            sides = [feature.shape[-1] for feature in encoder(torch.rand(1, 3, 256, 256))]
        assert sides == [125, 60, 29, 14, 6]

    def test_inputs_are_expected_as_google_trained_it(self) -> None:
        assert InceptionV3Encoder.normalisation == "half"
