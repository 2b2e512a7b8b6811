from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.outlines import ANGLES, HEIGHTS
from scripts.phantom.patient import Patient, draw_patient
from scripts.phantom.skeleton import blade_depth, paint_spine, rib_height, scapula_table
from scripts.phantom.solids import Grid


@pytest.fixture(scope="module")
def patient() -> Patient:
    return draw_patient(np.random.default_rng(3))


def test_ribs_then_cross_a_vertical_line_at_the_side_many_times(patient: Patient) -> None:
    across, _ = patient.ribs
    column = across[(HEIGHTS > -120) & (HEIGHTS < 90), 0]
    inside = np.abs(column) < np.abs(column).min() + 4.0
    crossings = np.count_nonzero(np.diff(inside.astype(int)) == 1)
    assert 5 <= crossings <= 14


def test_rib_then_falls_from_the_spine_to_its_bony_end() -> None:
    turn = np.linspace(0, 120, 50)
    heights = rib_height(turn, 60.0, 120.0, 5)
    assert heights[0] == pytest.approx(0, abs=1)
    assert abs(heights[-1]) == pytest.approx(60, abs=15)


def test_spine_then_bone_in_the_middle_of_the_back_only(patient: Patient) -> None:
    side = np.arange(-100, 101, 2, dtype=np.float32)
    grid = Grid(side, side, np.arange(-20, 21, 2, dtype=np.float32), (2.0, 2.0, 2.0))
    volume = np.full(grid.shape, 50, np.float32)
    paint_spine(volume, grid, patient.build)
    z, y, x = np.nonzero(volume > 300)
    assert len(z) > 500
    assert abs(grid.x[x].mean()) < 2
    assert grid.y[y].mean() > 40
    assert np.abs(grid.x[x]).max() < 60


def test_shoulder_blades_then_behind_and_high_at_both_sides(patient: Patient) -> None:
    table = scapula_table(patient.outlines)
    assert table.shape == (len(HEIGHTS), ANGLES)
    rows, columns = np.nonzero(table < 0)
    assert HEIGHTS[rows].mean() > 0
    backward = np.sin(columns * 2 * np.pi / ANGLES)
    assert backward.mean() > 0.2
    sides = np.cos(columns * 2 * np.pi / ANGLES)
    assert (sides > 0).any()
    assert (sides < 0).any()
    assert blade_depth(patient.outlines).shape[-1] == ANGLES
