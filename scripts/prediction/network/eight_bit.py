"""A network in 8 bits, calibrated on each CT, and used where it agrees with float32 there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from scripts.prediction.network.openvino_network import (
    Conversion,
    OpenvinoNetwork,
    RefusedError,
    compile_outputs,
)
from scripts.prediction.network.quantisation import (
    FIRST,
    LAST,
    Place,
    Range,
    inner_convolutions,
    quantised,
    ranges_of,
    with_ranges,
)
from scripts.training.precision import asked_dtype

logger = logging.getLogger(__name__)

LEAST_DICE = 0.99
"""Of each class on the compared slices; below it the CT is computed without 8 bits."""
SPREAD, FOUND = 4, 5
"""Slices that are also computed in float32: evenly spaced ones, which calibrate, and evenly spaced
ones of those in which a class was found. Each by itself, as a bundle's inferer crops the slices of
a batch together."""
ALLOWANCE = 200
"""Voxels of agreement that are added to each class, so that a Dice of 0 for two stray voxels of a
class that is not there does not decide."""

NEAR = 0.5
"""Change of a logit that may change the mask of a voxel near a decision."""
LEAST_NEAR = 50
"""Voxels so near, from which the mean error of their logits is known well enough."""

Inferer = Callable[[torch.Tensor, nn.Module], torch.Tensor]
Masks = Callable[[torch.Tensor], torch.Tensor]
"""From logits (1, K, ..., D) to the masks of the classes (classes, ..., D), booleans."""
Places = Sequence[int]
"""Numbers of slices of a CT."""


@dataclass(frozen=True)
class Agreement:
    """Comparison of 8 bits with float32 on some slices of a CT.

    Attributes:
        dice: of each class, see :func:`dice_of`.
        slices: number of compared slices.
    """

    dice: tuple[float, ...]
    slices: int

    @property
    def trusted(self) -> bool:
        """Whether the result in 8 bits is used."""
        return min(self.dice, default=1.0) >= LEAST_DICE

    def record(self) -> dict[str, Any]:
        """Return it for the manifest."""
        return {**asdict(self), "used": self.trusted}


class EightBitNetwork(nn.Module):
    """A 2D network whose convolutions OpenVINO computes in 8 bits, but for those at its ends.

    Args:
        network: on the CPU, in evaluation mode.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._exact = OpenvinoNetwork(network)
        self._rounded: Conversion | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to float32 logits (B, K, H, W), in 8 bits once calibrated.

        Raises:
            RefusedError: see :class:`OpenvinoNetwork`; also for a network without convolutions that
                8 bits suit.
            ValueError: for an image that the network itself does not accept.
        """
        conversion = self._exact.conversion(x)
        if self._rounded is None and not inner_convolutions(conversion.model):
            raise RefusedError(
                f"engine: this network has no convolutions for 8 bits, as the first {FIRST} and "
                f"the last {LAST} stay in float32; use --engine auto"
            )
        return (self._rounded or conversion).call(asked_dtype("cpu"))(x)

    def predict(
        self,
        volume: torch.Tensor,
        inferer: Inferer,
        masks: Masks,
        *,
        calibrate: bool,
        region: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Agreement]:
        """Return the logits of a CT in 8 bits, or without them where they do not agree.

        Some evenly spaced slices of the region are compared first, so that most networks that do
        not agree cost little; then some of those in which something was found. The compared slices
        keep their result in float32.

        Args:
            volume: (1, C, ..., D), slices along the last axis.
            inferer: maps a volume and a network to logits (1, K, ..., D), each slice by itself.
            masks: what counts, see :data:`Masks`.
            calibrate: on this volume; false for a flipped one of a CT that was calibrated before.
            region: (1, ..., D), not 0 where masks count; None for everywhere.

        Raises:
            RefusedError, ValueError: see :meth:`forward`.
        """
        spread = spread_slices(volume.shape[-1], region)
        exact = self._calibrate(volume, spread, inferer, calibrate=calibrate)
        compared = _Compared(masks, region, spread, exact, _each(inferer, volume, spread, self))
        agreement = compared.agreement()
        if agreement.trusted:
            logits = self._between(volume, inferer, compared)
            found = found_slices(
                compared.counted(logits, range(volume.shape[-1])), leaving_out=spread
            )
            if found:
                more = _each(inferer, volume, found, self._exact.in_float32())
                compared = compared.with_more(found, more, logits[..., found])
                agreement = compared.agreement()
            if agreement.trusted:
                logits += compared.offset
                logits[..., compared.places] = compared.exact
                return logits, agreement
            del logits
        logger.warning(
            "engine: 8 bits give another result than float32 for this CT (Dice %s on %d slices); "
            "it is computed without them",
            *(", ".join(f"{dice:.3f}" for dice in agreement.dice), agreement.slices),
        )
        return inferer(volume, self._exact), agreement

    def _between(self, volume: torch.Tensor, inferer: Inferer, compared: _Compared) -> torch.Tensor:
        """Return the logits of a CT in 8 bits, of which those of some slices are known."""
        depth, known = volume.shape[-1], compared.rounded
        logits = known.new_empty((*known.shape[:-1], depth))
        logits[..., compared.places] = known
        for start, end in ranges_between(compared.places, depth):
            logits[..., start:end] = inferer(volume[..., start:end], self)
        return logits

    def _calibrate(
        self, volume: torch.Tensor, places: Places, inferer: Inferer, *, calibrate: bool
    ) -> torch.Tensor:
        """Return the slices' logits in float32; observe ranges on the way if asked to."""
        if not calibrate and self._rounded is not None:
            return _each(inferer, volume, places, self._exact.in_float32())
        self._rounded = None
        observer = _Observer(self._exact)  # not kept for the next CT, for memory
        logits = _each(inferer, volume, places, observer)
        self._rounded = Conversion(quantised(observer.conversion.model, observer.ranges))
        return logits


def _each(
    inferer: Inferer, volume: torch.Tensor, places: Places, network: nn.Module
) -> torch.Tensor:
    """Return the logits (1, K, ..., places) of slices, each by itself."""
    return torch.cat([inferer(volume[..., k : k + 1], network) for k in places], dim=-1)


class _Observer(nn.Module):
    """A network in float32 that notes the ranges of its convolutions' inputs.

    Attributes:
        ranges: of each place, over all images.
        conversion: of the network, once it was called.
    """

    def __init__(self, exact: OpenvinoNetwork) -> None:
        super().__init__()
        self._exact = exact
        self._call: Callable[[torch.Tensor], Sequence[Any]] | None = None
        self._places: list[Place] = []
        self.ranges: dict[Place, Range] = {}
        self.conversion: Conversion

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.conversion = self._exact.conversion(x)
        if self._call is None:
            model, self._places = with_ranges(self.conversion.model)
            self._call = compile_outputs(model, torch.float32)
        logits, *ends = self._call(x)
        for place, found in ranges_of(self._places, ends).items():
            if place in self.ranges:
                self.ranges[place].widen(found.low, found.high)
            else:
                self.ranges[place] = found
        return torch.from_numpy(logits)


@dataclass(frozen=True)
class _Compared:
    """Slices of a CT in float32 and in 8 bits.

    Attributes:
        masks: see :data:`Masks`.
        region: see :meth:`EightBitNetwork.predict`.
        places: of these slices in the CT.
        exact: logits (1, K, ..., slices) in float32.
        rounded: the same in 8 bits.
    """

    masks: Masks
    region: torch.Tensor | None
    places: Places
    exact: torch.Tensor
    rounded: torch.Tensor

    @cached_property
    def offset(self) -> torch.Tensor:
        """What the logits in 8 bits lack, see :func:`mean_error`."""
        return mean_error(self.exact, self.rounded, lambda x: self.counted(x, self.places))

    def counted(self, logits: torch.Tensor, places: Places) -> torch.Tensor:
        """Return the masks of slices inside the region."""
        found = self.masks(logits)
        return found if self.region is None else found & (self.region[..., places] != 0)

    def agreement(self) -> Agreement:
        """Compare the masks."""
        own = self.counted(self.rounded + self.offset, self.places)
        return Agreement(dice_of(own, self.counted(self.exact, self.places)), len(self.places))

    def with_more(self, places: Places, exact: torch.Tensor, rounded: torch.Tensor) -> _Compared:
        """Return the comparison of these slices and further ones."""
        return replace(
            self,
            places=[*self.places, *places],
            exact=torch.cat([self.exact, exact], dim=-1),
            rounded=torch.cat([self.rounded, rounded], dim=-1),
        )


def mean_error(exact: torch.Tensor, rounded: torch.Tensor, masks: Masks) -> torch.Tensor:
    """Return what logits in 8 bits lack on the mean, (1, K, 1...), near the border of a mask.

    Rounding errors of large even areas, such as the air around a body, all have one sign; left as
    they are they would make every object of a CT larger, or smaller.

    Args:
        exact: logits (1, K, ...) in float32.
        rounded: the same in 8 bits.
        masks: see :data:`Masks`.

    Example:
        >>> exact = torch.linspace(-1, 1, 400).reshape(1, 1, 400)
        >>> round(float(mean_error(exact, exact - 0.25, lambda logits: logits[0] > 0)), 4)
        0.25
    """
    shape = (1, -1, *[1] * (exact.ndim - 2))
    near = torch.zeros(exact.shape[2:], dtype=torch.bool)
    for one in torch.eye(exact.shape[1]):
        change = NEAR * one.reshape(shape)
        near |= (masks(exact + change) ^ masks(exact - change)).any(dim=0)
    if int(near.sum()) < LEAST_NEAR:
        return exact.new_zeros(exact.shape[1]).reshape(shape)
    return (exact - rounded)[0][:, near].mean(dim=1).reshape(shape)


def ranges_between(slices: Places, depth: int) -> list[tuple[int, int]]:
    """Return start and end of the ranges of a CT without some slices.

    Example:
        >>> ranges_between([0, 1, 4, 5], 7)
        [(2, 4), (6, 7)]
    """
    ends = [-1, *slices, depth]
    return [(a + 1, b) for a, b in pairwise(ends) if b > a + 1]


def evenly_spaced(depth: int) -> list[int]:
    """Return :data:`SPREAD` slices, from the first to the last of a CT.

    Example:
        >>> evenly_spaced(61), evenly_spaced(3)
        ([0, 20, 40, 60], [0, 1, 2])
    """
    return sorted({round(k * (depth - 1) / (SPREAD - 1)) for k in range(SPREAD)})


def spread_slices(depth: int, region: torch.Tensor | None) -> list[int]:
    """Return evenly spaced slices of a CT, of those where masks count if a region says so.

    Others may be empty, as those above and below the lungs are: ranges that were observed there
    would be too narrow, and nothing found everywhere would pass for agreement.

    Args:
        depth: slices of the CT.
        region: (1, ..., D), not 0 where masks count; None for everywhere.

    Example:
        >>> region = torch.zeros(1, 1, 40)
        >>> region[..., 15:25] = 1
        >>> spread_slices(40, region), spread_slices(40, 0 * region)
        ([15, 18, 21, 24], [0, 13, 26, 39])
    """
    counting = torch.ones(depth) if region is None else (region != 0).flatten(0, -2).any(dim=0)
    inside = torch.nonzero(counting).flatten().tolist() or list(range(depth))
    return [inside[place] for place in evenly_spaced(len(inside))]


def found_slices(masks: torch.Tensor, *, leaving_out: Places) -> list[int]:
    """Return :data:`FOUND` evenly spaced ones of the slices with a voxel of each class.

    Args:
        masks: (classes, ..., D).
        leaving_out: slices that are not returned.

    Example:
        >>> masks = torch.zeros(1, 1, 40)
        >>> masks[..., 10:31] = 1
        >>> found_slices(masks > 0, leaving_out=[10])
        [11, 16, 21, 25, 30]
    """
    chosen: set[int] = set()
    for each in masks.flatten(1, -2).any(dim=1):
        left = sorted(set(torch.nonzero(each).flatten().tolist()) - set(leaving_out))
        picks = np.linspace(0, len(left) - 1, min(FOUND, len(left))).round().astype(int)
        chosen |= {left[pick] for pick in picks}
    return sorted(chosen)


def dice_of(masks: torch.Tensor, others: torch.Tensor) -> tuple[float, ...]:
    """Return the Dice of each class, with :data:`ALLOWANCE`, for masks (classes, ...).

    Example:
        >>> masks = torch.zeros(2, 5000, dtype=torch.bool)
        >>> masks[0] = True
        >>> dice_of(masks, torch.stack([masks[0], masks[0]]))
        (1.0, 0.0385)
    """
    both = (masks & others).flatten(1).sum(dim=1)
    total = masks.flatten(1).sum(dim=1) + others.flatten(1).sum(dim=1)
    dice = (2 * both + ALLOWANCE) / (total + ALLOWANCE)
    return tuple(round(float(each), 4) for each in dice)
