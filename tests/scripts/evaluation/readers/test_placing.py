import numpy as np
import pytest

from scripts.evaluation.readers.placing import place, shift_error_mm
from tests.scripts.evaluation.readers.made_up import groups, nodule

ORIGIN = (-120.0, -95.0)


@pytest.fixture
def three():
    """Nodules at (10, 10), (25, 12) and (14, 25) mm from the first pixel, on three slices."""
    centres = (("a", 20, 20, (2,)), ("b", 50, 24, (5,)), ("c", 28, 50, (8,)))
    return groups([nodule(*one) for one in centres])


def listed(found, direction=1, off=0.0, diameter=8.0):
    points = []
    for k, group in enumerate(found):
        x, y = direction * np.array(group.centre_mm[:2]) + ORIGIN
        points.append((x + off * (k - 1), y, group.centre_mm[2], diameter))
    return points


@pytest.mark.parametrize("direction", [1, -1])
def test_position_that_is_unknown_then_the_shift_that_fits_all_nodules(three, direction):
    placed = place(listed(three, direction, off=0.2)[::-1], three)
    assert (placed.direction, placed.is_known) == (direction, False)
    assert placed.own == {0: 2, 1: 1, 2: 0}
    np.testing.assert_allclose(placed.origin_mm, ORIGIN, atol=1e-9)


def test_single_nodule_then_shifted_exactly_onto_the_one_at_its_z(three):
    placed = place(listed(three)[1:2], three)
    assert placed.own == {0: 1}
    np.testing.assert_allclose(placed.origin_mm, ORIGIN)


def test_nodule_of_too_few_readers_for_the_list_then_only_if_there_is_no_other():
    three_readers = [[nodule(name, 20, 20, (2, 3))] for name in ("a", "b", "c")]
    found = groups(*three_readers, [nodule("d", 40, 40, (2, 3))], [nodule("e", 40, 40, (8,))])
    nearer = [k for k, group in enumerate(found) if len(group.nodules) == 3]
    (x, y), z = ORIGIN, found[nearer[0]].centre_mm[2]
    assert place([(x, y, z, 8.0)], found).own == {0: nearer[0]}
    assert place([(x, y, found[-1].centre_mm[2], 8.0)], found).own == {0: 2}


def test_position_that_is_known_then_used_with_the_error_of_the_estimate(three):
    points = [(x + 0.5, y, z, d) for x, y, z, d in listed(three)]
    placed = place(points, three, (1, ORIGIN))
    assert (placed.is_known, placed.own) == (True, {0: 0, 1: 1, 2: 2})
    assert placed.origin_mm == ORIGIN
    assert shift_error_mm(placed, points, three) == pytest.approx(0.5)
    assert shift_error_mm(place(points, three), points, three) is None


def test_listed_nodule_beyond_its_radius_then_without_a_group(three):
    points = listed(three)
    far = (points[0][0], points[0][1] + 20, *points[0][2:])
    other_z = (*points[1][:2], points[1][2] + 5, points[1][3])
    assert place([far, other_z, points[2]], three, (1, ORIGIN)).own == {2: 2}
    assert place([other_z], three[1:2]).own == {}
    assert place([], three).own == {}


def test_two_listed_nodules_at_one_group_then_only_the_nearer_has_it(three):
    near = listed(three)[0]
    farther = (near[0] + 1.0, *near[1:])
    assert place([farther, near], three, (1, ORIGIN)).own == {1: 0}
