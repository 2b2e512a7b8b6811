"""The phantom itself: a threshold finds the nodule, and no flip or shift leaves it as it was."""

import itertools

import numpy as np
import pytest

from tests.analytic.independent import centroid_of, same_places
from tests.analytic.phantom import (
    CENTROID,
    ORIENTATIONS,
    THRESHOLD_HU,
    VOLUME_ML,
    Grid,
    from_nodule,
    grid_of,
)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_nodule_on_any_grid_then_of_its_volume_and_centre(orientation):
    grid = grid_of(orientation)
    mask = grid.nodule()
    assert pytest.approx(20.96, abs=0.01) == VOLUME_ML
    assert mask.sum() * grid.voxel_ml == pytest.approx(VOLUME_ML, rel=0.01)
    np.testing.assert_allclose(centroid_of(mask, grid.affine), CENTROID, atol=0.2)
    np.testing.assert_array_equal(mask, from_nodule(grid.points()) < 1)
    assert grid.hu()[~mask].max() < THRESHOLD_HU


def test_chest_flipped_transposed_or_shifted_then_other_hu():
    grid = grid_of(spacing=(4, 4, 4))
    hu = grid.hu()
    for flips in itertools.product((1, -1), repeat=3):
        flipped = hu[tuple(slice(None, None, step) for step in flips)]
        assert (flips == (1, 1, 1)) == bool((flipped == hu).all())
    for axis in range(3):
        assert (np.roll(hu, 1, axis) != hu).mean() > 0.2
    assert (hu != grid_of("decubitus", spacing=(4, 4, 4)).hu().swapaxes(1, 2)).mean() > 0.2


def test_slices_numbered_from_the_other_end_then_the_same_places():
    grid = grid_of("oblique about x")
    turned = grid.reversed()
    np.testing.assert_array_equal(turned.hu(), grid.hu()[::-1])
    assert same_places(grid, turned.shape, turned.affine)
    shifted = turned.affine.copy()
    shifted[0, 3] += 0.1
    assert not same_places(grid, turned.shape, shifted)
    assert grid.voxel_ml == pytest.approx(turned.voxel_ml) == np.prod(grid.spacing) / 1000
    assert not same_places(grid, *vars(Grid((1, 1, 1), np.eye(4))).values())
