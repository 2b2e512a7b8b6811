import pytest
import torch
import torch.nn.functional as F

from custom_nets.survey.context import ContextUNet
from custom_nets.unet import TransferUNet
from tests.custom_nets.baselines.baseline_contract import BaselineContract
from tests.custom_nets.training import moved_shares, snapshot, train

WIDTHS = (4, 4, 4, 4, 4)


@pytest.fixture
def network(tiny):
    torch.manual_seed(0)
    return ContextUNet(tiny, in_channels=1, context_channels=2, decoder_channels=WIDTHS)


class TestContextUNet(BaselineContract):
    input_shape = (2, 5, 37, 50)
    output_shape = (2, 1, 37, 50)
    wrong_shapes = [(1, 3, 32, 32), (1, 5, 32, 32, 32)]

    @pytest.fixture(autouse=True)
    def _named(self, tiny):
        self.encoder = tiny

    def build(self, out_channels=1):
        return ContextUNet(
            self.encoder, context_channels=2, out_channels=out_channels, decoder_channels=WIDTHS
        )


def test_new_network_then_the_pretrained_u_net_whatever_the_maps(network):
    image, maps = torch.rand(2, 1, 33, 40), torch.rand(2, 2, 33, 40)
    network.eval()
    assert torch.equal(network(torch.cat([image, maps], dim=1)), network.network(image))


def test_forward_then_as_of_a_wider_first_layer(network):
    torch.nn.init.normal_(network.context.weight)
    x = torch.rand(2, 3, 32, 32)
    network.eval()
    added = F.conv2d(x[:, 1:], network.state_dict()["context.weight"], padding=1)
    torch.testing.assert_close(network(x), network.network(x[:, :1] + added))


def test_parameters_then_those_of_the_u_net_and_a_kernel_for_each_map(tiny, network):
    unet = TransferUNet(tiny, in_channels=1, decoder_channels=WIDTHS)
    counts = [sum(p.numel() for p in one.parameters()) for one in (network, unet)]
    assert counts[0] - counts[1] == 2 * 1 * 9


def test_no_maps_then_the_u_net_alone(tiny):
    network = ContextUNet(tiny, in_channels=1, context_channels=0, decoder_channels=WIDTHS).eval()
    image = torch.rand(1, 1, 32, 32)
    assert torch.equal(network(image), network.network(image))


def test_training_of_the_decoder_then_also_the_kernels_of_the_maps_move_and_the_encoder_not(
    network,
):
    network.set_trainable(["decoder"])
    before = snapshot(network)
    train(network, torch.rand(2, 2, 3, 32, 32))
    moved = moved_shares(network, before)
    assert not torch.equal(before["context.weight"], network.state_dict()["context.weight"])
    assert moved["decoder"] == 1
    assert not any(moved[block] for block in moved if block != "decoder")


def test_fewer_than_no_maps_then_refused(tiny):
    with pytest.raises(ValueError, match="context_channels must be at least 0; got -1"):
        ContextUNet(tiny, context_channels=-1)
