"""Sequential networks that return some of their intermediate maps, and encoders made of one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from custom_nets.encoders.encoder import Encoder


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


class TappedEncoder(Encoder):
    """Encoder that is one sequence, torchvision's ``features``; each block ends at a tap.

    What the sequence of a classifier has before its pooling is all there: the keys of the
    ``state_dict`` are those of ``features.*`` in torchvision's files.
    """

    features: TappedSequential

    def add_features(self, members: OrderedDict[str, nn.Module], taps: Sequence[str]) -> None:
        """Chain the members, of which ``taps`` end a block; last call of a constructor."""
        self.features = TappedSequential(members, taps=taps)
        self.finish(self.features.between_taps())

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, in_channels, H, W) to block1 ... block5 at ``block_strides``."""
        outputs: list[Tensor] = self.features(x)
        return outputs

    def block_modules(self) -> list[list[nn.Module]]:
        """See `custom_nets.encoders.encoder.Encoder`."""
        return self.features.between_taps()


def numbered(members: Sequence[nn.Module]) -> OrderedDict[str, nn.Module]:
    """Name members by their place, from 0, as a plain sequence does."""
    return OrderedDict((str(index), member) for index, member in enumerate(members))


def block_ends(strides: Sequence[int]) -> list[int]:
    """Return the last member of each block, where a block starts at each stride above 1.

    >>> block_ends([2, 1, 2, 2, 1])
    [1, 2, 4]
    """
    starts = [index for index, stride in enumerate(strides) if stride > 1]
    return [start - 1 for start in [*starts[1:], len(strides)]]
