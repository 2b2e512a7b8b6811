import numpy as np
import pytest

from scripts.volumes.geometry import index_to_world
from scripts.volumes.slice_stack import even_step, normal_of, order_of, stack_affine

AXIAL = [1, 0, 0, 0, 1, 0]
PRONE = [-1, 0, 0, 0, -1, 0]
CORONAL = [1, 0, 0, 0, 0, -1]
TILTED = [1, 0, 0, 0, 0.96, 0.28]


def places(offsets, normal=(0, 0, 1)):
    return np.array([10.0, 20.0, 30.0]) + np.outer(offsets, normal)


@pytest.mark.parametrize("orientation", [AXIAL, PRONE, CORONAL], ids=["axial", "prone", "coronal"])
def test_shuffled_slices_then_sorted_along_their_normal(orientation):
    offsets = np.array([4.0, 0.0, 2.0, 6.0])
    order, sorted_offsets = order_of(places(offsets, normal_of(orientation)), orientation)
    assert order == [1, 2, 0, 3]
    np.testing.assert_allclose(np.diff(sorted_offsets), 2)


def test_many_slices_at_one_position_then_kept_in_the_given_order():
    order, _ = order_of(places(np.zeros(300)), AXIAL)
    assert order == list(range(300))


def test_affine_then_every_slice_where_its_header_says():
    positions = places([0, 2, 4])
    affine = stack_affine(positions, AXIAL, (0.8, 0.7), names=list("abc"))
    np.testing.assert_allclose(index_to_world([[0, 0, k] for k in range(3)], affine), positions)
    np.testing.assert_allclose(index_to_world([1, 0, 0], affine) - positions[0], [0.7, 0, 0])
    np.testing.assert_allclose(index_to_world([0, 1, 0], affine) - positions[0], [0, 0.8, 0])


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        ([0, 2, 6, 8, 10], "1 missing between b and c: 4 mm apart, 2 mm elsewhere"),
        ([0, 2, 4, 12, 14, 16], "3 missing between c and d"),
        ([0, 2, 2.01, 4, 6, 8], "b and c have the same position"),
        ([0, 0, 0], "a and b have the same position"),
        ([0, 2, 4, 7, 9, 11], "unevenly spaced between c and d"),
        ([0], "at least 2"),
    ],
    ids=["one-missing", "three-missing", "doubled", "all-doubled", "uneven", "single"],
)
def test_slices_that_are_no_even_stack_then_refused_by_name(offsets, said):
    with pytest.raises(ValueError, match=said):
        even_step(offsets, list("abcdef"))


def test_positions_rounded_to_two_decimals_then_even():
    offsets = np.round(np.arange(100) * 1.6037, 2)
    assert even_step(offsets, [""] * 100) == pytest.approx(1.6037, abs=1e-3)


def test_one_slice_moved_sideways_then_refused():
    positions = places([0, 2, 4, 6])
    positions[1, 0] += 0.5
    with pytest.raises(ValueError, match="b lies 0.500 mm off the line"):
        stack_affine(positions, AXIAL, (0.8, 0.7), names=list("abcd"))


def test_thin_slice_moved_sideways_then_measured_by_its_thickness_not_by_its_pixels():
    positions = places([0, 0.5, 1, 1.5])
    positions[1, 0] += 0.2
    with pytest.raises(ValueError, match="b lies 0.200 mm off the line"):
        stack_affine(positions, AXIAL, (3.0, 3.0), names=list("abcd"))
    thick = places([0, 5, 10, 15])
    thick[1, 0] += 0.2
    assert stack_affine(thick, AXIAL, (3.0, 3.0), names=list("abcd"))[2, 2] == 5


def test_tilted_gantry_then_refused():
    with pytest.raises(ValueError, match="^slices: the axes must be perpendicular"):
        stack_affine(places([0, 2, 4]), TILTED, (0.8, 0.7), names=list("abc"))


def test_axes_that_are_no_unit_vectors_then_refused():
    with pytest.raises(ValueError, match="must be two unit axes"):
        normal_of([2, 0, 0, 0, 1, 0])


@pytest.mark.parametrize("orientation", [[1.01, 0, 0, 0, 1, 0], [1, 0, 0, 0.01, 1, 0]])
def test_axes_a_hundredth_off_then_refused(orientation):
    with pytest.raises(ValueError, match="must be two unit axes"):
        normal_of(orientation)
