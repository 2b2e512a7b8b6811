"""2.5D input: a slice and its neighbours as the channels of one image."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform


def stack_neighbours(volume: torch.Tensor, *, each_side: int = 1) -> torch.Tensor:
    """Stack each slice of a volume with its neighbours as channels; edge slices are repeated.

    Args:
        volume: (1, H, W, D), slices along the last axis.
        each_side: number of neighbours below and above.

    Returns:
        (2 * each_side + 1, H, W, D): channel ``c`` at slice ``k`` is slice ``k + c - each_side``.
        It is a view of the size of the volume, in which neighbours share memory: do not change it
        in place. One slice with its neighbours is contiguous.

    Raises:
        ValueError: when the volume has more than one channel or is not 4-dimensional.

    Example:
        >>> import torch
        >>> stack_neighbours(torch.arange(3.0).reshape(1, 1, 1, 3))[:, 0, 0]
        tensor([[0., 0., 1.],
                [0., 1., 2.],
                [1., 2., 2.]])
    """
    if volume.ndim != 4 or volume.shape[0] != 1:
        raise ValueError(f"volume: must be (1, H, W, D), got {tuple(volume.shape)}")
    slices = volume[0].movedim(-1, 0)
    below, above = [slices[:1]] * each_side, [slices[-1:]] * each_side
    padded = torch.cat([*below, slices, *above]).contiguous()
    return padded.unfold(0, 2 * each_side + 1, 1).permute(3, 1, 2, 0)


class StackNeighboursd(MapTransform):
    """Dictionary form of :func:`stack_neighbours`; the affine and the history are kept.

    Raises:
        ValueError: for fewer than one neighbour on each side.
    """

    def __init__(
        self, keys: KeysCollection, *, each_side: int = 1, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if each_side < 1:
            raise ValueError(f"each_side: must be at least 1, got {each_side}")
        self.each_side = each_side

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, Any]:
        """Stack every key."""
        result = dict(data)
        for key in self.key_iterator(result):
            volume = result[key]
            plain = volume.as_tensor() if isinstance(volume, MetaTensor) else volume
            stacked = stack_neighbours(plain, each_side=self.each_side)
            if isinstance(volume, MetaTensor):
                stacked = MetaTensor(
                    stacked, meta=volume.meta, applied_operations=volume.applied_operations
                )
            result[key] = stacked
        return result


def stored_slices(chosen: Iterable[int], neighbours: int, depth: int) -> list[int]:
    """Return the indices of the chosen slices and their neighbours, sorted.

    Example:
        >>> stored_slices([0, 7], neighbours=1, depth=9)
        [0, 1, 6, 7, 8]
    """
    reach = range(-neighbours, neighbours + 1)
    return sorted({min(max(k + step, 0), depth - 1) for k in chosen for step in reach})


def rows_of(number: int, stored: Sequence[int], neighbours: int, depth: int) -> list[int]:
    """Return the rows of a stored stack for one slice and its neighbours, edge slices repeated.

    Example:
        >>> rows_of(0, [0, 1, 6, 7, 8], neighbours=1, depth=9)
        [0, 0, 1]
    """
    reach = range(-neighbours, neighbours + 1)
    return [stored.index(min(max(number + step, 0), depth - 1)) for step in reach]
