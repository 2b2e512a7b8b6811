"""predict on the analytic chest: the exact mask at its exact place, from a CT in any form."""

import numpy as np
import pytest

from scripts.prediction.pipeline import predict_volume
from tests.analytic.dicom_files import write_series
from tests.analytic.independent import centroid_of, same_places
from tests.analytic.phantom import CENTROID, ORIENTATIONS, VOLUME_ML, Grid, grid_of


def assert_nodule(prediction, grid):
    """The right mask: voxel by voxel, in volume and in place."""
    found = Grid(prediction.hu.shape, prediction.affine)
    assert same_places(grid, found.shape, found.affine)
    np.testing.assert_array_equal(prediction.hu, found.hu())
    np.testing.assert_array_equal(prediction.mask > 0, found.nodule())
    assert (prediction.mask > 0).sum() * found.voxel_ml == pytest.approx(VOLUME_ML, rel=0.01)
    assert np.abs(centroid_of(prediction.mask > 0, found.affine) - CENTROID).max() < 0.2


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_dicom_in_any_orientation_then_the_exact_mask(
    tmp_path, lung_model, liver_model, orientation, descending
):
    grid = grid_of(orientation, descending=descending)
    write_series(tmp_path / "ct", grid)
    for model in (lung_model, liver_model):
        assert_nodule(predict_volume(model, tmp_path / "ct", study="ct"), grid)
