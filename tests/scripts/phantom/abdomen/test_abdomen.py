from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.abdomen.abdomen import paint_abdomen
from scripts.phantom.abdomen.canvas import BITS
from scripts.phantom.abdomen.lesions import draw_lesions
from scripts.phantom.abdomen.patient import draw_patient
from scripts.phantom.solids import Grid

PIXEL_MM, STEP_MM = 3.0, 4.0
# plausible volumes in mL of adults, generous
VOLUMES_ML = {
    "liver": (700, 3000),
    "spleen": (40, 600),
    "left_kidney": (80, 300),
    "right_kidney": (80, 300),
    "bone": (350, 1300),
    "stomach": (80, 900),
    "gallbladder": (10, 90),
}


def whole_grid() -> Grid:
    side = (np.arange(136, dtype=np.float32) - 67.5) * np.float32(PIXEL_MM)
    heights = np.arange(-120, 108, STEP_MM, dtype=np.float32)
    return Grid(side, side, heights, (PIXEL_MM, PIXEL_MM, STEP_MM))


@pytest.fixture(scope="module", params=[(1, "portal"), (2, "arterial")], ids=["portal", "arterial"])
def drawn(request):
    seed, phase = request.param
    patient = draw_patient(np.random.default_rng(seed), phase)
    lesions = draw_lesions(
        patient.organs,
        patient.torso,
        np.random.default_rng(9),
        counts=(2, 1),
        heights_mm=(-40.0, 80.0),
    )
    grid = whole_grid()
    return patient, grid, lesions, *paint_abdomen(patient, grid, lesions)


def structure(labels: np.ndarray, name: str) -> np.ndarray:
    return (labels & BITS[name]) != 0


def test_organs_have_the_size_of_organs(drawn) -> None:
    labels = drawn[4]
    for name, (low, high) in VOLUMES_ML.items():
        volume = structure(labels, name).sum() * PIXEL_MM**2 * STEP_MM / 1000
        assert low < volume < high, name


def test_organs_lie_where_they_belong(drawn) -> None:
    grid, labels = drawn[1], drawn[4]
    centres = {}
    for name in VOLUMES_ML:
        z, y, x = np.argwhere(structure(labels, name)).mean(axis=0)
        centres[name] = np.array(
            [grid.x[0] + x * PIXEL_MM, grid.y[0] + y * PIXEL_MM, grid.z[0] + z * STEP_MM]
        )
    assert centres["liver"][0] < -20 < 20 < centres["spleen"][0]
    assert centres["right_kidney"][0] < -30
    assert centres["left_kidney"][0] > 30
    assert centres["left_kidney"][1] > centres["stomach"][1]
    assert centres["liver"][2] > centres["right_kidney"][2]
    assert abs(centres["bone"][0]) < 8


def test_organs_do_not_share_voxels_and_lie_inside_the_body(drawn) -> None:
    labels = drawn[4]
    together = sum(structure(labels, name).astype(int) for name in VOLUMES_ML)
    assert together.max() == 1
    assert structure(labels, "skin")[together > 0].all()


def test_tissue_has_its_radiodensity_in_the_phase(drawn) -> None:
    patient, _, _, volume, labels, numbers = drawn
    hu = patient.body.hu
    liver = structure(labels, "liver") & (numbers == 0)
    assert np.median(volume[liver]) == pytest.approx(hu("liver"), abs=4)
    assert np.median(volume[structure(labels, "artery")]) == pytest.approx(hu("artery"), abs=6)
    assert np.median(volume[structure(labels, "spleen")]) == pytest.approx(hu("spleen"), abs=22)
    assert volume[structure(labels, "bone")].min() > 40
    assert volume[0, 0, 0] == -1000


def test_lesions_lie_inside_the_liver_and_differ_from_it(drawn) -> None:
    patient, _, lesions, volume, labels, numbers = drawn
    assert structure(labels, "liver")[numbers > 0].all()
    for number, lesion in enumerate(lesions, start=1):
        inside = volume[numbers == number]
        assert inside.size > 0
        assert abs(np.median(inside) - patient.body.hu("liver")) > 10, lesion.kind


def test_slabs_draw_what_the_whole_draws(drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    patient, grid, lesions, volume, labels, _ = drawn
    monkeypatch.setattr("scripts.phantom.abdomen.abdomen.SLAB", 7)
    again, structures, _ = paint_abdomen(patient, grid, lesions)
    np.testing.assert_allclose(again, volume, atol=0.01)
    assert (structures != labels).mean() < 1e-5
