from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from custom_nets.encoders import ENCODERS
from custom_nets.encoders.vgg import (
    AUTHORS_BIASES,
    AUTHORS_KERNELS,
    AUTHORS_MEANS,
    VGG11NormEncoder,
    VGG16Encoder,
    VGGEncoder,
)
from custom_nets.encoders.weights import load_encoder_weights
from custom_nets.normalisation import InputNormalisation
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


@pytest.fixture
def authors() -> dict[str, Tensor]:
    """Weights that have the marks of the authors' file, in its order: red, green, blue."""
    torch.manual_seed(3)
    weights = VGG16Encoder().state_dict()
    kernel = weights["features.0.weight"]
    kernel *= (torch.tensor(AUTHORS_KERNELS) / kernel.abs().mean((0, 2, 3))).view(1, 3, 1, 1)
    weights["features.0.bias"].normal_()
    weights["features.2.bias"][:4] = torch.tensor(AUTHORS_BIASES)
    return weights


@pytest.mark.parametrize("blue_first", [False, True])
def test_authors_weights_for_grey_levels_then_converted_to_normalised_input(
    authors: dict[str, Tensor], tmp_path: Path, blue_first: bool
) -> None:
    kernel, bias = authors["features.0.weight"].clone(), authors["features.0.bias"].clone()
    if blue_first:
        authors["features.0.weight"] = kernel.flip(1)
    torch.save(authors, tmp_path / "vgg16.pth")
    encoder = VGG16Encoder()
    load_encoder_weights(encoder, str(tmp_path / "vgg16.pth"))
    image = torch.rand(1, 3, 20, 20)
    levels = 255 * image - torch.tensor(AUTHORS_MEANS).view(1, 3, 1, 1)
    expected = nn.functional.conv2d(levels, kernel, bias)
    normalised = InputNormalisation("imagenet", 3)(image)
    found = encoder.features[0](normalised)[..., 1:-1, 1:-1]
    assert torch.allclose(found, expected, atol=1e-3)
    assert torch.equal(encoder.features[2].bias[:4], torch.tensor(AUTHORS_BIASES))


def test_authors_weights_already_converted_or_trained_further_then_taken_as_they_are(
    authors: dict[str, Tensor], tmp_path: Path
) -> None:
    authors["features.0.weight"] *= 57
    torch.save(authors, tmp_path / "converted.pth")
    encoder = VGG16Encoder()
    load_encoder_weights(encoder, str(tmp_path / "converted.pth"))
    assert torch.equal(encoder.features[0].weight, authors["features.0.weight"])


def test_other_weights_on_the_scale_of_the_authors_then_taken_as_they_are(
    authors: dict[str, Tensor], tmp_path: Path
) -> None:
    authors["features.2.bias"][:4] = 0.1
    torch.save(authors, tmp_path / "other.pth")
    encoder = VGG16Encoder()
    load_encoder_weights(encoder, str(tmp_path / "other.pth"))
    assert torch.equal(encoder.features[0].weight, authors["features.0.weight"])
