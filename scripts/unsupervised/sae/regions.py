"""Regions of a CT in which voxels are labelled, and where in its region each voxel lies.

A method that compares patches of one patient with those of others needs a common frame for both. Of
nodules it is the annotated centre and diameter, which the method is given, as graph cut is; of
organs it is the body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.unsupervised.ct_stacks import Case, CTStack
from scripts.unsupervised.sae.patches import Voxels, field_of

REACH, ROOM_MM = 1.5, 2.0
"""A nodule's box reaches 1.5 of its radii from its centre along each axis, and 2 mm beyond it."""
SEARCH: Mapping[str, float] = {"instances": 0.5, "classes": 0.1}
"""Distance of places within which patches are compared: radii of a nodule, parts of the body."""


@dataclass(frozen=True)
class Region:
    """Voxels to be labelled.

    Attributes:
        voxels: (N, 3), indices (row, y, x) of a stack; each once.
        place: (N, 3), along the same axes. Of nodules the distance from the centre in radii, of
            organs the height in the scan and the position in the body's box of that slice, each
            from 0 to 1.
    """

    voxels: Voxels
    place: NDArray[np.float64]


def region_of(case: Case, stack: CTStack, kind: str) -> Region:
    """Return the voxels of a case that are labelled; no label is read.

    Args:
        case: entry of a datalist.
        stack: its CT.
        kind: of the labels: ``instances``, the boxes of the nodules that the datalist lists, or
            ``classes``, the body.

    Raises:
        ValueError: for a nodule outside the image.
    """
    return _boxes(case.get("nodules", ()), stack) if kind == "instances" else _body(case, stack)


def _boxes(nodules: Sequence[Mapping[str, Any]], stack: CTStack) -> Region:
    """Return the voxels in boxes around nodules; one in two boxes is the nearer nodule's."""
    boxes = [_box(nodule, stack) for nodule in nodules]
    voxels = np.concatenate([box.voxels for box in boxes] or [np.zeros((0, 3), np.int64)])
    place = np.concatenate([box.place for box in boxes] or [np.zeros((0, 3))])
    by_distance = np.argsort(np.linalg.norm(place, axis=1), kind="stable")
    numbers = np.ravel_multi_index(tuple(voxels[by_distance].T), stack.hu.shape)
    nearest = by_distance[np.unique(numbers, return_index=True)[1]]
    return Region(voxels[nearest], place[nearest])


def _box(nodule: Mapping[str, Any], stack: CTStack) -> Region:
    """Return the voxels in the box around one nodule; none where its slices are not segmented."""
    centre, radius = stack.index_of(nodule["centre_lps_mm"]), nodule["diameter_mm"] / 2
    _check_inside(nodule, centre, stack)
    reach = max(REACH * radius, radius + ROOM_MM) / stack.spacing_mm
    low = np.maximum(np.ceil(centre - reach), [stack.rows.start, 0, 0]).astype(int)
    ends = [stack.rows.stop, *stack.hu.shape[1:]]
    high = np.minimum(np.floor(centre + reach) + 1, ends).astype(int)
    index = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
    voxels = index.reshape(-1, 3)
    return Region(voxels, (voxels - centre) * stack.spacing_mm / radius)


def _check_inside(nodule: Mapping[str, Any], centre: NDArray[np.float64], stack: CTStack) -> None:
    """Refuse a nodule whose centre is beside the slices; it may be above or below them."""
    size = np.array(stack.hu.shape[1:])
    if not ((centre[1:] > -0.5) & (centre[1:] < size - 0.5)).all():
        raise ValueError(
            f"nodules: the centre of nodule {nodule.get('id')} must lie inside the image of "
            f"{size.tolist()} pixels, got {np.round(centre[1:], 1).tolist()}; prepare again"
        )


def _body(case: Case, stack: CTStack) -> Region:
    """Return the voxels of the body; each slice has a box of its own, as it has as a sample."""
    field = np.zeros(stack.hu.shape, bool)
    field[stack.rows.start : stack.rows.stop] = field_of(case, stack)
    voxels = np.argwhere(field)
    depth = stack.depth or len(stack.hu)
    place = np.empty(voxels.shape)
    place[:, 0] = (voxels[:, 0] + 0.5 + stack.first) / depth
    for row in np.unique(voxels[:, 0]):
        own = voxels[:, 0] == row
        within = voxels[own, 1:]
        low, high = within.min(axis=0), within.max(axis=0) + 1
        place[own, 1:] = (within + 0.5 - low) / (high - low)
    return Region(voxels, place)
