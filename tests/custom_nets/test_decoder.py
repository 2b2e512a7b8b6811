import pytest
import torch
import torch.nn.functional as F
from torch import nn

from custom_nets.decoder import Decoder, UpStep, make_norm
from custom_nets.freezing import FreezableBatchNorm2d


def test_up_step_then_is_the_formula_of_the_u_net():
    torch.manual_seed(0)
    step = UpStep(3, 2, skip_channels=4, norm="none").eval()
    x, skip = torch.randn(2, 3, 5, 6), torch.randn(2, 4, 10, 12)
    # a 2x2 kernel of stride 2 writes each pixel into its own 2x2 window
    up = torch.einsum("bihw,iokl->bohkwl", x, step.up.weight).reshape(2, 2, 10, 12)
    up = up + step.up.bias[:, None, None]
    first, second = (m for m in step.convolutions if isinstance(m, nn.Conv2d))
    once = F.conv2d(torch.cat([up, skip], 1), first.weight, first.bias, padding=1).relu()
    expected = F.conv2d(once, second.weight, second.bias, padding=1).relu()
    torch.testing.assert_close(step(x, skip), expected)


@pytest.mark.parametrize(("norm", "bias"), [("batch", False), ("group", False), ("none", True)])
def test_convolutions_when_a_norm_follows_then_have_no_bias(norm, bias):
    step = UpStep(4, 4, skip_channels=0, norm=norm)
    convolutions = [m for m in step.convolutions if isinstance(m, nn.Conv2d)]
    assert [m.bias is not None for m in convolutions] == [bias, bias]


def test_decoder_then_each_step_takes_the_skip_of_its_size():
    decoder = Decoder(8, [6, 5, 0], 2, widths=[4, 3, 2]).eval()
    skips = [torch.rand(1, 5, 16, 24), torch.rand(1, 6, 8, 12)]  # fine to coarse
    given = []
    for step in decoder.steps:
        step.register_forward_pre_hook(lambda _module, args: given.append(args[1]))
    with torch.no_grad():
        logits = decoder(torch.rand(1, 8, 4, 6), skips)
    assert given[0] is skips[1]
    assert given[1] is skips[0]
    assert given[2] is None
    assert logits.shape == (1, 2, 32, 48)


def test_decoder_that_ends_at_half_resolution_then_starts_as_bilinear_interpolation_of_its_logits():
    torch.manual_seed(0)
    decoder = Decoder(8, [6, 5, 3], 2, widths=[4, 3], stride=2).eval()
    assert [step.up.out_channels for step in decoder.steps] == [4, 3]
    skips = [torch.rand(1, 3, 32, 48), torch.rand(1, 5, 16, 24), torch.rand(1, 6, 8, 12)]
    halves = []
    decoder.head.register_forward_hook(lambda _module, _args, logits: halves.append(logits))
    with torch.no_grad():
        logits = decoder(torch.rand(1, 8, 4, 6), skips)
    assert halves[0].shape == (1, 2, 16, 24)
    expected = F.interpolate(halves[0], scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(logits, expected)
    assert decoder.doubling.weight.requires_grad


def test_widths_when_not_given_then_halve_at_each_step():
    steps = Decoder(64, [1, 1, 0], 1).steps
    assert [step.up.out_channels for step in steps] == [32, 16, 8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": 4}, r"decoder_channels must be 2 positive widths, .* got \[4\]"),
        ({"widths": [4]}, r"decoder_channels must be 2 positive widths, .* got \[4\]"),
        ({"widths": [4, 0]}, r"decoder_channels must be 2 positive widths, .* got \[4, 0\]"),
        ({"out_channels": 0}, "out_channels must be at least 1; got 0"),
        ({"stride": 4}, "decoder_stride must be 1 or 2; got 4"),
        ({"norm": "layer"}, "norm must be one of batch, instance, group, none; got 'layer'"),
        ({"skip_norm": "layer"}, "norm must be one of batch, instance, group, none; got 'layer'"),
    ],
    ids=[
        "no list",
        "too few widths",
        "width of 0",
        "no output",
        "stride of 4",
        "unknown norm",
        "of skips",
    ],
)
def test_decoder_when_arguments_make_no_network_then_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Decoder(**{"in_channels": 8, "skip_channels": [4, 4], "out_channels": 1, **arguments})


def test_batch_norm_then_is_the_one_that_can_be_frozen():
    assert isinstance(make_norm("batch", 4), FreezableBatchNorm2d)


def test_instance_norm_then_scales_each_image_by_itself_with_weights_to_learn():
    norm = make_norm("instance", 3)
    x = torch.randn(2, 3, 8, 8) * 5 + 2
    mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
    torch.testing.assert_close(norm(x), (x - mean) / (var + 1e-5).sqrt())
    assert [tuple(p.shape) for p in norm.parameters()] == [(3,), (3,)]


@pytest.mark.parametrize(("channels", "groups"), [(16, 8), (12, 4), (6, 2), (7, 1)])
def test_group_norm_then_has_the_most_groups_up_to_8_that_divide_the_channels(channels, groups):
    assert make_norm("group", channels).num_groups == groups
