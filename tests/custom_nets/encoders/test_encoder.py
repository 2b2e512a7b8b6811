import math

import pytest
import torch
from torch import nn

from custom_nets.encoders import make_encoder
from custom_nets.encoders.encoder import BLOCK_NAMES, Encoder, initialise, number_layers
from custom_nets.freezing import FreezableBatchNorm2d
from tests.custom_nets.encoders import KINDS
from tests.custom_nets.tiny import TinyEncoder


@pytest.fixture
def chain():
    """Convolution, norm, convolution, norm, norm."""
    convolutions = [nn.Conv2d(1, 1, 1) for _ in range(2)]
    norms = [FreezableBatchNorm2d(1) for _ in range(3)]
    return nn.Sequential(convolutions[0], norms[0], convolutions[1], norms[1], norms[2])


def test_layers_when_norms_follow_then_each_norm_joins_the_convolution_before_it(chain):
    assert number_layers(chain, [chain[:2], chain[2:]], norm_first=False) == [
        {"conv1": ["0", "1"]},
        {"conv2": ["2", "3", "4"]},
    ]


def test_layers_when_norms_come_first_then_each_joins_the_convolution_after_it(chain):
    assert number_layers(chain, [chain], norm_first=True) == [
        {"conv1": ["0"], "conv2": ["2", "1", "3", "4"]},
    ]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("known", [0, 2, 4])
def test_continued_from_known_maps_then_equals_the_whole_forward(name, known):
    torch.manual_seed(0)
    encoder = make_encoder(name, in_channels=1).eval()
    image = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        whole = encoder(image)
        first = encoder.continue_from([image], until=known) if known else []
        assert len(first) == known
        found = encoder.continue_from([image, *first])
    assert len(found) == len(whole) == 5
    assert all(torch.equal(one, other) for one, other in zip(found, whole, strict=True))


def test_continued_when_given_other_maps_then_takes_them_instead_of_computing():
    encoder = TinyEncoder(1).eval()
    image, known = torch.rand(1, 1, 64, 64), torch.rand(1, 4, 32, 32)
    with torch.no_grad():
        found = encoder.continue_from([image, known], until=2)
        assert found[0] is known
        assert torch.equal(found[1], encoder.blocks[1](known))


def test_blocks_then_have_the_five_names():
    assert TinyEncoder().block_names == BLOCK_NAMES == tuple(f"block{i}" for i in range(1, 6))


def test_first_kernel_then_has_the_input_channels_on_its_second_axis():
    for name in KINDS:
        for in_channels in (1, 3):
            encoder = make_encoder(name, in_channels=in_channels)
            assert encoder.state_dict()[encoder.first_kernel].shape[1] == in_channels


def test_encoder_without_a_forward_then_says_so():
    with pytest.raises(NotImplementedError):
        Encoder()(torch.zeros(1, 3, 32, 32))


def test_initialise_then_draws_he_normal_kernels_and_zero_biases():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(64, 200, 3), nn.ConvTranspose2d(200, 64, 3), nn.Linear(50, 2))
    before = layers[2].weight.clone()
    initialise(layers)
    for layer, fan_in in ((layers[0], 64 * 9), (layers[1], 64 * 9)):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.02)
        assert layer.weight.mean().item() == pytest.approx(0, abs=1e-3)
        assert not layer.bias.any()
    assert torch.equal(layers[2].weight, before)
