"""Slices of a tilted gantry or at uneven distances, of the analytic chest: to a grid and back."""

import numpy as np
import pytest

from scripts.volumes.resampling import AIR_HU, SliceStack, regular_grid, to_grid, to_slices
from tests.analytic.independent import centroid_of
from tests.analytic.phantom import CENTROID, THRESHOLD_HU, VOLUME_ML, hu_at
from tests.analytic.stacks import EDGES_MM, SHAPE, STACKS, stack_of


def hu_of(stack):
    return np.stack([hu_at(stack.points(k)) for k in range(len(stack.positions))])


def spacing_of(grid):
    return np.linalg.norm(grid.affine_lps[:3, :3], axis=0)


@pytest.mark.parametrize("name", STACKS)
def test_stack_resampled_then_the_nodule_of_the_right_volume_in_its_place(name):
    stack = stack_of(name)
    grid, hu = regular_grid(stack), hu_of(stack)
    found = to_grid(hu, stack, grid)
    mask = found > THRESHOLD_HU
    assert (found.shape, found.dtype) == (grid.shape, np.int16)
    volume_ml = mask.sum() * spacing_of(grid).prod() / 1000
    assert volume_ml == pytest.approx(VOLUME_ML, rel=0.03)
    assert np.abs(centroid_of(mask, grid.affine_lps) - CENTROID).max() < 0.2
    restored, right = to_slices(mask, stack, grid.affine_lps), hu > THRESHOLD_HU
    assert 2 * (restored & right).sum() / (restored.sum() + right.sum()) > 0.95


def test_even_stack_then_the_same_voxels_there_and_back():
    stack = stack_of("even")
    grid, hu = regular_grid(stack), hu_of(stack)
    np.testing.assert_array_equal(to_grid(hu, stack, grid), hu)
    np.testing.assert_array_equal(to_slices(hu, stack, grid.affine_lps), hu)


@pytest.mark.parametrize("name", ["one slice missing", "thin, then thick"])
def test_slices_at_multiples_of_the_smallest_distance_then_kept_as_they_are(name):
    stack = stack_of(name)
    grid, hu = regular_grid(stack), hu_of(stack)
    offsets = (stack.positions - stack.positions[0]) @ stack.normal
    kept = np.rint(offsets / spacing_of(grid)[2]).astype(int)
    np.testing.assert_array_equal(to_grid(hu, stack, grid)[kept], hu)


def test_hu_linear_in_place_then_exact_on_the_grid():
    stack = stack_of("uneven and tilted")
    slopes = np.array([2.0, -3.0, 5.0])
    hu = np.stack([stack.points(k) @ slopes for k in range(len(stack.positions))])
    grid = regular_grid(stack)
    k, j, i = np.indices(grid.shape)
    points = np.stack([i, j, k], axis=-1) @ grid.affine_lps[:3, :3].T + grid.affine_lps[:3, 3]
    inner = slice(4, -4), slice(24, -24), slice(4, -4)
    np.testing.assert_allclose(to_grid(hu, stack, grid)[inner], (points @ slopes)[inner], atol=0.01)


def test_outside_of_the_slices_then_air_and_inside_covered():
    stack = stack_of("tilted by -12 degrees")
    ones = np.full((len(stack.positions), *SHAPE), 40, np.int16)
    found = to_grid(ones, stack, regular_grid(stack))
    assert set(np.unique(found)) == {AIR_HU, 40}
    assert (found == 40).sum() >= ones.size


@pytest.mark.parametrize(("tilt", "parallel"), [(6.0, True), (-12.0, True), (24.0, False)])
def test_grid_of_a_tilted_gantry_then_parallel_to_the_slices_unless_too_oblique(tilt, parallel):
    stack = stack_of(f"tilted by {tilt:g} degrees")
    assert stack.tilt_degrees == pytest.approx(abs(tilt))
    normal = regular_grid(stack).affine_lps[:3, 2]
    angle = np.degrees(np.arccos(normal @ stack.normal / np.linalg.norm(normal)))
    assert angle == pytest.approx(0 if parallel else abs(tilt), abs=1e-4)


def stack_at(positions):
    return SliceStack(np.array(positions, float), np.eye(3)[:2], EDGES_MM, SHAPE)


def test_two_slices_close_together_then_at_most_four_for_each_of_the_source():
    heights = [*range(0, 100, 5), 95.3]
    grid = regular_grid(stack_at([(0, 0, z) for z in heights]))
    assert grid.shape[0] <= 4 * len(heights)
    assert spacing_of(grid)[:2].tolist() == list(EDGES_MM)


def test_slices_shifted_by_more_than_their_size_then_refused():
    with pytest.raises(ValueError, match="slices: together they are 695 mm wide"):
        regular_grid(stack_at([(0, 0, 0), (0, 0, 3), (500, 0, 6), (0, 0, 9)]))


def test_remark_and_record_then_distances_and_tilt():
    stack = stack_of("uneven and tilted")
    assert "gantry tilted by 8.0 degrees, slices 3 to 4 mm apart" in stack.remark()
    assert stack.record()["slice_distances_mm"] == [3.0, 4.0]
    assert stack.record()["tilt_degrees"] == 8.0
    assert "tilted" not in stack_of("uneven").remark()
    assert "degrees, slices 3.5 mm apart" in stack_of("tilted by 6 degrees").remark()


@pytest.mark.parametrize("name", ["uneven", "uneven and tilted", "thin, then thick"])
def test_grid_then_begins_and_ends_with_the_slices_of_the_source(name):
    stack = stack_of(name)
    grid = regular_grid(stack)
    ends = [grid.affine_lps @ [0, 0, k, 1] for k in (0, grid.shape[0] - 1)]
    for end, position in zip(ends, stack.positions[[0, -1]], strict=True):
        assert (end[:3] - position) @ stack.normal == pytest.approx(0, abs=1e-6)


def test_points_beyond_the_last_slices_then_the_stack_goes_on_for_one():
    stack = stack_of("uneven and tilted")
    first, last = stack.positions[:2], stack.positions[-2:]
    around = np.stack([first[0] - (first[1] - first[0]) / 2, last[1] + (last[1] - last[0]) / 2])
    expected = [[-0.5, len(stack.positions) - 0.5], [0, 0], [0, 0]]
    np.testing.assert_allclose(stack.index_of(around), expected, atol=1e-9)


def test_hu_between_slices_then_rounded():
    stack = stack_at([(0, 0, 0), (0, 0, 1), (0, 0, 4)])
    hu = np.stack([np.full(SHAPE, value, np.int16) for value in (0, 0, 2)])
    found = to_grid(hu, stack, regular_grid(stack))
    assert found[:, 5, 5].tolist() == [0, 0, 1, 1, 2]
