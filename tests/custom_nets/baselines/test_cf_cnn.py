import pytest
import torch

from custom_nets.baselines.cf_cnn import CFCNN
from tests.custom_nets.baselines.baseline_contract import BaselineContract
from tests.custom_nets.baselines.patch_shapes import NOT_PATCHES, WRONG_NUMBERS


class TestCFCNN(BaselineContract):
    input_shape = (4, 3, 65, 65)
    output_shape = (4, 1, 1, 1)
    wrong_shapes = NOT_PATCHES

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

    def test_papers_size_then_has_the_parameters_counted_by_hand(self):
        convolutions = 9 * (3 * 36 + 36 * 36 + 36 * 48 + 48 * 48 + 48 * 68 + 68 * 68)
        norms_and_slopes = 2 * (36 + 48 + 68) * 2 + 6
        branch = convolutions + norms_and_slopes + (68 * 11 * 11 + 1) * 300 + 1
        joined = (600 + 1) * 300 + 1 + (300 + 1)
        expected = 2 * branch - 9 * 36 + joined
        assert sum(p.numel() for p in CFCNN().parameters()) == expected

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


@pytest.mark.parametrize("change", [*WRONG_NUMBERS, {"widths": (8, 8)}], ids=str)
def test_numbers_when_they_make_no_network_then_refused(change):
    with pytest.raises(ValueError, match="widths must be three .*at least 1; got"):
        CFCNN(**change)
