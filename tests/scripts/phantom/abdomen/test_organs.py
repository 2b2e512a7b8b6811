from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.abdomen.organs import liver_at, wall_at
from scripts.phantom.abdomen.patient import Patient, draw_patient


@pytest.fixture(scope="module")
def patient() -> Patient:
    return draw_patient(np.random.default_rng(5), "portal")


def test_liver_then_on_the_right_inside_the_wall_and_below_the_dome(patient: Patient) -> None:
    points = np.random.default_rng(0).uniform((-130, -100, -120), (130, 100, 110), (20000, 3))
    inside = liver_at(patient.organs, patient.torso, points) < 0
    centre = points[inside].mean(axis=0)
    assert centre[0] < -20
    assert (wall_at(patient.torso, points[inside]) < 0).mean() > 0.999
    x, y, z = points[inside].astype(np.float32).T
    assert (z < patient.torso.diaphragm(x, y) + 1).mean() > 0.99


def test_kidneys_then_left_on_the_left_and_higher_than_the_right(patient: Patient) -> None:
    left, right = (kidney.outline.centre for kidney in patient.organs.kidneys)
    assert left[0] > 30
    assert right[0] < -30
    assert left[2] > right[2]


def test_kidney_then_hollow_where_its_sinus_lies(patient: Patient) -> None:
    kidney = patient.organs.kidneys[0]
    x, y, z = (np.float32([value]) for value in kidney.sinus.centre)
    assert kidney.outline.distance((x, y, z)) < 6
    assert kidney.distance((x, y, z)) > 0
