"""How far the members of a prediction agree: the pairwise Dice of the masks that each alone gives.

A member is one trained network with one flip of the CT. Where members disagree the result tends to
be wrong: among ways to detect failures on five collections of 3D images, the mean pairwise Dice of
an ensemble was the simple and robust one (Zenk et al., Comparative benchmarking of failure
detection methods in medical image segmentation, Medical Image Analysis 101, 2025).

*Two empty masks* agree fully: their Dice is 1. One empty mask and one that is not: 0. The figure of
a study is the mean over the classes; the paper has the same. What a member marks of a class is its
probabilities after ``cleaning``, at the threshold of the result, without ``refining`` (which is of
the mean) and before a second stage. Our choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.evaluation.packed_slices import PackedArray

AGREEMENT = "agreement"
"""Entry of a prediction's facts, its manifest and its statistics; see :func:`record_of`."""
DECIMALS = 4

Labels = NDArray[np.uint8]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Agreement:
    """The agreement of the members of one study.

    Attributes:
        members: their names, see :func:`member_names`.
        dice: kind of segment -> mean Dice over all pairs of members.
        shares: number of a lesion in the mask -> share of the members that mark a voxel of it.
    """

    members: tuple[str, ...]
    dice: Mapping[str, float]
    shares: Mapping[int, float]

    @property
    def mean_dice(self) -> float:
        """The figure of the study: the mean over the kinds."""
        return float(np.mean(list(self.dice.values())))


class MemberMasks:
    """The masks of the members of one study, kept compressed, slice by slice."""

    def __init__(self) -> None:
        self._masks: dict[int, list[PackedArray]] = {}

    def add(self, number: int, labels: Labels) -> None:
        """Keep the labels (Z, Y, X) of a member; one that is computed again replaces the first."""
        self._masks[number] = [PackedArray.pack(plane) for plane in labels]

    def agreement(
        self,
        members: Sequence[str],
        kinds: Mapping[int, str],
        mask: NDArray[Any],
        lesions: Mapping[int, int],
    ) -> Agreement:
        """Compare the members with one another, and with the lesions of the result.

        Args:
            members: their names, in the order of their numbers.
            kinds: label -> kind.
            mask: (Z, Y, X), the result: the number of the segment in each voxel.
            lesions: number of each lesion in it -> its label.
        """
        count = len(members)
        shared = {label: np.zeros((count, count), np.int64) for label in kinds}
        marked = np.zeros((count, 1 + max(lesions, default=0)), bool)
        own_label = np.zeros(1 + int(mask.max(initial=0)), np.uint8)
        for number, label in lesions.items():
            own_label[number] = label
        for plane, numbers in enumerate(mask):
            stack = np.stack([self._masks[k][plane].unpack() for k in range(count)])
            if not stack.any():
                continue
            for label, pairs in shared.items():
                pairs += shared_voxels(stack == label)
            wanted: Labels = own_label[numbers]
            for k, labels in enumerate(stack if wanted.any() else ()):
                marked[k, np.unique(numbers[(wanted > 0) & (labels == wanted)])] = True
        dice = {kind: mean_pairwise_dice(shared[label]) for label, kind in kinds.items()}
        shares = {number: float(marked[:, number].mean()) for number in lesions}
        return Agreement(tuple(members), dice, shares)


def shared_voxels(masks: NDArray[np.bool_]) -> Counts:
    """Return (M, M): the voxels that two masks of (M, Y, X) have in common; own sizes on top.

    Example:
        >>> shared_voxels(np.array([[[1, 1, 0]], [[0, 1, 1]]], bool)).tolist()
        [[2, 1], [1, 2]]
    """
    flat = masks.reshape(len(masks), -1)
    marked: NDArray[Any] = flat[:, flat.any(axis=0)].astype(np.float32)  # exact below 2 ** 24
    return np.asarray((marked @ marked.T).round(), np.int64)


def mean_pairwise_dice(shared: Counts) -> float:
    """Return the mean Dice over all pairs; ``shared`` as of :func:`shared_voxels`.

    Example:
        >>> mean_pairwise_dice(np.array([[4, 2, 0], [2, 4, 0], [0, 0, 0]]))
        0.16666666666666666
        >>> mean_pairwise_dice(np.zeros((3, 3), int))
        1.0
    """
    sizes = shared.diagonal()
    pairs = itertools.combinations(range(len(shared)), 2)
    dice = [
        2 * float(shared[a, b]) / float(total) if (total := sizes[a] + sizes[b]) else 1.0
        for a, b in pairs
    ]
    return float(np.mean(dice))


def member_names(weights: Sequence[str], flips: Sequence[str]) -> tuple[str, ...]:
    """Name each member by its file and the axes of its flip, in the order of the passes.

    Example:
        >>> member_names(["a.pt"], ["x", "y"])
        ('a.pt', 'a.pt flipped x', 'a.pt flipped y', 'a.pt flipped x y')
    """
    flipped = [
        chosen for count in range(len(flips) + 1) for chosen in itertools.combinations(flips, count)
    ]
    return tuple(
        f"{name} flipped {' '.join(axes)}" if axes else name
        for name, axes in itertools.product(weights, flipped)
    )
