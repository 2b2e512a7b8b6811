from __future__ import annotations

import numpy as np
import pytest

from scripts.phantom.solids import (
    Ellipsoid,
    Grid,
    blend,
    blend_sparse,
    edge_width,
    tube_distance,
    tube_share,
    tube_shares,
)


@pytest.fixture
def grid() -> Grid:
    axis = np.arange(-15, 15.5, 0.5, dtype=np.float32)
    return Grid(axis, axis, axis, (0.5, 0.5, 0.5))


def filled(grid: Grid, window: tuple[slice, slice, slice], share: np.ndarray) -> float:
    assert share.shape == np.zeros(grid.shape)[window].shape
    return float(share.sum() * np.prod(grid.spacing_mm))


def test_ellipsoid_fills_its_volume_and_reaches_its_end(grid: Grid) -> None:
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    solid = Ellipsoid(np.array([1.0, 0.0, -1.0]), np.array([9.0, 6.0, 4.0]), turn)
    assert filled(grid, *solid.share(grid)) == pytest.approx(4 / 3 * np.pi * 9 * 6 * 4, rel=0.02)
    y, z = np.meshgrid(np.linspace(-10, 10, 201), np.linspace(-10, 10, 201))
    widest = np.sqrt(np.diag(np.linalg.inv(solid.form)))[0]
    assert solid.reach_along_x(y, z, 1).max() == pytest.approx(1.0 + widest, abs=0.05)
    assert solid.reach_along_x(y, z, -1).max() == pytest.approx(-1.0 + widest, abs=0.05)


@pytest.mark.parametrize("radius", [0.15, 0.3, 3.0], ids=["thin", "voxel", "thick"])
def test_tube_fills_its_cross_section(grid: Grid, radius: float) -> None:
    ends = np.array([[0.1, -10.0, 0.2], [0.2, 10.0, 0.1]])
    window, share = tube_share(grid, ends, np.array([radius, radius]))
    volume = np.zeros(grid.shape)
    volume[window] = share
    section = volume[:, 30, :].sum() * 0.25
    assert section == pytest.approx(np.pi * radius**2, rel=0.08)


def test_tube_tapers(grid: Grid) -> None:
    ends = np.array([[-10.0, 0, 0], [10.0, 0, 0]])
    window = (slice(None),) * 3
    distance = tube_distance(grid.axes(window), ends, np.array([4.0, 2.0]))
    assert distance[30, 30, 10] == pytest.approx(-4.0, abs=0.01)
    assert distance[30, 30, 50] == pytest.approx(-2.0, abs=0.01)


def test_many_tubes_equal_each_by_itself(grid: Grid) -> None:
    rng = np.random.default_rng(4)
    ends, radii = rng.uniform(-20, 20, (12, 2, 3)), rng.uniform(0.1, 3.0, (12, 2))
    together = list(tube_shares(grid, ends, radii))
    assert len(together) == 12
    for number, (window, share) in enumerate(together):
        own_window, own_share = tube_share(grid, ends[number], radii[number])
        assert window == own_window
        assert np.array_equal(share, own_share)
        low, high = ends[number].min(axis=0) - 9.0, ends[number].max(axis=0) - 9.0
        assert grid.windows(low[None], high[None]) == [grid.window(low, high)]


def test_solid_outside_the_grid_is_empty(grid: Grid) -> None:
    far = Ellipsoid(np.array([90.0, 0, 0]), np.array([3.0, 3, 3]), np.eye(3))
    assert far.share(grid)[1].size == 0


def test_sparse_blend_equals_blend() -> None:
    rng = np.random.default_rng(0)
    share = np.where(rng.random((4, 5, 6)) > 0.8, rng.random((4, 5, 6)), 0).astype(np.float32)
    first = rng.normal(0, 500, share.shape).astype(np.float32)
    second = first.copy()
    blend(first, 40.0, share)
    blend_sparse(second, 40.0, share)
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_edges_soften_with_thick_slices(grid: Grid) -> None:
    thick = Grid(grid.x, grid.y, grid.z, (0.5, 0.5, 2.5))
    assert edge_width(thick) > edge_width(grid)
