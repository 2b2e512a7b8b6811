from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.outlines import (
    ANGLES,
    HEIGHTS,
    LEFT,
    RIB_SHELL_MM,
    RIGHT,
    Outlines,
    at_heights,
    bump,
    smooth_step,
    superellipse,
    turn_from_back,
    wobble,
)
from scripts.phantom.patient import draw_patient


@pytest.fixture(scope="module")
def outlines() -> Outlines:
    return draw_patient(np.random.default_rng(3)).outlines


def test_layers_then_from_the_inside_out_cage_muscle_skin(outlines: Outlines) -> None:
    assert (outlines.skin > outlines.muscle).all()
    assert (outlines.skin > outlines.cage).all()
    assert np.median(outlines.skin - outlines.cage) > RIB_SHELL_MM


def test_lungs_then_at_their_own_side_only(outlines: Outlines) -> None:
    points = np.array([[75.0, 0.0, 0.0], [-75.0, 0.0, 0.0]])
    assert (outlines.lung_distance(points, LEFT) < 0).tolist() == [True, False]
    assert (outlines.lung_distance(points, RIGHT) < 0).tolist() == [False, True]


def test_diaphragm_then_below_the_apex_everywhere(outlines: Outlines) -> None:
    x, y = np.meshgrid(np.arange(20.0, 100), np.arange(-60.0, 60))
    assert (outlines.floor(x, y, LEFT) < outlines.ceiling(x, y, LEFT)).mean() > 0.9
    low, high = outlines.extent_mm
    assert low < -100 < 100 < high


def test_table_at_its_own_heights_then_unchanged_and_linear_between() -> None:
    table = np.arange(len(HEIGHTS), dtype=float)[:, None] * np.ones(3)
    found = at_heights(table, HEIGHTS[5:7])
    np.testing.assert_allclose(found[:, 0], [5, 6])
    np.testing.assert_allclose(at_heights(table, HEIGHTS[5:6] + 0.5)[0], 5.25)


def test_table_beyond_its_heights_then_its_ends() -> None:
    table = np.arange(len(HEIGHTS), dtype=float)[:, None]
    found = at_heights(table, np.array([-1e3, 1e3]))
    np.testing.assert_allclose(found[:, 0], [0, len(HEIGHTS) - 1], atol=0.01)


def test_superellipse_of_power_two_then_an_ellipse() -> None:
    radii = superellipse(np.array([30.0]), np.array([20.0]), np.array([10.0]), 2.0)[0]
    quarter = ANGLES // 4
    np.testing.assert_allclose(radii[[0, quarter, 2 * quarter, 3 * quarter]], [30, 10, 30, 20])


def test_wobble_then_of_its_amplitude_and_closed_around_the_body() -> None:
    drawn = wobble(np.random.default_rng(0), 2.0, 14.0, 60.0)
    assert drawn.std() == pytest.approx(2.0, rel=0.1)
    assert np.abs(drawn[:, 0] - drawn[:, -1]).max() < 1.0


def test_step_and_bump_then_their_ends_and_height() -> None:
    assert smooth_step(np.array([0.0, 5.0, 10.0]), 0.0, 10.0).tolist() == [0.0, 0.5, 1.0]
    assert bump(np.array([7.0]), 7.0, 2.0) == 1.0


def test_turn_from_the_back_then_0_there_and_180_in_front() -> None:
    turn = turn_from_back()
    assert turn[ANGLES // 4] == pytest.approx(0)
    assert turn[3 * ANGLES // 4] == pytest.approx(180)
