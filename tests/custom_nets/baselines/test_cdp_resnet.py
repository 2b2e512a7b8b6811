import pytest
import torch

from custom_nets.baselines.cdp_resnet import CDPResNet, ResidualPathway
from tests.custom_nets.baselines.baseline_contract import BaselineContract
from tests.custom_nets.baselines.patch_shapes import NOT_PATCHES, WRONG_NUMBERS


class TestCDPResNet(BaselineContract):
    input_shape = (4, 3, 65, 65)
    output_shape = (4, 1, 1, 1)
    wrong_shapes = NOT_PATCHES

    def build(self, out_channels=1):
        return CDPResNet(out_channels, widths=(4, 6, 8), features=16)

    def test_far_surroundings_then_seen_in_every_plane(self, network, batch):
        for plane in range(3):
            changed = batch.clone()
            changed[:, plane, :5] += 1
            with torch.no_grad():
                assert not torch.equal(network.eval()(changed), network(batch))

    def test_second_network_then_adds_the_firsts_logit_by_its_weight(self, network, batch):
        before = network.eval()(batch)
        with torch.no_grad():
            network.first.score.bias += 1
            network.second.score.weight[:, -1] = 0.5
            raised = network(batch)
            network.first.score.bias -= 1
            torch.testing.assert_close(raised - network(batch), torch.full_like(before, 0.5))


def test_pathway_then_halves_the_patch_at_each_unit_but_the_first():
    pathway = ResidualPathway((4, 6, 8), 16).eval()
    shapes = []
    for unit in list(pathway.units)[-3:]:
        unit.register_forward_hook(lambda _module, _args, out: shapes.append(tuple(out.shape)))
    with torch.no_grad():
        assert pathway(torch.rand(2, 3, 35, 35)).shape == (2, 16)
    assert shapes == [(2, 4, 35, 35), (2, 6, 18, 18), (2, 8, 9, 9)]


@pytest.mark.parametrize("change", WRONG_NUMBERS, ids=str)
def test_numbers_when_they_make_no_network_then_refused(change):
    with pytest.raises(ValueError, match="widths.*out_channels .*at least 1; got"):
        CDPResNet(**change)
