"""Grids whose voxels coincide with a CT's, and those whose voxels do not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scripts.datasets.segments.placement import place_grid
from scripts.datasets.segments.segment_file import CtGrid
from scripts.volumes.geometry import index_to_world

SHAPE = (5, 6, 7)
AFFINE = np.diag([0.7, 0.7, 2.5, 1.0])
AFFINE[:3, 3] = (-11, 23, -170)
CT = CtGrid("ct", SHAPE, AFFINE)
MARKED = np.arange(np.prod(SHAPE)).reshape(SHAPE)


def placed(affine, size):
    return place_grid(affine[:3, 3], affine[:3, :3].T, size, CT)


def turned(order, signs):
    """An affine of the CT's voxels with other axes, and the size along them."""
    affine, size = np.eye(4), []
    corner = np.zeros(3)
    for column, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[:3, column] = AFFINE[:3, axis] * sign
        size.append(SHAPE[::-1][axis])
        corner[axis] = 0 if sign > 0 else size[-1] - 1
    affine[:3, 3] = index_to_world(corner, AFFINE)
    return affine, tuple(size)


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1)], ids=str)
@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
def test_grid_turned_and_mirrored_then_each_voxel_in_its_place(order, signs):
    affine, size = turned(order, signs)
    place = placed(affine, size)
    index = np.stack(np.indices(size), axis=-1).reshape(-1, 3)
    for one in index[::17]:
        (flat,), outside = place.flat(one[None], CT)
        i, j, k = np.rint(np.linalg.solve(
            AFFINE[:3, :3], index_to_world(one, affine) - AFFINE[:3, 3])).astype(int)  # fmt: skip
        assert (flat, outside) == (MARKED[k, j, i], 0)


def test_part_and_larger_grid_then_shifted_and_what_is_outside_counted():
    affine = AFFINE.copy()
    affine[:3, 3] = index_to_world([-2, 1, 3], AFFINE)
    place = placed(affine, (9, 3, 2))
    flat, outside = place.flat(np.array([(2, 0, 0), (0, 0, 0), (8, 2, 1)]), CT)
    assert flat.tolist() == sorted([MARKED[3, 1, 0], MARKED[4, 3, 6]])
    assert outside == 1


def test_frame_of_two_axes_then_on_its_plane():
    place = place_grid(index_to_world([0, 0, 4], AFFINE), AFFINE[:3, :2].T, (7, 6), CT)
    assert place.flat(np.array([(6, 5)]), CT)[0].tolist() == [MARKED[4, 5, 6]]


@pytest.mark.parametrize("off_mm", [0.02, 0.09])
def test_origin_that_was_rounded_then_placed(off_mm):
    affine = AFFINE.copy()
    affine[2, 3] += off_mm
    assert placed(affine, SHAPE[::-1]).first.tolist() == [0, 0, 0]


def shifted(mm):
    affine = AFFINE.copy()
    affine[0, 3] += mm
    return affine


def scaled(*factors):
    return AFFINE @ np.diag([*factors, 1])


def rotated():
    affine = AFFINE.copy()
    cos, sin = np.cos(0.1), np.sin(0.1)
    affine[:3, :3] = np.array([(cos, -sin, 0), (sin, cos, 0), (0, 0, 1)]) @ AFFINE[:3, :3]
    return affine


@pytest.mark.parametrize(
    ("affine", "reason"),
    [
        (shifted(0.35), r"up to 0\.350 mm beside those of the CT"),
        (scaled(1, 1, 2), r"0\.7 x 0\.7 x 5 mm apart, the CT's 0\.7 x 0\.7 x 2\.5 mm"),
        (scaled(0.5, 0.5, 1), r"0\.35 x 0\.35 x 2\.5 mm apart"),
        (scaled(1.05, 1.05, 1), r"beside those of the CT \(spacing 0\.735 x 0\.735 x 2\.5 mm"),
        (rotated(), "its axes are turned against those of the CT|beside those of the CT"),
    ],
    ids=["shifted", "thick", "finer", "a little wider", "rotated"],
)
def test_grid_of_other_voxels_then_refused(affine, reason):
    with pytest.raises(ValueError, match=reason):
        placed(affine, SHAPE[::-1])
