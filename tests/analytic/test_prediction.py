"""predict on the analytic chest: the exact mask at its exact place, from a CT in any form."""

import pytest

from scripts.prediction.pipeline import predict_volume
from tests.analytic.dicom_files import write_series
from tests.analytic.independent import assert_nodule
from tests.analytic.phantom import ORIENTATIONS, grid_of


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_dicom_in_any_orientation_then_the_exact_mask(
    tmp_path, lung_model, liver_model, orientation, descending
):
    grid = grid_of(orientation, descending=descending)
    write_series(tmp_path / "ct", grid)
    for model in (lung_model, liver_model):
        assert_nodule(predict_volume(model, tmp_path / "ct", study="ct"), grid)
