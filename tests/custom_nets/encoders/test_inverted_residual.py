import pytest
import torch
from torch import nn

from custom_nets.encoders.inverted_residual import (
    InvertedUnit,
    SqueezeExcitation,
    Style,
    UnitShape,
    multiple_of_8,
)

STYLE = Style(excitation=nn.ReLU, gate=nn.Sigmoid)


def unit(**changes):
    usual = {"before": 4, "expanded": 8, "after": 4, "kernel": 3, "stride": 1, "squeezed": 2}
    shape = UnitShape(**{**usual, "activation": nn.ReLU, "drop_rate": 0.9, **changes})
    return InvertedUnit(shape, STYLE)


def test_unit_of_equal_shapes_then_adds_its_input():
    same, other = unit().eval(), unit(after=6).eval()
    x = torch.rand(2, 4, 6, 6)
    with torch.no_grad():
        assert torch.equal(same(x), same.block(x) + x)
        assert torch.equal(other(x), other.block(x))
        assert unit(stride=2).eval()(x).shape == (2, 4, 3, 3)


def test_unit_without_expansion_or_gate_then_has_two_convolutions():
    plain = unit(expanded=4, squeezed=0)
    convolutions = [m for m in plain.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.groups, c.kernel_size) for c in convolutions] == [(4, (3, 3)), (1, (1, 1))]


def test_unit_in_which_nothing_trains_then_leaves_nothing_out():
    torch.manual_seed(0)
    frozen, x = unit(), torch.rand(8, 4, 6, 6)
    frozen.requires_grad_(False).train()
    for norm in frozen.modules():
        norm.frozen = True
    with torch.no_grad():
        assert torch.equal(frozen(x), frozen.block(x) + x)
        frozen.block[-1][0].weight.requires_grad_(True)
        branch = frozen.train()(x) - x
    assert 0 < (branch == 0).flatten(1).all(dim=1).sum() < 9


def test_gate_then_one_factor_for_each_map_of_an_image():
    torch.manual_seed(0)
    x = torch.rand(2, 4, 5, 5) + 0.5
    with torch.no_grad():
        factors = (SqueezeExcitation(4, 2, STYLE)(x) / x).flatten(2)
    torch.testing.assert_close(factors, factors[..., :1].expand_as(factors))
    assert 0 < factors.min() < factors.max() < 1


@pytest.mark.parametrize(
    ("width", "rounded"), [(17.6, 16), (17.8, 24), (26.4, 24), (44, 48), (1, 8), (123.2, 120)]
)
def test_width_then_a_multiple_of_8_not_much_below(width, rounded):
    assert multiple_of_8(width) == rounded
    assert rounded >= 0.9 * width
