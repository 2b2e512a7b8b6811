import math

import numpy as np
import pytest

from scripts.evaluation.figures.detection import (
    Detection,
    candidate_centres,
    detect,
    mask_diameter_mm,
    nodule_spheres,
)
from scripts.evaluation.series import Sphere
from tests.scripts.evaluation.scans import make_series

CENTRE = (4.0, 11.5, 11.5)  # index (z, y, x); slices are 2 mm apart, pixels 1 mm


def scan(**changes):
    """One nodule of 8 mm, annotated as a ball, and nothing predicted."""
    facts = {"nodules": {1: Sphere(8.0, CENTRE)}, **changes}
    series = make_series((9, 48, 48), **facts)
    series.instances[2:7, 8:16, 8:16] = 1
    return series


def block(series, z, y, x, size=2):
    """Predict a block whose centre of mass is (z, y + size / 2 - 0.5, x + size / 2 - 0.5)."""
    series.prediction[z, y : y + size, x : x + size] = True


def test_candidate_then_hits_by_its_centre_and_not_by_a_voxel():
    series = scan()
    series.prediction[4, 11:13, 12:46] = True  # a vessel that runs through the nodule
    assert detect(series) == Detection(frozenset(), candidates=1, false_positives=1, excluded=0)


@pytest.mark.parametrize(
    ("offset_mm", "hit"), [(0, True), (3, True), (3.5, True), (4, False), (5, False)], ids=str
)
def test_candidate_when_its_distance_is_below_the_radius_then_a_hit(offset_mm, hit):
    series = scan(nodules={1: Sphere(8.0, (4.0, 11.5, 11.5 - offset_mm))})
    block(series, 4, 11, 11)
    found = detect(series)
    assert found.nodules == ({1} if hit else set())
    assert found.false_positives == (not hit)


def test_distance_then_in_mm_along_z():
    series = scan()
    block(series, 2, 11, 11)  # 4 mm towards the feet
    assert not detect(series).nodules
    series = scan()
    block(series, 3, 11, 11)
    assert detect(series).nodules == {1}


def test_several_candidates_on_one_nodule_then_detected_once_and_no_false_positive():
    series = scan()
    block(series, 4, 9, 9)
    block(series, 4, 13, 13)
    block(series, 0, 40, 40)
    assert detect(series) == Detection(frozenset({1}), candidates=3, false_positives=1, excluded=0)


def test_candidate_on_an_excluded_finding_then_neither_hit_nor_false_positive():
    series = scan(excluded=(Sphere(10.0, (0.0, 40.5, 40.5)),))
    block(series, 0, 40, 40)
    assert detect(series) == Detection(frozenset(), candidates=1, false_positives=0, excluded=1)


def test_candidate_on_a_nodule_and_on_an_excluded_finding_then_a_hit():
    series = scan(excluded=(Sphere(10.0, CENTRE),))
    block(series, 4, 11, 11)
    assert detect(series) == Detection(frozenset({1}), candidates=1, false_positives=0, excluded=0)


def test_nodule_of_the_nearest_voxel_only_then_still_found():
    series = make_series((9, 48, 48), nodules={1: Sphere(1.0, (4.5, 20.4, 20.4))})
    series.instances[4, 20, 20] = series.prediction[4, 20, 20] = True
    assert detect(series).nodules == {1}


def test_nodule_without_annotated_centre_then_the_centroid_of_its_mask():
    series = make_series((4, 32, 32), slices=np.arange(10, 14))
    series.instances[1:3, 8:14, 8:14] = 1
    sphere = nodule_spheres(series)[1]
    assert sphere.centre_zyx == (11.5, 10.5, 10.5)
    assert sphere.diameter_mm == pytest.approx((6 * 144 / math.pi) ** (1 / 3))
    assert nodule_spheres(make_series((4, 32, 32), nodules={1: Sphere(3.0)})) == {}


def test_scan_without_nodules_then_its_candidates_are_false_positives():
    series = make_series()
    block(series, 4, 11, 11)
    assert detect(series) == Detection(frozenset(), candidates=1, false_positives=1, excluded=0)
    assert detect(make_series()) == Detection(frozenset(), 0, 0, 0)


def test_candidates_then_apart_at_a_missing_slice_and_joined_by_a_corner():
    joined = make_series((2, 8, 8))
    apart = make_series((2, 8, 8), slices=np.array([3, 5]))
    for series in (joined, apart):
        series.prediction[0, 4, 4] = series.prediction[1, 5, 5] = True
    assert candidate_centres(joined).tolist() == [[0.5, 4.5, 4.5]]
    assert candidate_centres(apart).tolist() == [[3, 4, 4], [5, 5, 5]]


def test_mask_diameter_of_a_stack_is_the_balls():
    mask = np.ones((2, 4, 4), bool)
    assert mask_diameter_mm(mask, (2.0, 1.0, 0.5)) == pytest.approx((6 * 32 / math.pi) ** (1 / 3))
