"""Contours as voxels: by the centres that they enclose."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import points_in_poly

from scripts.datasets.segments.polygons import fill
from scripts.prediction.dicom.contours import closed_contours

SHAPE = (14, 17)


def blobs(seed):
    """A mask with holes, islands in holes and voxels that touch at corners."""
    noise = np.random.default_rng(seed).normal(size=(30, 37))
    return ndimage.gaussian_filter(noise, 0.4 + seed % 5 / 2) > 0.02


@pytest.mark.parametrize("seed", range(20))
def test_contours_of_this_project_in_mm_then_the_mask_voxel_for_voxel(seed):
    spacing, origin = np.array([0.703125, 0.8203]), np.array([-171.37, 12.91])
    mask = blobs(seed)
    written = [np.round(p * spacing + origin, 4) for p in closed_contours(mask)]
    filled = fill([(points - origin) / spacing for points in written], mask.shape)
    np.testing.assert_array_equal(filled.mask, mask)
    assert filled.without_voxel == 0


@pytest.mark.parametrize("seed", range(5))
def test_star_of_any_corners_then_as_scikit_image_fills_it(seed):
    random = np.random.default_rng(seed)
    angle = np.sort(random.uniform(0, 2 * np.pi, 23))
    radius = random.uniform(1, 6, 23)
    star = np.stack([8 + radius * np.cos(angle), 6.7 + radius * np.sin(angle)], axis=1)
    y, x = np.indices(SHAPE)
    wanted = points_in_poly(np.stack([x.ravel(), y.ravel()], axis=1), star).reshape(SHAPE)
    np.testing.assert_array_equal(fill([star], SHAPE).mask, wanted)
    np.testing.assert_array_equal(fill([star[::-1]], SHAPE).mask, wanted)


@pytest.mark.parametrize("decimals", [1, 2])
def test_trace_through_centres_then_its_voxels_and_those_inside(decimals):
    trace = np.array([(2, 2), (5, 2), (8, 5), (5, 8), (2, 8)], float)
    spacing, origin = 0.703125, np.array([-171.37, 12.91])
    mask = fill([(np.round(trace * spacing + origin, decimals) - origin) / spacing], SHAPE).mask
    assert mask[[2, 8], 2:6].all()
    assert mask[2:9, 2].all()
    assert mask[[3, 4, 5, 6, 7], [6, 7, 8, 7, 6]].all()
    assert mask.sum() == 4 + 5 + 6 + 7 + 6 + 5 + 4


@pytest.mark.parametrize(
    ("trace", "wanted"),
    [
        ([(2, 2), (2, 4), (4, 4), (5, 3), (9, 3), (5, 3), (4, 2)], 9 + 5),
        ([(2, 2), (2, 6), (6, 6), (2, 6)], 9),
        ([(2, 2), (4, 4), (2, 2), (4, 0)], 5),
    ],
    ids=["a whisker", "a corner", "diagonals"],
)
def test_trace_along_parts_of_one_voxel_and_back_then_they_belong_to_it(trace, wanted):
    filled = fill([np.array(trace, float)], SHAPE)
    assert (filled.mask.sum(), filled.without_voxel) == (wanted, 0)
    assert all(filled.mask[y, x] for x, y in trace)


def test_trace_of_a_ring_then_its_hole_is_open():
    outer = np.array([(2, 2), (8, 2), (8, 8), (2, 8)], float)
    mask = fill([outer, outer / 2 + 2.5 - 0.5], SHAPE).mask
    wanted = np.zeros(SHAPE, bool)
    wanted[2:9, 2:9] = True
    wanted[4:6, 4:6] = False
    np.testing.assert_array_equal(mask, wanted)


@pytest.mark.parametrize(("place", "voxels"), [((4.0, 5.0), 1), ((4.3, 5.0), 0)])
def test_point_then_the_voxel_at_whose_centre_it_lies(place, voxels):
    filled = fill([np.array([place])], SHAPE)
    assert (filled.mask.sum(), filled.without_voxel) == (voxels, 1 - voxels)


def test_contour_beyond_the_slice_then_refused():
    with pytest.raises(ValueError, match="4 of its voxels lie outside the slice"):
        fill([np.array([(-1.5, 2.5), (3.5, 2.5), (3.5, 6.5), (-1.5, 6.5)])], SHAPE)


@pytest.mark.parametrize("other", [2.0, 0.0], ids=["crossing", "the same twice"])
def test_contours_that_overlap_in_part_or_wholly_then_refused(other):
    one = np.array([(2.5, 2.5), (6.5, 2.5), (6.5, 6.5), (2.5, 6.5)])
    with pytest.raises(ValueError, match="two contours overlap in"):
        fill([one, one + other], SHAPE)
