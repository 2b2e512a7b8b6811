import pytest
import torch
import torch.nn.functional as F

from custom_nets.survey.voxresnet import STRIDES, VoxResNet
from tests.custom_nets.baselines.baseline_contract import BaselineContract
from tests.custom_nets.training import moved_shares, snapshot, train

WIDTHS = (4, 6)


class TestVoxResNet(BaselineContract):
    input_shape = (2, 2, 9, 17, 16)
    output_shape = (2, 1, 9, 17, 16)
    wrong_shapes = [(1, 3, 16, 16, 16), (1, 2, 16, 16)]

    def build(self, out_channels=1):
        return VoxResNet(2, out_channels, widths=WIDTHS)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = VoxResNet(2, 3, widths=WIDTHS)
    for name, tensor in network.named_buffers():  # statistics that are not 0 and 1
        if "running" in name:
            tensor.uniform_(0.5, 1.5).sub_(1.0 if "mean" in name else 0.0)
    return network.eval()


def by_hand(weights, x, *, strides=STRIDES, first_pad=(1, 1, 1)):
    """The scores of each side output, from the weights and torch's functions alone."""

    def convolved(x, name, stride=1, padding=1):
        return F.conv3d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding)

    def normed(x, name):
        values = [weights[f"{name}.{key}"] for key in ("running_mean", "running_var")]
        mean, variance = (value.view(1, -1, 1, 1, 1) for value in values)
        scale, shift = (weights[f"{name}.{key}"].view(1, -1, 1, 1, 1) for key in ("weight", "bias"))
        return torch.relu((x - mean) / torch.sqrt(variance + 1e-5) * scale + shift)

    x = convolved(x, "conv1a")
    x = convolved(normed(x, "norm1"), "conv1b", padding=first_pad)
    maps = [x]
    for level in range(3):
        at = f"levels.{level}"
        x = convolved(normed(x, f"{at}.norm"), f"{at}.conv", stride=2)
        for module in ("first", "second"):
            inner = convolved(normed(x, f"{at}.{module}.norm1"), f"{at}.{module}.conv1")
            x = x + convolved(normed(inner, f"{at}.{module}.norm2"), f"{at}.{module}.conv2")
        maps.append(x)
    scores = []
    for number, (features, stride) in enumerate(zip(maps, strides, strict=True)):
        up = [weights[f"sides.{number}.up.{key}"] for key in ("weight", "bias")]
        padding = 1 if stride == 1 else 0
        enlarged = F.conv_transpose3d(features, *up, stride=stride, padding=padding)
        scores.append(convolved(enlarged, f"sides.{number}.score", padding=0))
    return scores


def test_forward_then_as_computed_by_hand(network):
    x = torch.rand(1, 2, 16, 8, 16)
    scores = by_hand(network.state_dict(), x)
    with torch.no_grad():
        torch.testing.assert_close(network(x), sum(scores), rtol=1e-5, atol=1e-5)
        for own, expected in zip(network.side_scores(x), scores, strict=True):
            torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-5)


def test_training_mode_then_the_scores_of_each_side_one_after_another(network):
    x = torch.rand(1, 2, 8, 16, 8)
    for module in network.modules():  # statistics as in evaluation mode
        module.momentum, module.frozen = 0.0, True
    sides = network.train()(x)
    assert tuple(sides.shape) == (1, 12, 8, 16, 8)
    torch.testing.assert_close(sides.view(1, 4, 3, 8, 16, 8).sum(dim=1), network.eval()(x))


def test_parameters_then_as_many_as_worked_out():
    def convolution(before, after, kernel=27):
        return before * after * kernel + after

    full, reduced, modalities, classes = 32, 64, 2, 4
    body = convolution(modalities, full) + 2 * full + convolution(full, full)
    for before in (full, reduced, reduced):
        body += 2 * before + convolution(before, reduced)
        body += 2 * 2 * (2 * reduced + convolution(reduced, reduced))
    sides = 0
    for width, kernel in ((full, 27), (reduced, 8), (reduced, 64), (reduced, 512)):
        sides += convolution(width, 4, kernel) + convolution(4, classes, 1)
    network = VoxResNet(modalities, classes)
    assert sum(p.numel() for p in network.parameters()) == body + sides
    kinds = (torch.nn.Conv3d, torch.nn.ConvTranspose3d)
    assert sum(isinstance(m, kinds) for m in network.modules()) == 25


def test_maps_of_the_sides_then_1_2_4_and_8_times_smaller(network):
    seen = []
    for side in network.sides:
        side.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2:]))
    network(torch.rand(1, 2, 16, 32, 24))
    assert [tuple(shape) for shape in seen] == [(16, 32, 24), (8, 16, 12), (4, 8, 6), (2, 4, 3)]


@pytest.mark.parametrize("side", range(4))
def test_loss_of_one_side_alone_then_reaches_the_first_convolution(network, side):
    network.side_scores(torch.rand(1, 2, 8, 8, 8))[side].sum().backward()
    assert network.conv1a.weight.grad.abs().max() > 0
    others = [number for number in range(4) if number != side]
    assert all(network.sides[number].score.weight.grad is None for number in others)


def test_thick_slices_then_the_second_kernel_stays_within_a_slice():
    torch.manual_seed(0)
    network = VoxResNet(1, widths=WIDTHS, thick_slices=True).eval()
    assert tuple(network.conv1b.weight.shape) == (4, 4, 3, 3, 1)
    x = torch.rand(1, 1, 8, 8, 8)
    scores = by_hand(network.state_dict(), x, first_pad=(1, 1, 0))
    torch.testing.assert_close(network(x), sum(scores), rtol=1e-5, atol=1e-5)


def test_blocks_then_frozen_ones_keep_weights_and_statistics(network):
    assert network.block_names == ("block1", "block2", "block3", "block4", "decoder")
    assert network.layer_names == tuple(f"conv{number}" for number in range(1, 18))
    network.set_trainable(["block4", "decoder"])
    before = snapshot(network)
    train(network, torch.rand(2, 2, 2, 16, 16, 16))
    moved = moved_shares(network, before)
    assert [moved[f"block{number}"] for number in (1, 2, 3)] == [0, 0, 0]
    assert moved["block4"] == moved["decoder"] == 1


@pytest.mark.parametrize(
    "wrong", [{"widths": (4,)}, {"widths": (4, 0)}, {"out_channels": 0}], ids=str
)
def test_numbers_when_they_make_no_sense_then_refused(wrong):
    with pytest.raises(ValueError, match="widths must be two numbers of maps"):
        VoxResNet(**{"in_channels": 1, **wrong})
