from functools import partial

import pytest
import torch
from monai.networks.nets import BasicUNet, VNet
from torch import nn

from custom_nets.plain import PlainNetwork
from tests.custom_nets.baselines.baseline_contract import BaselineContract
from tests.custom_nets.training import snapshot, train


class TestPlainUNet(BaselineContract):
    """The first U-Net of table 6, as configs/networks/unet_plain.json builds it, but narrow."""

    input_shape = (2, 3, 37, 50)
    output_shape = (2, 1, 37, 50)
    wrong_shapes = [(1, 1, 32, 32), (1, 3, 32, 32, 32)]

    def build(self, out_channels=1):
        widths = (4, 4, 8, 8, 8, 4)
        network = partial(BasicUNet, 2, 3, out_channels, widths, act="relu", norm="batch")
        return PlainNetwork(network, in_channels=3, stride=16)


class TestPlainVNet(BaselineContract):
    """V-Net (Milletari et al. 2016) on 3D patches."""

    input_shape = (1, 1, 16, 30, 16)
    output_shape = (1, 1, 16, 30, 16)
    wrong_shapes = [(1, 1, 32, 32), (1, 3, 16, 16, 16)]
    made: dict[int, PlainNetwork] = {}

    def build(self, out_channels=1):
        # 45 million weights: made once for each number of outputs
        if out_channels not in self.made:
            off = {"dropout_prob_down": 0.0, "dropout_prob_up": (0.0, 0.0)}
            network = partial(VNet, out_channels=out_channels, **off)
            self.made[out_channels] = PlainNetwork(
                network, in_channels=1, spatial_dims=3, stride=16
            )
        return self.made[out_channels]


@pytest.fixture
def small():
    torch.manual_seed(0)
    return PlainNetwork(partial(halving), in_channels=1, stride=2)


def halving():
    return nn.Sequential(
        nn.Conv2d(1, 4, 2, stride=2),
        nn.BatchNorm2d(4),
        nn.ConvTranspose2d(4, 1, 2, stride=2),
    )


def test_parts_then_one_that_only_all_and_decoder_name(small):
    assert small.block_names == ("decoder",)
    (group,) = small.parameter_groups()
    assert {id(p) for p in group["params"]} == {id(p) for p in small.parameters()}
    for names in (["all"], ["decoder"]):
        small.set_trainable(names)
        before = snapshot(small)
        train(small, torch.rand(2, 2, 1, 8, 8))
        assert not any(torch.equal(v, before[k]) for k, v in small.state_dict().items())


def test_blocks_of_an_encoder_then_refused(small):
    with pytest.raises(ValueError, match=r"among all, encoder, decoder, norms; got \['block5'\]"):
        small.set_trainable(["block5"])


def test_frozen_then_norms_hold_still_too(small):
    small.set_trainable([])
    before = snapshot(small)
    small.train()(torch.rand(2, 1, 8, 8))
    assert all(torch.equal(v, before[k]) for k, v in small.state_dict().items())


def test_size_that_halves_unevenly_then_as_if_padded_by_hand(small):
    image = torch.rand(1, 1, 5, 8)
    padded = torch.cat([image, image[:, :, -1:]], dim=2)
    assert torch.equal(small.eval()(image), small(padded)[:, :, :5])


@pytest.mark.parametrize(
    "change", [{"spatial_dims": 4}, {"stride": 0}, {"in_channels": 0}], ids=lambda c: next(iter(c))
)
def test_numbers_when_they_make_no_sense_then_refused(change):
    with pytest.raises(ValueError, match="spatial_dims must be 2 or 3, stride and in_channels"):
        PlainNetwork(partial(nn.Identity), **{"in_channels": 1, **change})
