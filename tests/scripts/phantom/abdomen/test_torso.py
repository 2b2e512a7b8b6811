from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.abdomen.build import draw_body
from scripts.phantom.abdomen.torso import WALL_MM, Torso, draw_torso
from scripts.phantom.outlines import HEIGHTS


@pytest.fixture(params=range(4), ids="seed {}".format)
def torso(request: pytest.FixtureRequest) -> Torso:
    rng = np.random.default_rng(request.param)
    return draw_torso(draw_body(rng, "portal"), rng)


def test_layers_then_from_the_inside_out_cavity_muscle_skin(torso: Torso) -> None:
    shown = (HEIGHTS > -150) & (HEIGHTS < 120)
    assert (torso.muscle[shown] > torso.cavity[shown]).all()
    assert (torso.skin[shown] > torso.muscle[shown]).all()
    assert np.median((torso.muscle - torso.cavity)[shown]) > 0.8 * WALL_MM


def test_diaphragm_then_highest_under_its_domes_and_right_above_left(torso: Torso) -> None:
    sx, _, sz = torso.body.scale
    across = np.linspace(-110, 110, 221, dtype=np.float32) * np.float32(sx)
    heights = torso.diaphragm(across, np.zeros_like(across))
    right, left = heights[across < -30 * sx].max(), heights[across > 30 * sx].max()
    assert right == pytest.approx(sz * torso.domes_mm[0], abs=6)
    assert left == pytest.approx(sz * torso.domes_mm[1], abs=6)
    assert heights[[0, -1]].max() < min(right, left)
