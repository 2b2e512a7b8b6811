import tracemalloc

import numpy as np
import pytest

from scripts.prediction.measures.diameters import (
    _blocks,
    _row_ends,
    measure_diameters,
)


def disc(diameter_mm, row_mm, column_mm, *, squeeze=1.0, degrees=0.0, shift=(0.0, 0.0)):
    """(1, Y, X): an ellipse of a length, and ``squeeze`` times that across, turned."""
    rows, columns = (int(diameter_mm / mm) + 6 for mm in (row_mm, column_mm))
    y = (np.arange(rows) - rows / 2 + shift[0])[:, None] * row_mm
    x = (np.arange(columns) - columns / 2 + shift[1])[None] * column_mm
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    along, across = c * x + s * y, c * y - s * x
    return (along**2 + (across / squeeze) ** 2 <= (diameter_mm / 2) ** 2)[None]


@pytest.mark.parametrize(
    ("shape", "longest", "perpendicular"),
    [
        # a single voxel measures as one voxel
        ((1, 1), 0.7, 0.5),
        # a row is as long as its voxels' outer edges are apart
        ((1, 9), 9 * 0.7, 0.5),
        ((9, 1), 9 * 0.5, 0.7),
    ],
)
def test_rows_of_voxels_then_exact(shape, longest, perpendicular):
    found = measure_diameters(np.ones((1, *shape), bool), 0.5, 0.7)
    assert found.longest_mm == pytest.approx(longest)
    assert found.perpendicular_mm == pytest.approx(perpendicular)


def test_square_of_square_voxels_then_its_diagonals_with_the_corners_cut():
    found = measure_diameters(np.ones((1, 20, 20), bool), 1.0, 1.0)
    # the outline cuts each corner voxel's corner off: (0, 0.5) to (20, 19.5)
    assert found.longest_mm == pytest.approx(np.hypot(20, 19))
    assert found.perpendicular_mm == pytest.approx(np.hypot(20, 19), abs=0.75)


@pytest.mark.parametrize(("row_mm", "column_mm"), [(1.0, 1.0), (0.5, 0.9), (0.8, 0.6)])
@pytest.mark.parametrize("degrees", [0, 20, 45, 90, 130])
@pytest.mark.parametrize("squeeze", [1.0, 0.6, 0.35])
def test_ellipses_then_within_a_voxels_diagonal(row_mm, column_mm, degrees, squeeze):
    found = measure_diameters(
        disc(24.3, row_mm, column_mm, squeeze=squeeze, degrees=degrees), row_mm, column_mm
    )
    diagonal = np.hypot(row_mm, column_mm)
    assert abs(found.longest_mm - 24.3) <= diagonal
    assert abs(found.perpendicular_mm - 24.3 * squeeze) <= diagonal


def test_discs_of_all_sizes_then_long_by_less_than_a_voxels_edge():
    rng = np.random.default_rng(0)
    sizes = rng.uniform(5, 30, 150)
    masks = [disc(size, 0.7, 0.7, shift=rng.uniform(-0.5, 0.5, 2)) for size in sizes]
    found = [measure_diameters(mask, 0.7, 0.7) for mask in masks]
    errors = np.array([each.longest_mm for each in found]) - sizes
    assert 0.5 * 0.7 < errors.mean() < 0.9 * 0.7  # as the docstring says
    assert abs(errors).max() <= np.hypot(0.7, 0.7)


def test_ends_lie_as_far_apart_as_the_length_and_at_a_right_angle():
    found = measure_diameters(disc(20, 0.5, 0.9, squeeze=0.5, degrees=30), 0.5, 0.9)
    along, across = (
        (ends[1] - ends[0]) * (0.5, 0.9) for ends in (found.longest_ends, found.perpendicular_ends)
    )
    assert np.linalg.norm(along) == pytest.approx(found.longest_mm)
    assert np.linalg.norm(across) == pytest.approx(found.perpendicular_mm)
    assert along @ across == pytest.approx(0, abs=1e-9)


def test_slice_of_the_longest_diameter_then_chosen_and_numbered():
    mask = np.zeros((5, 9, 9), bool)
    mask[1, 4, 4:6], mask[2, 4, 2:8], mask[3, 3:6, 3:6] = True, True, True
    assert measure_diameters(mask, 1, 1, first_slice=30).slice_index == 32


def test_hollow_and_parted_nodules_then_measured_across_the_gap():
    ring = disc(20, 0.5, 0.5) & ~np.pad(disc(12, 0.5, 0.5), ((0, 0), (8, 8), (8, 8)))
    whole = measure_diameters(disc(20, 0.5, 0.5), 0.5, 0.5)
    hollow = measure_diameters(ring, 0.5, 0.5)
    assert hollow.longest_mm == pytest.approx(whole.longest_mm)
    assert hollow.perpendicular_mm == pytest.approx(whole.perpendicular_mm)
    parts = np.zeros((1, 5, 12), bool)
    parts[0, 2, [1, 10]] = True
    assert measure_diameters(parts, 1, 1).longest_mm == pytest.approx(10)


@pytest.mark.parametrize("mask", [np.zeros((2, 3, 3), bool), np.ones((3, 3), bool)])
def test_nothing_to_measure_then_refused(mask):
    with pytest.raises(ValueError, match="with at least one voxel"):
        measure_diameters(mask, 1, 1)


def test_ragged_component_then_measured_in_bounded_memory(monkeypatch):
    mask = np.random.default_rng(0).random((2, 60, 60)) > 0.45
    whole = measure_diameters(mask, 0.7, 0.9)
    monkeypatch.setattr("scripts.prediction.measures.diameters.PAIRS_AT_ONCE", 500)
    tracemalloc.start()
    in_blocks = measure_diameters(mask, 0.7, 0.9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6  # 3,600 voxels; all pairs at once would take 500 MB
    assert in_blocks.longest_mm == whole.longest_mm
    assert in_blocks.perpendicular_mm == whole.perpendicular_mm
    np.testing.assert_array_equal(in_blocks.perpendicular_ends, whole.perpendicular_ends)


def test_edges_in_blocks_then_each_once_and_about_as_many_pairs_as_allowed(monkeypatch):
    monkeypatch.setattr("scripts.prediction.measures.diameters.PAIRS_AT_ONCE", 100)
    pairs = np.random.default_rng(1).integers(1, 40, 500)
    blocks = list(_blocks(pairs))
    assert [edge for block in blocks for edge in range(500)[block]] == list(range(500))
    assert max(pairs[block].sum() for block in blocks) < 100 + pairs.max()
    assert len(blocks) <= pairs.sum() // 100 + 1


def test_perpendicular_when_an_edge_runs_across_beside_a_notch_then_within_the_outline():
    mask = np.ones((1, 9, 21), bool)
    mask[0, :4, 8:13] = False
    found = measure_diameters(mask, 1.0, 1.0)
    ends = found.perpendicular_ends
    assert found.perpendicular_mm <= np.hypot(9, 9)
    assert (ends >= -0.5 - 1e-9).all()
    assert (ends <= np.array([8.5, 20.5]) + 1e-9).all()


def test_perpendicular_that_ends_at_a_voxel_farthest_along_then_reaches_it():
    mask = np.array([[[0, 1, 1], [0, 0, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0]]], bool)
    assert measure_diameters(mask, 1, 1).perpendicular_mm == pytest.approx(np.sqrt(5))


@pytest.mark.parametrize("last", [5, 6])
def test_ends_of_a_row_then_half_a_voxel_outside_its_first_and_last(last):
    mask = np.zeros((3, 9), bool)
    mask[1, 2 : last + 1] = True
    assert _row_ends(mask).tolist() == [[1, 1.5], [1, last + 0.5]]
