from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scripts.phantom.build import draw_build
from scripts.phantom.parenchyma import (
    TEXTURE_MM,
    TextureLookup,
    draw_field,
    draw_texture,
    sample_field,
)
from scripts.phantom.solids import Grid


def test_lookup_at_the_fields_own_places_then_its_values() -> None:
    field = np.random.default_rng(0).standard_normal((5, 7, 9)).astype(np.float32)
    x, y, z = (
        (np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(TEXTURE_MM) for n in (9, 7, 5)
    )
    grid = Grid(x[1:-1], y[1:-1], z[1:-1], (TEXTURE_MM,) * 3)
    lookup = TextureLookup(field, grid)
    found = np.stack([lookup.slice(row) for row in range(3)])
    np.testing.assert_allclose(found, field[1:-1, 1:-1, 1:-1], atol=1e-3)


def test_emphysema_then_darker_on_average() -> None:
    build = replace(draw_build(np.random.default_rng(0)), emphysema=0.0)
    healthy = draw_texture(build, np.random.default_rng(1))
    ill = draw_texture(replace(build, emphysema=0.3), np.random.default_rng(1))
    assert ill.mean() < healthy.mean() - 5


def test_field_then_of_unit_variance_and_smoother_with_a_longer_reach() -> None:
    fields = [draw_field(np.random.default_rng(0), 9.0, reach) for reach in (0.7, 2.2)]
    assert [float(field.std()) for field in fields] == pytest.approx([1, 1], rel=1e-3)
    rough, smooth = (np.abs(np.diff(field, axis=0)).mean() for field in fields)
    assert smooth < 0.5 * rough


def test_field_at_voxels_then_one_value_each() -> None:
    axis = np.arange(-4, 5, dtype=np.float32)
    grid = Grid(axis, axis[:6], axis[:3], (1.0, 1.0, 1.0))
    found = sample_field(draw_field(np.random.default_rng(0), 9.0, 2.2), grid, 9.0)
    assert found.shape == (3, 6, 9)
    assert np.abs(np.diff(found, axis=2)).max() < 0.5
