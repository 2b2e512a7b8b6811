"""Order of weights in memory: the same results as in PyTorch's plain order, and right updates."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from custom_nets.fcn import TransferFCN
from custom_nets.folding import FoldedCopy
from custom_nets.freezing import Freezable
from custom_nets.memory_layout import match_state_layout, to_fast_layout
from custom_nets.unet import TransferUNet

LAST = torch.channels_last
SLIM = (32, 16, 16, 8, 8)


def unet(encoder: str) -> TransferUNet:
    torch.manual_seed(0)
    return TransferUNet(encoder, in_channels=1, decoder_channels=SLIM)


def in_plain_order(network: nn.Module) -> set[str]:
    """Names of the kernels, larger than one voxel, that are not in channels last."""
    return {
        name
        for name, weight in network.named_parameters()
        if weight.ndim == 4 and not weight.is_contiguous(memory_format=LAST)
    }


def gradients(network: Freezable, image: Tensor) -> dict[str, Tensor]:
    network.eval()  # dropout draws in the order of the memory
    network.zero_grad()
    network(image).square().mean().backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def test_large_kernels_on_a_cpu_then_in_plain_order_and_the_others_channels_last():
    network = to_fast_layout(unet("resnet34"), "cpu")
    large = {f"encoder.layer4.{k}.conv{j}.weight" for k in range(3) for j in (1, 2)}
    assert in_plain_order(network) == large  # the smallest has 512 x 256 x 3 x 3 weights


def test_other_device_then_all_kernels_in_channels_last():
    assert not in_plain_order(to_fast_layout(unet("resnet18"), "meta"))


@pytest.mark.parametrize("make", [unet, TransferFCN], ids=["unet", "fcn"])
def test_logits_and_gradients_then_those_of_the_plain_order(make):
    plain = make("resnet18") if make is unet else make("resnet18", in_channels=1)
    fast = to_fast_layout(deepcopy(plain), "cpu")
    image = torch.rand(2, 1, 64, 96)
    expected, found = gradients(plain, image), gradients(fast, image)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-9)
    torch.testing.assert_close(fast.eval()(image), plain.eval()(image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("encoder", ["resnet34", "vgg11", "densenet121", "convnext_tiny"])
def test_fused_step_then_that_of_an_optimiser_that_goes_by_index(encoder):
    network = to_fast_layout(unet(encoder), "cpu")
    for _ in range(2):
        gradients(network, torch.rand(2, 1, 64, 64))  # stolen, then added to, or taken anew
    twin = deepcopy(network)
    for one, other in zip(network.parameters(), twin.parameters(), strict=True):
        other.grad = None if one.grad is None else one.grad.clone()
    torch.optim.Adam(network.parameters(), lr=1e-2, fused=True).step()
    torch.optim.Adam(twin.parameters(), lr=1e-2, foreach=False).step()
    for (name, one), other in zip(network.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5, msg=name)


def test_folded_copy_and_weights_read_back_then_the_same_logits():
    network = to_fast_layout(unet("resnet18"), "cpu").eval()
    image = torch.rand(1, 1, 64, 64)
    copy = to_fast_layout(unet("resnet18"), "cpu").eval()
    copy.load_state_dict(network.state_dict())
    with torch.no_grad():
        expected = network(image)
        torch.testing.assert_close(copy(image), expected, rtol=0, atol=0)
        found = FoldedCopy().of(network)(image)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD])
def test_state_of_a_run_in_another_order_then_brought_into_that_of_the_weights(kind):
    options = {"lr": 1e-2, **({"momentum": 0.9} if kind is torch.optim.SGD else {})}
    start = torch.rand(32, 16, 3, 3)
    steps = torch.rand(2, 32, 16, 3, 3)

    def weight(layout: torch.memory_format) -> nn.Parameter:
        return nn.Parameter(start.clone(memory_format=layout))

    def step(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, gradient: Tensor) -> None:
        parameter.grad = torch.empty_like(parameter).copy_(gradient)
        optimizer.step()

    through = weight(torch.contiguous_format)
    unfused = kind([through], foreach=False, **options)
    earlier = weight(torch.contiguous_format)
    before = kind([earlier], fused=True, **options)
    step(unfused, through, steps[0])
    step(before, earlier, steps[0])

    resumed = nn.Parameter(earlier.detach().clone(memory_format=LAST))
    after = kind([resumed], fused=True, **options)
    after.load_state_dict(before.state_dict())
    match_state_layout(after)
    step(after, resumed, steps[1])
    step(unfused, through, steps[1])
    torch.testing.assert_close(resumed.detach(), through.detach(), rtol=0, atol=1e-6)
