from collections import OrderedDict

import pytest
import torch
from torch import nn

from custom_nets.encoders.tapped import TappedSequential


class Plus(nn.Module):
    """Add a number."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x):
        return x + self.number


@pytest.fixture
def chain():
    members = OrderedDict((name, Plus(10.0**i)) for i, name in enumerate("abcd"))
    return TappedSequential(members, taps=["a", "c"])


def test_forward_then_returns_the_running_result_at_each_tap(chain):
    assert [out.item() for out in chain(torch.zeros(1))] == [1.0, 111.0]


def test_between_taps_then_each_group_ends_in_a_tap_and_the_rest_is_left_out(chain):
    a, b, c, _ = chain
    assert chain.between_taps() == [[a], [b, c]]


def test_groups_between_taps_when_run_in_order_then_give_the_taps(chain):
    x, outputs = torch.zeros(1), []
    for group in chain.between_taps():
        for module in group:
            x = module(x)
        outputs.append(x.item())
    assert outputs == [out.item() for out in chain(torch.zeros(1))]


def test_members_then_keep_their_names_in_the_state_dict():
    chain = TappedSequential(OrderedDict(first=nn.Linear(1, 1, bias=False)), taps=["first"])
    assert list(chain.state_dict()) == ["first.weight"]


def test_tap_of_no_member_then_refused():
    with pytest.raises(ValueError, match="'z' is not in list"):
        TappedSequential(OrderedDict(a=nn.Identity()), taps=["z"])
