from __future__ import annotations

import re

from custom_nets.encoders.densenet import DenseNet121Encoder
from tests.custom_nets.encoders.encoder_contract import EncoderContract


class TestDenseNet121(EncoderContract):
    encoder_type = DenseNet121Encoder
    layers = 120

    def published_key(self, key: str) -> str:
        return re.sub(r"(denselayer\d+\.[a-z]+)([12])", r"\1.\2", key)

    def test_a_norm_counts_with_the_convolution_that_it_feeds(self) -> None:
        parts = DenseNet121Encoder(1).parts
        assert parts["block1"]["conv1"] == ["features.conv0", "features.norm0"]
        assert parts["block2"]["conv2"] == [
            "features.denseblock1.denselayer1.conv1",
            "features.denseblock1.denselayer1.norm1",
        ]
        assert parts["block3"]["conv14"] == [
            "features.transition1.conv",
            "features.transition1.norm",
        ]
        assert parts["block5"]["conv120"][-1] == "features.norm5"
