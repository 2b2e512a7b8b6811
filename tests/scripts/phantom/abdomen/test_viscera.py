"""What is drawn of each organ; see test_abdomen for all of them together."""

from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.abdomen.canvas import BITS, Canvas
from scripts.phantom.abdomen.patient import draw_patient
from scripts.phantom.abdomen.viscera import (
    paint_kidney,
    paint_kidney_fat,
    paint_spleen,
    paint_stomach,
)
from scripts.phantom.solids import Grid


@pytest.fixture
def canvas() -> Canvas:
    """An empty abdomen in the arterial phase, 4 mm voxels."""
    side = np.arange(-150, 151, 4, dtype=np.float32)
    grid = Grid(side, side, np.arange(-100, 101, 4, dtype=np.float32), (4.0, 4.0, 4.0))
    shape = grid.shape
    arrays = (
        np.full(shape, -100, np.float32),
        np.zeros(shape, np.uint16),
        np.zeros(shape, np.uint8),
    )
    return Canvas(draw_patient(np.random.default_rng(1), "arterial"), grid, arrays)


def inside(canvas: Canvas, name: str) -> np.ndarray:
    return (canvas.labels & BITS[name]) != 0


def test_spleen_in_the_arterial_phase_then_mottled_around_its_radiodensity(canvas: Canvas) -> None:
    paint_spleen(canvas)
    values = canvas.volume[inside(canvas, "spleen")]
    assert np.median(values) == pytest.approx(canvas.hu("spleen"), abs=15)
    assert values.std() > 8


def test_stomach_then_gas_in_front_of_what_it_holds(canvas: Canvas) -> None:
    paint_stomach(canvas)
    stomach = inside(canvas, "stomach")
    gas = stomach & (canvas.volume < -500)
    fluid = stomach & (np.abs(canvas.volume - canvas.hu("fluid")) < 30)
    assert np.nonzero(gas)[1].mean() < np.nonzero(fluid)[1].mean()


def test_kidney_in_the_arterial_phase_then_cortex_brighter_than_medulla(canvas: Canvas) -> None:
    paint_kidney(canvas, 0, "left_kidney")
    values = canvas.volume[inside(canvas, "left_kidney")]
    assert values.max() > canvas.hu("cortex") - 15
    assert np.quantile(values, 0.1) < canvas.hu("cortex") - 50
    assert not inside(canvas, "right_kidney").any()


def test_fat_around_a_kidney_then_other_organs_lose_those_voxels(canvas: Canvas) -> None:
    canvas.labels[...] = BITS["skin"] | BITS["spleen"]
    paint_kidney_fat(canvas, 0)
    freed = canvas.labels == BITS["skin"]
    assert 20 < freed.sum() * 4**3 / 1000 < 600
