import pytest
import torch

from custom_nets.baselines.residual_unet import ResidualUNet
from tests.custom_nets.baselines.baseline_contract import BaselineContract


class TestResidualUNet(BaselineContract):
    input_shape = (2, 3, 32, 48)
    output_shape = (2, 1, 32, 48)
    wrong_shapes = [(2, 1, 32, 32), (2, 3, 32, 44), (2, 3, 41, 32), (2, 3, 32, 32, 32)]

    def build(self, out_channels=1):
        return ResidualUNet(3, out_channels, widths=(4, 6, 8, 8))

    def test_units_then_add_what_came_to_what_they_compute(self, network):
        # with the second norm of a unit silenced, only the shortcut is left
        unit = network.eval().down[1]
        for parameter in (unit.bn2.weight, unit.bn2.bias):
            torch.nn.init.zeros_(parameter)
        x = torch.rand(1, 4, 8, 8)
        assert torch.equal(unit(x), torch.relu(unit.downsample(x)))

    def test_each_lower_level_then_starts_from_the_maximum_of_each_2x2_window(self, network):
        inputs, outputs = [], []

        def keep(unit, given, made):
            inputs.append(given[0])
            outputs.append(made)

        for unit in network.down:
            unit.register_forward_hook(keep)
        network.eval()(torch.rand(1, 3, 16, 24))
        for above, below in zip(outputs, inputs[1:], strict=False):
            windows = above.unfold(2, 2, 2).unfold(3, 2, 2)
            torch.testing.assert_close(below, windows.amax(dim=(-1, -2)))

    def test_papers_size_then_five_levels(self):
        network = ResidualUNet()
        assert network.stride == 16
        assert [unit.conv2.out_channels for unit in network.down] == [64, 128, 256, 512, 1024]
        assert [unit.conv2.out_channels for unit in network.joined] == [512, 256, 128, 64]


@pytest.mark.parametrize("change", [{"widths": (4,)}, {"widths": (4, 0)}, {"in_channels": 0}])
def test_numbers_when_they_make_no_network_then_refused(change):
    with pytest.raises(ValueError, match="widths must be two or more numbers of maps"):
        ResidualUNet(**change)
