"""Upsampling that starts as bilinear interpolation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from custom_nets.bilinear import BilinearDoubling
from custom_nets.fcn import FusingDecoder


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (7, 3)], ids=str)
def test_untrained_then_it_is_bilinear_interpolation_up_to_the_border(
    size: tuple[int, int],
) -> None:
    x = torch.randn(2, 3, *size)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(BilinearDoubling(3)(x), expected)


def test_trained_then_its_kernel_moves_and_classes_may_mix() -> None:
    doubling = BilinearDoubling(2)
    doubling(torch.rand(1, 2, 4, 4)).square().sum().backward()
    assert doubling.weight.grad is not None
    assert doubling.weight.grad[0, 1].abs().min() > 0


def test_five_doublings_then_keep_a_pixel_at_the_centre_of_its_block() -> None:
    decoder = FusingDecoder(1, [], 1, doublings=5, dropouts=(0.0, 0.0))
    torch.nn.init.ones_(decoder.score.weight)
    deepest = torch.zeros(1, 1, 7, 9)
    deepest[0, 0, 3, 4] = 1
    with torch.no_grad():
        logits = decoder(deepest, [])[0, 0]
    mass = logits / logits.sum()
    row = (mass.sum(1) * torch.arange(7 * 32)).sum()
    column = (mass.sum(0) * torch.arange(9 * 32)).sum()
    assert (row.item(), column.item()) == pytest.approx((3.5 * 32 - 0.5, 4.5 * 32 - 0.5), abs=1e-2)


def test_a_constant_then_stays_constant_to_the_border() -> None:
    decoder = FusingDecoder(1, [], 1, doublings=5, dropouts=(0.0, 0.0))
    torch.nn.init.ones_(decoder.score.weight)
    with torch.no_grad():
        logits = decoder(torch.full((1, 1, 2, 3), 4.0), [])
    torch.testing.assert_close(logits, torch.full((1, 1, 64, 96), 4.0))
