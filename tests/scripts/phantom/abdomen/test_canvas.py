from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.abdomen.canvas import BITS, Canvas
from scripts.phantom.abdomen.patient import draw_patient
from scripts.phantom.mediastinum import Tube
from scripts.phantom.solids import Grid


@pytest.fixture
def canvas() -> Canvas:
    side = np.linspace(-60, 60, 31, dtype=np.float32)
    grid = Grid(side, side, np.array([0, 4], dtype=np.float32), (4.0, 4.0, 4.0))
    shape = grid.shape
    arrays = (
        np.zeros(shape, np.float32),
        np.zeros(shape, np.uint16),
        np.zeros(shape, np.uint8),
    )
    return Canvas(draw_patient(np.random.default_rng(0), "portal"), grid, arrays)


def test_structure_put_over_another_then_takes_its_voxels(canvas: Canvas) -> None:
    share = np.ones(canvas.grid.shape, np.float32)
    canvas.labels[...] = BITS["skin"] | BITS["spleen"]
    canvas.put(canvas.all, share, 100.0, "liver")
    assert (canvas.labels == BITS["skin"] | BITS["liver"]).all()
    assert (canvas.volume == 100).all()


def test_vessel_put_into_the_liver_then_the_liver_keeps_its_voxels(canvas: Canvas) -> None:
    canvas.labels[...] = BITS["liver"]
    canvas.put(canvas.all, np.ones(canvas.grid.shape, np.float32), 150.0, "portal_vein")
    assert (canvas.labels == BITS["liver"] | BITS["portal_vein"]).all()


def test_share_of_half_or_less_then_hu_mixed_and_no_label(canvas: Canvas) -> None:
    canvas.put(canvas.all, np.full(canvas.grid.shape, 0.5, np.float32), 100.0, "liver")
    assert (canvas.volume == 50).all()
    assert not canvas.labels.any()


def test_tube_of_the_cava_then_labelled_as_vein_along_its_axis(canvas: Canvas) -> None:
    points = np.array([[0.0, 0.0, -20.0], [0.0, 0.0, 30.0]])
    canvas.paint_tube(Tube("cava", points, 10.0))
    assert canvas.labels[0, 15, 15] == BITS["vein"]
    assert canvas.volume[0, 15, 15] == pytest.approx(canvas.hu("cava"), abs=1)
    assert not canvas.labels[0, 15, 0]
