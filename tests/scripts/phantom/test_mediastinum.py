from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.build import draw_build
from scripts.phantom.mediastinum import (
    Tube,
    along,
    draw_mediastinum,
    paint_airways,
    paint_tube,
    smooth_line,
)
from scripts.phantom.outlines import LEFT, RIGHT
from scripts.phantom.solids import Grid

CORNER = np.array([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0], [10.0, 10.0, 0.0]])


@pytest.fixture
def grid() -> Grid:
    axis = np.arange(-20, 21, dtype=np.float32)
    return Grid(axis, axis, axis, (1.0, 1.0, 1.0))


def test_smooth_line_then_the_same_ends_and_no_corner() -> None:
    line = smooth_line(CORNER)
    np.testing.assert_array_equal(line[[0, -1]], CORNER[[0, -1]])
    steps = np.diff(line, axis=0)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    assert (np.sum(steps[1:] * steps[:-1], axis=1) > 0.5).all()


def test_points_along_a_line_then_no_further_apart_than_asked() -> None:
    points = along(CORNER, 1.5)
    assert np.linalg.norm(np.diff(points, axis=0), axis=1).max() <= 1.5 + 1e-9


def test_organs_then_reach_further_to_the_left_where_the_heart_lies() -> None:
    build = draw_build(np.random.default_rng(0))
    organs = draw_mediastinum(build, np.random.default_rng(0))
    y, z = np.meshgrid(np.arange(-60.0, 20.0, 2), np.arange(-60.0, -20.0, 2))
    assert organs.reach(y, z, LEFT).max() > organs.reach(y, z, RIGHT).max() > 0


def test_tube_then_its_value_along_its_axis_only(grid: Grid) -> None:
    volume = np.zeros(grid.shape, np.float32)
    points = np.array([[0.0, 0.0, -15.0], [0.0, 0.0, 15.0]])
    paint_tube(volume, grid, Tube("blood", points, 4.0), 42.0)
    assert volume[20, 20, 20] == 42
    assert volume[20, 20, 30] == 0
    assert (volume > 21).sum() == pytest.approx(np.pi * 16 * 30, rel=0.25)


def test_airway_then_air_inside_a_wall(grid: Grid) -> None:
    build = draw_build(np.random.default_rng(0))
    volume = np.full(grid.shape, -850, np.float32)
    points = np.array([[0.0, 0.0, -15.0], [0.0, 0.0, 15.0]])
    paint_airways(volume, grid, (Tube("air", points, 6.0),), build)
    assert volume[20, 20, 20] < -950
    assert volume[20, 20].max() > -500
