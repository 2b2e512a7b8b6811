"""All features of a nodule, and the table that a classifier sees."""

import numpy as np
import pytest

from scripts.suspicion.radiomics import FEATURES, SIZE, predictors, radiomics
from scripts.suspicion.shape import SHAPE_FEATURES


def test_radiomics_then_every_feature_once_and_finite(nodules, rows):
    assert 25 <= len(FEATURES) <= 35
    assert all(list(row) == list(FEATURES) for row in rows)
    assert np.isfinite([list(row.values()) for row in rows]).all()


def test_radiomics_when_the_slices_run_the_other_way_then_equal(nodules):
    one = nodules[0]
    straight = radiomics(one.hu, one.mask, one.spacing_mm)
    turned = radiomics(one.hu[::-1, :, ::-1], one.mask[::-1, :, ::-1], one.spacing_mm)
    for name in SHAPE_FEATURES:
        assert turned[name] == pytest.approx(straight[name], rel=0.03), name
    assert turned["mean_hu"] == pytest.approx(
        straight["mean_hu"], abs=10
    )  # the grid lies elsewhere


def test_predictors_then_logarithms_of_sizes_only():
    row = dict.fromkeys(FEATURES, 2.0)
    table = predictors([row, row], [SIZE, "sphericity"])
    np.testing.assert_allclose(table, [[np.log(2), 2.0]] * 2)
