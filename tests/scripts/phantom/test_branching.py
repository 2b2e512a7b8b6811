from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.branching import Tree, joined, tree_share, unit
from scripts.phantom.outlines import LEFT, RIGHT
from scripts.phantom.patient import Patient, draw_patient
from scripts.phantom.solids import Grid


@pytest.fixture(scope="module")
def patient() -> Patient:
    return draw_patient(np.random.default_rng(3))


def straight(radius_mm: float) -> Tree:
    ends = np.array([[[-20.0, 0.0, 0.0], [20.0, 0.0, 0.0]]])
    return Tree(ends, np.full((1, 2), radius_mm))


def test_vessels_taper_and_stay_in_the_lungs(patient: Patient) -> None:
    tree = patient.vessels
    assert len(tree.ends) > 2000
    assert (tree.radii[:, 0] >= tree.radii[:, 1]).all()
    thin = tree.radii[:, 0] < 1.5
    tips = tree.ends[thin, 1]
    side = np.where(tips[:, 0] > 0, LEFT, RIGHT)
    for each in (LEFT, RIGHT):
        inside = patient.outlines.lung_distance(tips[side == each], each) < 0
        assert inside.mean() > 0.97


def test_distance_then_to_the_surface_and_negative_inside() -> None:
    tree = straight(3.0)
    assert tree.distance(np.array([0.0, 10.0, 0.0])) == pytest.approx(7.0, abs=0.1)
    assert tree.distance(np.array([0.0, 1.0, 0.0])) < 0


def test_thicker_then_only_segments_that_start_so() -> None:
    both = joined([straight(3.0), straight(1.0)])
    assert len(both.ends) == 2
    assert both.thicker(2.0).radii.tolist() == [[3.0, 3.0]]


def test_share_of_a_tree_then_its_volume_and_more_when_widened() -> None:
    axis = np.arange(-30, 31, dtype=np.float32)
    grid = Grid(axis, axis, axis, (1.0, 1.0, 1.0))
    assert tree_share(straight(5.0), grid).sum() == pytest.approx(np.pi * 25 * 40, rel=0.2)
    assert tree_share(straight(5.0), grid, widen_mm=2.0).sum() > np.pi * 36 * 40


def test_unit_then_length_one_in_the_same_direction() -> None:
    assert unit(np.array([[3.0, 0.0, 4.0]])).tolist() == [[0.6, 0.0, 0.8]]
