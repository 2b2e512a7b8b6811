from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from scripts.phantom.chest.nodules import (
    KINDS,
    Nodule,
    draw_diameter,
    draw_shape,
    fitted_mask,
    largest_part,
    paint_nodule,
)
from scripts.phantom.solids import Array, Grid


def make_nodule(kind: str, diameter_mm: float, seed: int = 0) -> Nodule:
    shape = draw_shape(np.random.default_rng(seed), kind, diameter_mm)
    return Nodule(kind, np.zeros(3), diameter_mm, 1, *shape)


def make_grid(pixel: float, slice_mm: float) -> Grid:
    across = np.arange(-40, 40, pixel, dtype=np.float32)
    return Grid(
        across, across, np.arange(-40, 40, slice_mm, dtype=np.float32), (pixel, pixel, slice_mm)
    )


def paint(nodule: Nodule, grid: Grid, lungs: Array | None = None) -> tuple[Array, np.ndarray]:
    volume = np.full(grid.shape, -850.0, dtype=np.float32)
    full = np.ones(grid.shape, dtype=np.float32) if lungs is None else lungs
    drawn = paint_nodule(volume, full, grid, nodule, np.random.default_rng(1))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[drawn.window] = drawn.mask
    return volume, mask


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("diameter", [3.5, 9.0, 28.0])
def test_mask_has_the_nodules_volume_and_one_part(kind: str, diameter: float) -> None:
    grid = make_grid(0.7, 1.25)
    _, mask = paint(make_nodule(kind, diameter), grid)
    volume = mask.sum() * np.prod(grid.spacing_mm)
    assert np.cbrt(6 * volume / np.pi) == pytest.approx(diameter, rel=0.04)
    assert ndimage.label(mask, np.ones((3, 3, 3)))[1] == 1


def test_image_edge_follows_the_mask() -> None:
    volume, mask = paint(make_nodule("solid", 14.0), make_grid(0.7, 0.7))
    bright = volume > -420.0  # half way from lung to tissue
    overlap = 2 * (bright & mask).sum() / (bright.sum() + mask.sum())
    assert overlap > 0.96


def test_outline_is_irregular_but_compact() -> None:
    spreads = []
    for seed in range(6):
        _, mask = paint(make_nodule("solid", 18.0, seed), make_grid(0.9, 0.9))
        edge = np.argwhere(mask & ~ndimage.binary_erosion(mask)) * 0.9
        radius = np.linalg.norm(edge - edge.mean(axis=0), axis=1)
        spreads.append(radius.std() / radius.mean())
    assert 0.06 < np.mean(spreads) < 0.35


def test_pleural_nodule_ends_at_the_lungs_border() -> None:
    grid = make_grid(0.8, 1.0)
    lungs = np.zeros(grid.shape, dtype=np.float32)
    lungs[:, :, grid.x < 3.0] = 1.0
    nodule = make_nodule("juxta-pleural", 12.0)
    _, mask = paint(nodule, grid, lungs)
    assert not mask[:, :, grid.x >= 3.0].any()
    assert mask[:, :, np.flatnonzero(grid.x < 3.0)[-1]].any()
    assert mask.sum() * np.prod(grid.spacing_mm) == pytest.approx(np.pi / 6 * 12**3, rel=0.01)


def test_part_solid_nodule_has_a_core_denser_than_its_rim() -> None:
    nodule = make_nodule("part-solid", 20.0)
    volume, mask = paint(nodule, make_grid(0.7, 0.7))
    core = ndimage.binary_erosion(mask, iterations=10)
    rim = mask & ~ndimage.binary_erosion(mask, iterations=3)
    assert np.median(volume[core]) > -100
    assert np.median(volume[rim]) < -350
    plain, _ = paint(replace(nodule, core=0.0), make_grid(0.7, 0.7))
    assert np.median(plain[core]) < -400


def test_diameters_are_spread_like_those_of_luna16() -> None:
    rng = np.random.default_rng(0)
    sizes = np.array([draw_diameter(rng, 3.0, 30.0) for _ in range(4000)])
    assert sizes.min() >= 3.0
    assert sizes.max() <= 30.0
    assert sizes.mean() == pytest.approx(8.31, abs=0.4)
    assert np.median(sizes) == pytest.approx(6.43, abs=0.9)


def test_diameter_outside_the_usual_range_is_still_drawn() -> None:
    assert 29.9999 <= draw_diameter(np.random.default_rng(0), 29.9999, 30.0) <= 30.0


def test_fitted_mask_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="of 9 voxels does not fit"):
        fitted_mask(np.zeros((2, 2, 2), dtype=np.float32), 9)


def test_largest_part_drops_loose_voxels() -> None:
    mask = np.zeros((1, 1, 6), dtype=bool)
    mask[0, 0, [0, 2, 3, 5]] = True
    assert np.flatnonzero(largest_part(mask)).tolist() == [2, 3]
