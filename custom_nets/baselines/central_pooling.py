"""Central pooling: fine in the middle of a patch, coarse towards its border."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

WIDEST = 3
"""Side of the outermost windows; those inside are 2 and, in the middle, 1 wide."""


class CentralPooling(nn.Module):
    """Largest value of each window of a square map; the windows narrow towards the middle.

    The voxel to classify is in the middle of the patch: full resolution is kept there, and pixels
    far from it are pooled more coarsely. Windows tile the map. From each border inwards they are 3,
    then 2, then 1 pixels wide, symmetrically; rows and columns are divided alike, and each pair of
    a row range and a column range is a window.

    Source: Wang et al., Medical Image Analysis 40, 2017, who pool with windows of three sizes that
    grow with the distance from the centre. Departs from it in how many of each size there are
    (`central_windows`), which could not be checked against the paper.

    >>> CentralPooling(11).widths
    [3, 2, 1, 2, 3]
    """

    members: Tensor  # no postponed annotations in this file: TorchScript reads it

    def __init__(self, size: int) -> None:
        """Pool maps of ``size`` x ``size``.

        Raises:
            ValueError: a size too small for windows of all three widths.
        """
        super().__init__()
        self.size = size
        self.widths = central_windows(size)
        self.register_buffer("members", _members(self.widths), persistent=False)

    @property
    def pooled_size(self) -> int:
        """Side of the pooled map."""
        return len(self.widths)

    __jit_unused_properties__ = ["pooled_size"]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, size, size) to (B, C, pooled_size, pooled_size).

        Raises:
            ValueError: another size; the windows are laid out for this one.
        """
        if x.shape[-1] != self.size or x.shape[-2] != self.size:
            raise ValueError(
                f"input must be (B, C, {self.size}, {self.size}); got {list(x.shape)}; "
                "change the patch, or the size given to CentralPooling"
            )
        members, count = self.members.flatten(), self.members.shape[0]
        rows = x.index_select(2, members)
        x = rows.reshape(x.shape[0], x.shape[1], count, 3, self.size).max(dim=3)[0]
        columns = x.index_select(3, members)
        return columns.reshape(x.shape[0], x.shape[1], count, count, 3).max(dim=4)[0]


def central_windows(size: int) -> list[int]:
    """Widths of the windows along one side: equally many of 3 and 2 at each end, 1 between them.

    Their number is the largest one that leaves a window of 1 in the middle, so that the map's side
    is about halved, as usual pooling does.

    >>> central_windows(17)
    [3, 2, 1, 1, 1, 1, 1, 1, 1, 2, 3]
    >>> len(central_windows(35)), sum(central_windows(35))
    (17, 35)

    Raises:
        ValueError: a size below 11, which has no room for all three widths.
    """
    if size < 2 * (WIDEST + 2) + 1:
        raise ValueError(f"size must be at least 11 pixels; got {size}; give a larger patch")
    each = (size - 1) // (2 * (WIDEST + 2))
    outer = [WIDEST] * each + [2] * each
    return [*outer, *[1] * (size - 2 * sum(outer)), *reversed(outer)]


def _members(widths: Sequence[int]) -> Tensor:
    """Pixels of each window, (windows, 3); in narrow windows the last pixel is repeated."""
    starts = [sum(widths[:index]) for index in range(len(widths))]
    return torch.tensor(
        [
            [start + min(step, width - 1) for step in range(WIDEST)]
            for start, width in zip(starts, widths, strict=True)
        ]
    )
