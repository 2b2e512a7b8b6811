from pathlib import Path

import numpy as np
import pytest

from scripts.datasets.luna16.outlines import Outlines
from scripts.evaluation.readers.measured import Grid, SeriesTask, dice, measure_series
from tests.scripts.datasets.luna16.lidc_files import write_database
from tests.scripts.evaluation.readers.made_up import FIRST_Z, SHAPE, SPACING, nodule

ORIGIN = (-120.0, -95.0)


def task(tmp_path, readers, listed, position=None) -> SeriesTask:
    file = write_database(tmp_path / "a.sqlite", {"1.1": Outlines("1.1", readers)})
    return SeriesTask("1.1", "P1", file, Grid(SHAPE, SPACING, FIRST_Z, position), tuple(listed))


@pytest.fixture
def readers():
    """A listed nodule of two readers around (20, 20, 3), and one of a single reader."""
    first = [nodule("Nodule 001", 20, 20, (2, 3, 4), texture=5, malignancy=4)]
    second = [nodule("8", 22, 20, (2, 3, 4), texture=5), nodule("9", 45, 45, (8,), texture=1)]
    return [first, second]


@pytest.mark.parametrize("position", [None, (1, ORIGIN)], ids=["shifted", "known"])
def test_nodules_then_readers_votes_ball_and_ratings(tmp_path, readers, position):
    listed = [(ORIGIN[0] + 10.5, ORIGIN[1] + 10.0, FIRST_Z + 6.0, 5.0), (0.0, 0.0, FIRST_Z, 6.0)]
    measured = measure_series(task(tmp_path, readers, listed, position))
    assert measured.problem is None
    own, single, lost = measured.nodules
    assert (own["listed"], own["readers"], own["texture_group"]) == (True, 2, "solid")
    assert (own["voxels_ge1"], own["voxels_ge2"], own["voxels_ge3"]) == (3 * 99, 3 * 63, 0)
    assert (own["malignancy"], own["malignancy_median"]) == ("4|3", 3.5)
    assert own["readers_dice"] == pytest.approx(2 * 63 / 162, abs=1e-5)
    assert own["position"] == ("shifted" if position is None else "header")
    assert own["shift_error_mm"] == (None if position is None else pytest.approx(0, abs=1e-6))
    # the ball of 5 mm around (21, 20, 3) and the 7 x 9 pixels that both outlined, on three slices
    rows, columns = np.mgrid[:64, :64]
    near = [((columns - 21) ** 2 + (rows - 20) ** 2) / 4 + (2 * k) ** 2 <= 6.25 for k in (-1, 0, 1)]
    both = (abs(columns - 21) <= 3) & (abs(rows - 20) <= 4)
    shared = sum((plane & both).sum() for plane in near)
    count = sum(plane.sum() for plane in near)
    assert own["ball_volume_ratio"] == pytest.approx(count / 189, abs=1e-5)
    assert own["ball_dice"] == pytest.approx(2 * shared / (count + 189), abs=1e-5)
    assert (single["listed"], single["readers"], single["texture_group"]) == (
        False,
        1,
        "ground_glass",
    )
    assert single["readers_dice"] is None
    assert (lost["listed"], lost["readers"], lost["luna16_diameter_mm"]) == (True, 0, 6.0)


def test_pairs_then_one_row_for_two_readers(tmp_path, readers):
    (pair,) = measure_series(task(tmp_path, readers, [])).pairs
    assert (pair["nodule"], pair["reader_a"], pair["reader_b"]) == (1, 1, 2)
    assert pair["dice"] == pytest.approx(2 * 63 / 162, abs=1e-5)


def test_series_whose_outlines_do_not_fit_its_grid_then_a_problem(tmp_path, readers):
    one = task(tmp_path, readers, [])
    shifted = SeriesTask("1.1", "P1", one.file, Grid(SHAPE, SPACING, FIRST_Z + 0.9), ())
    assert "lies between slices" in str(measure_series(shifted).problem)
    gone = SeriesTask("9.9", "P1", one.file, one.grid, ())
    assert "none of its 1 series is 9.9" in str(measure_series(gone).problem)
    absent = SeriesTask("1.1", "P1", Path("none.xml"), one.grid, ())
    assert "no such file" in str(measure_series(absent).problem)


def test_dice_then_of_sets_of_voxels():
    one, other = np.array([1, 5, 9]), np.array([5, 9, 10, 11])
    assert dice(one, other) == pytest.approx(4 / 7)
    assert dice(one, np.zeros(0, int)) == 0
