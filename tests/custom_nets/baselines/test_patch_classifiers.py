import pytest
import torch

from custom_nets.baselines.cdp_resnet import CDPResNet
from custom_nets.baselines.cf_cnn import CFCNN
from custom_nets.baselines.patches import far_patch, near_patch
from tests.custom_nets.baselines.baseline_contract import BaselineContract

SLICES = [(1, 3, 64, 64), (1, 1, 65, 65), (1, 3, 65, 65, 65), (3, 65, 65)]


class TestCFCNN(BaselineContract):
    input_shape = (4, 3, 65, 65)
    output_shape = (4, 1, 1, 1)
    wrong_shapes = SLICES

    def build(self, out_channels=1):
        return CFCNN(out_channels, widths=(4, 6, 8), features=16)

    def test_papers_size_then_two_branches_of_one_shape(self):
        network = CFCNN()
        size = {k: sum(p.numel() for p in m.parameters()) for k, m in network.named_children()}
        first = 36 * 9  # a kernel of the first convolution, for each plane more
        assert size["volume"] - size["scales"] == first
        assert [m.pooled_size for m in network.modules() if hasattr(m, "pooled_size")] == [
            *(17, 11),
            *(17, 11),
        ]

    def test_far_surroundings_then_seen_in_the_middle_plane_only(self, network, batch):
        network.eval()
        middle, outer = batch.clone(), batch.clone()
        middle[:, 1, :5] += 1
        outer[:, [0, 2], :5] += 1
        with torch.no_grad():
            assert not torch.equal(network(middle), network(batch))
            assert torch.equal(network(outer), network(batch))

    def test_neighbouring_planes_then_seen_near_the_voxel(self, network, batch):
        changed = batch.clone()
        changed[:, 0, 30:35, 30:35] += 1
        with torch.no_grad():
            assert not torch.equal(network.eval()(changed), network(batch))


class TestCDPResNet(BaselineContract):
    input_shape = (4, 3, 65, 65)
    output_shape = (4, 1, 1, 1)
    wrong_shapes = SLICES

    def build(self, out_channels=1):
        return CDPResNet(out_channels, widths=(4, 6, 8), features=16)

    def test_far_surroundings_then_seen_in_every_plane(self, network, batch):
        for plane in range(3):
            changed = batch.clone()
            changed[:, plane, :5] += 1
            with torch.no_grad():
                assert not torch.equal(network.eval()(changed), network(batch))

    def test_second_network_then_knows_what_the_first_said(self, network, batch):
        before = network.eval()(batch)
        with torch.no_grad():
            network.first.score.bias += 1
            network.second.score.weight[:, -1] = 0.5
            raised = network(batch)
            network.first.score.bias -= 1
            torch.testing.assert_close(raised - network(batch), torch.full_like(before, 0.5))


def test_patches_then_both_have_the_voxel_in_the_middle():
    image = torch.zeros(1, 3, 65, 65)
    image[0, :, 32, 32] = 1
    assert near_patch(image)[0, 0].argmax() == far_patch(image)[0, 0].argmax() == 17 * 35 + 17
    assert near_patch(image).shape == far_patch(image).shape == (1, 3, 35, 35)


@pytest.mark.parametrize("network", [CFCNN, CDPResNet])
@pytest.mark.parametrize("change", [{"widths": ()}, {"features": 0}, {"out_channels": 0}])
def test_numbers_when_they_make_no_network_then_refused(network, change):
    with pytest.raises(ValueError, match="widths.*out_channels .*at least 1; got"):
        network(**change)
