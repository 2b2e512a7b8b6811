"""Patches around voxels of a CT: windows side by side, standardised; half from near borders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from scripts.running.options import check_whole
from scripts.transforms.body_field import body_field
from scripts.transforms.intensity import WindowHU
from scripts.unsupervised.ct_stacks import Case, CTStack, Hu, read_label, read_lung, read_stack

Patches = NDArray[np.float32]
Voxels = NDArray[np.int64]
Mask = NDArray[np.bool_]

WINDOWS_HU = ((-1000.0, 400.0), (-150.0, 250.0))
"""Lung and soft tissue, in place of the two images of one patient that Guo et al. put together."""
BORDER_MM = 5.0
"""Half of the patches are drawn within this distance of a labelled border, in the slice."""
MOST_OF_A_SLICE, MOST_OF_ALL = 4000, 4_000_000
"""Voxels near a border, and as many others, that are kept until all slices have been read."""


@dataclass(frozen=True)
class PatchShape:
    """Which values describe a voxel: those around it, in each window.

    Attributes:
        size: pixels along a side, odd.
        slices: number of slices, odd.
        windows_hu: each mapped to [0, 1] and clipped.
    """

    size: int = 9
    slices: int = 3
    windows_hu: tuple[tuple[float, float], ...] = WINDOWS_HU

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: for an even or non-positive number, or an invalid window.
        """
        for name, value in (("patch_size", self.size), ("patch_slices", self.slices)):
            check_whole(name, value, 1)
            if value % 2 == 0:
                raise ValueError(f"{name}: must be odd, so that a voxel is in the middle: {value}")
        if not self.windows_hu:
            raise ValueError("windows_hu: must name at least one window")
        for window in self.windows_hu:
            WindowHU(window)

    @property
    def values(self) -> int:
        """Length of a patch as a vector."""
        return len(self.windows_hu) * self.slices * self.size**2

    def cut(self, hu: Hu, voxels: Voxels) -> Patches:
        """Cut out the patches around voxels; beyond an edge the outermost voxels are repeated.

        Args:
            hu: (S, Y, X).
            voxels: (N, 3), indices (row, y, x).

        Returns:
            (N, values): window by window, each slice by slice and row by row.
        """
        reach = (self.slices // 2, self.size // 2, self.size // 2)
        row, y, x = (
            (voxels[:, [axis]] + np.arange(-most, most + 1)).clip(0, hu.shape[axis] - 1)
            for axis, most in enumerate(reach)
        )
        around = hu[row[:, :, None, None], y[:, None, :, None], x[:, None, None, :]]
        found = torch.from_numpy(around.reshape(len(voxels), self.slices * self.size**2))
        windows = [WindowHU(window, outside="clip")(found) for window in self.windows_hu]
        patches: Patches = torch.cat(windows, dim=1).numpy()
        return patches


@dataclass(frozen=True)
class PatchReader:
    """Cuts out patches and standardises them by the mean and deviation of the training patches.

    Attributes:
        shape: of the patches.
        mean: of the training patches, for each window.
        deviation: likewise.
    """

    shape: PatchShape
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def fitted(cls, shape: PatchShape, patches: Patches) -> PatchReader:
        """Take mean and deviation from the training patches; a window of one value is only shifted.

        Args:
            shape: of the patches.
            patches: (N, values) from :meth:`PatchShape.cut`.
        """
        windows = patches.reshape(len(patches), len(shape.windows_hu), -1).astype(np.float64)
        mean, deviation = windows.mean(axis=(0, 2)), windows.std(axis=(0, 2))
        deviation[deviation == 0] = 1
        return cls(shape, tuple(mean.tolist()), tuple(deviation.tolist()))

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any]) -> PatchReader:
        """Build it from :meth:`settings`.

        Raises:
            ValueError: for settings that are none of a patch reader.
        """
        try:
            shape = settings["shape"]
            windows = tuple((float(low), float(high)) for low, high in shape["windows_hu"])
            return cls(
                PatchShape(shape["size"], shape["slices"], windows),
                tuple(map(float, settings["mean"])),
                tuple(map(float, settings["deviation"])),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"autoencoder: its settings of patches lack {error}") from error

    def settings(self) -> dict[str, Any]:
        """Return shape, mean and deviation as plain Python."""
        return asdict(self)

    def standardise(self, patches: Patches) -> Patches:
        """Standardise (N, values) window by window."""
        windows = patches.reshape(len(patches), len(self.mean), self.shape.values // len(self.mean))
        mean, deviation = np.array([self.mean, self.deviation], np.float32)[..., None]
        standard: Patches = ((windows - mean) / deviation).reshape(patches.shape)
        return standard

    def read(self, hu: Hu, voxels: Voxels) -> Patches:
        """Cut out the patches around voxels (N, 3) of (S, Y, X), standardised: (N, values)."""
        return self.standardise(self.shape.cut(hu, voxels))


def field_of(case: Case, stack: CTStack) -> Mask:
    """Return where patches are drawn, (rows, Y, X): in the lungs, or the body, or all of a crop."""
    hu = stack.hu[stack.rows.start : stack.rows.stop]
    lung = read_lung(case)
    if lung is not None:
        return lung
    if case.get("crop"):
        return np.ones(hu.shape, bool)
    return body_field(stack.hu, stack.spacing_mm[::-1].tolist())[stack.rows.start : stack.rows.stop]


def near_border(label: NDArray[np.uint8], spacing_mm: Sequence[float]) -> Mask:
    """Return the voxels of (rows, Y, X) that are near a border between labels in their slice.

    Args:
        label: 0 for background.
        spacing_mm: (y, x).
    """
    near = np.zeros(label.shape, bool)
    for row, values in enumerate(label):
        border = np.zeros(values.shape, bool)
        for axis in (0, 1):
            differs = np.diff(values, axis=axis) != 0
            border |= np.insert(differs, 0, False, axis=axis)
            border |= np.insert(differs, differs.shape[axis], False, axis=axis)
        if border.any():
            distance = ndimage.distance_transform_edt(~border, sampling=spacing_mm)
            near[row] = distance <= BORDER_MM
    return near


@dataclass(frozen=True)
class Drawn:
    """Patches drawn from cases.

    Attributes:
        patches: (N, values), not standardised.
        near: how many were drawn near a labelled border.
    """

    patches: Patches
    near: int


def draw_patches(cases: Sequence[Case], shape: PatchShape, count: int, seed: int) -> Drawn:
    """Draw patches from prepared slices: half near labelled borders, the others in the whole field.

    As far as there are enough of both, every slice gives equally many.

    Args:
        cases: training samples.
        shape: of the patches.
        count: wanted number; fewer where the slices have fewer voxels.
        seed: of the draw.

    Raises:
        ValueError: for no cases, or for none with a voxel to draw.
    """
    draws = (np.random.default_rng([seed, number]) for number in range(len(cases)))
    most = most_of_a_slice(len(cases))
    places = [_places(case, shape, most, random) for case, random in zip(cases, draws, strict=True)]
    picked = chosen_evenly([near for _, near in places], count, seed)
    if not sum(map(len, picked)):
        raise ValueError(f"datalist: none of the {len(cases)} training slices has a voxel to draw")
    found = [
        shape.cut(read_stack(case, shape.slices).hu, voxels[index])
        for case, (voxels, _), index in zip(cases, places, picked, strict=True)
        if len(index)
    ]
    near = sum(int(near[index].sum()) for (_, near), index in zip(places, picked, strict=True))
    return Drawn(np.concatenate(found), near)


def _places(
    case: Case, shape: PatchShape, most: int, random: np.random.Generator
) -> tuple[Voxels, Mask]:
    """Return some voxels of a slice's field, and which are near a border."""
    stack = read_stack(case, shape.slices)
    label = read_label(case)
    field = field_of(case, stack) | (label > 0)
    near = near_border(label, stack.spacing_mm[1:].tolist())
    voxels, near_each = np.argwhere(field), near[field]
    voxels[:, 0] += stack.rows.start
    some = some_of_both(near_each, most, random)
    return voxels[some], near_each[some]


def most_of_a_slice(slices: int) -> int:
    """Return how many voxels near a border, and how many others, a slice may keep.

    >>> most_of_a_slice(40), most_of_a_slice(8000)
    (4000, 500)
    """
    return max(1, min(MOST_OF_A_SLICE, MOST_OF_ALL // max(slices, 1)))


def some_of_both(near: Mask, most: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of at most so many voxels near a border, then of as many others.

    >>> some = some_of_both(np.arange(9) < 6, 4, np.random.default_rng(0))
    >>> len(some), set(some[:4]) < set(range(6)), sorted(some[4:].tolist())
    (7, True, [6, 7, 8])
    """
    both = (np.flatnonzero(near), np.flatnonzero(~near))
    return np.concatenate([random.permutation(index)[:most] for index in both])


def chosen_evenly(near: Sequence[Mask], count: int, seed: int) -> list[NDArray[np.int64]]:
    """Choose voxels of slices: half of them near a border, the others elsewhere.

    As far as there are enough, every slice gives equally many of each; where one sort is scarce,
    the other makes up the number.

    Args:
        near: for each slice, which of its voxels are near a border.
        count: wanted number in all.
        seed: of the draw.

    Returns:
        For each slice the chosen indices.

    Example:
        >>> first, second = np.array([True, True, False, False]), np.zeros(9, bool)
        >>> [len(chosen) for chosen in chosen_evenly([first, second], 6, 0)]
        [4, 2]
    """
    random = np.random.default_rng([seed, len(near)])
    one, other = ([random.permutation(np.flatnonzero(n == flag)) for n in near] for flag in (1, 0))
    of_border = _quotas([len(voxels) for voxels in one], count // 2)
    of_rest = _quotas([len(voxels) for voxels in other], count - sum(of_border))
    of_border = _quotas([len(voxels) for voxels in one], count - sum(of_rest))
    return [
        np.concatenate([a[:most_a], b[:most_b]])
        for a, b, most_a, most_b in zip(one, other, of_border, of_rest, strict=True)
    ]


def _quotas(available: Sequence[int], count: int) -> list[int]:
    """Share a number among slices as evenly as they allow.

    >>> _quotas([0, 2, 9, 9], 10)
    [0, 2, 4, 4]
    """
    taken = [0] * len(available)
    while (missing := count - sum(taken)) > 0:
        open_ = [k for k, most in enumerate(available) if taken[k] < most]
        if not open_:
            break
        for position, k in enumerate(open_):
            share = missing // len(open_) + (position < missing % len(open_))
            taken[k] += min(share, available[k] - taken[k])
    return taken


def in_parts(voxels: Voxels, most: int = 4096) -> Iterator[Voxels]:
    """Split voxels into parts, whose patches fit into memory."""
    for start in range(0, len(voxels), most):
        yield voxels[start : start + most]
