from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.abdomen.organs import liver_at
from scripts.phantom.abdomen.patient import Patient, draw_patient
from scripts.phantom.abdomen.vessels import COURSES


@pytest.fixture(scope="module")
def patient() -> Patient:
    return draw_patient(np.random.default_rng(2), "portal")


def test_great_vessels_then_each_course_once_with_one_calibre(patient: Patient) -> None:
    assert [tube.tissue for tube in patient.vessels] == [course[0] for course in COURSES]
    ratios = [t.radius_mm / c[1] for t, c in zip(patient.vessels, COURSES, strict=True)]
    np.testing.assert_allclose(ratios, ratios[0])


def test_trees_of_the_liver_then_taper_and_stay_inside_it(patient: Patient) -> None:
    assert [tissue for tissue, _ in patient.trees] == ["hepatic_vein", "portal_vein"]
    for _, tree in patient.trees:
        assert len(tree.ends) > 20
        assert (tree.radii[:, 0] >= tree.radii[:, 1]).all()
        thin = tree.radii[:, 0] < 3
        assert (liver_at(patient.organs, patient.torso, tree.ends[thin, 1]) < 0).mean() > 0.95
