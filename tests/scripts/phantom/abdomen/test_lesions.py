from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from scripts.phantom.abdomen.lesions import LARGEST_MM, SMALLEST_MM, draw_lesions
from scripts.phantom.abdomen.organs import liver_at
from scripts.phantom.abdomen.patient import draw_patient


def test_liver_without_room_for_lesions_is_refused_saying_what_to_change() -> None:
    patient = draw_patient(np.random.default_rng(0), "portal")
    with pytest.raises(ValueError, match="no room for 40 lesions; raise slices"):
        draw_lesions(
            patient.organs,
            patient.torso,
            np.random.default_rng(0),
            counts=(40, 0),
            heights_mm=(10.0, 14.0),
        )


def test_lesions_then_as_many_as_asked_inside_the_liver_and_apart() -> None:
    patient = draw_patient(np.random.default_rng(0), "portal")
    lesions = draw_lesions(
        patient.organs,
        patient.torso,
        np.random.default_rng(1),
        counts=(3, 2),
        heights_mm=(-40.0, 80.0),
    )
    assert [lesion.is_tumour for lesion in lesions] == [True] * 3 + [False] * 2
    assert len({lesion.kind for lesion in lesions if lesion.is_tumour}) == 1
    centres = np.array([lesion.solid.centre for lesion in lesions])
    assert (liver_at(patient.organs, patient.torso, centres) < -SMALLEST_MM * 0.8).all()
    assert ((centres[:, 2] > -40) & (centres[:, 2] < 80)).all()
    for one, other in combinations(lesions, 2):
        radii = one.solid.half_axes.min() + other.solid.half_axes.min()
        assert np.linalg.norm(one.solid.centre - other.solid.centre) > radii
    sizes = np.concatenate([lesion.solid.half_axes for lesion in lesions])
    assert (sizes >= 0.8 * SMALLEST_MM).all()
    assert (sizes <= 1.2 * LARGEST_MM).all()
