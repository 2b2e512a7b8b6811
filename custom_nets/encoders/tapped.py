"""Sequential network that returns some of its intermediate maps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class TappedSequential(nn.Sequential):
    """Sequential whose forward returns the outputs of chosen members, in order.

    >>> import torch
    >>> chain = TappedSequential(OrderedDict(a=nn.Identity(), b=nn.MaxPool2d(2)), taps=["a", "b"])
    >>> [tuple(out.shape) for out in chain(torch.zeros(1, 1, 4, 4))]
    [(1, 1, 4, 4), (1, 1, 2, 2)]
    """

    def __init__(self, members: OrderedDict[str, nn.Module], *, taps: Sequence[str]) -> None:
        """Chain the members under their names; ``taps`` names those whose output is returned."""
        super().__init__(members)
        names = list(members)
        self.taps = [names.index(tap) for tap in taps]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, C, H, W) to the list of tapped outputs."""
        outputs: list[Tensor] = []
        for index, member in enumerate(self):
            x = member(x)
            if index in self.taps:
                outputs.append(x)
        return outputs

    def between_taps(self) -> list[list[nn.Module]]:
        """Split the members into consecutive groups, each of which ends in a tap."""
        starts = [0, *(tap + 1 for tap in self.taps)]
        members = list(self)
        return [members[start:end] for start, end in pairwise(starts)]
