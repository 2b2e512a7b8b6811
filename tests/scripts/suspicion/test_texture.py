"""Density and texture against formulas and IBSI's reference values."""

import numpy as np
import pytest
from scipy import stats

from scripts.suspicion.shape import Solid, solid_of
from scripts.suspicion.texture import (
    DENSITY_FEATURES,
    TEXTURE_FEATURES,
    co_occurrences,
    density_features,
    glcm_features,
    texture_features,
)
from tests.scripts.suspicion.phantom_of_ibsi import LEVELS, MASK
from tests.scripts.suspicion.test_shape import ellipsoid


def ball(radius=9):
    return np.pad(ellipsoid((radius,) * 3, (1, 1, 1)), 6)


def of(hu, mask):
    return solid_of(hu, mask, (1.0, 1.0, 1.0))


def test_co_occurrences_then_those_of_ibsi():
    found = glcm_features(co_occurrences(LEVELS, MASK, 7))
    expected = {
        "glcm_contrast": 5.12,
        "glcm_correlation": 0.183,
        "glcm_energy": 0.291,
        "glcm_homogeneity": 0.631,
    }
    assert list(found) == list(TEXTURE_FEATURES)
    assert found == pytest.approx(expected, rel=2e-3)


def test_linear_slope_then_its_statistics_within_two_percent():
    mask = ball()
    z = np.indices(mask.shape)[0] - mask.shape[0] / 2
    found = density_features(of(-100 + 20.0 * z, mask))
    assert list(found) == list(DENSITY_FEATURES)
    assert found["margin_gradient_hu_per_mm"] == pytest.approx(20, rel=0.02)
    inside = (-100 + 20.0 * z)[mask]
    assert found["mean_hu"] == pytest.approx(inside.mean(), abs=2)
    assert found["sd_hu"] == pytest.approx(20 * 9 / np.sqrt(5), rel=0.02)  # of a ball's height
    assert found["skewness"] == pytest.approx(0, abs=0.05)
    assert found["kurtosis"] == pytest.approx(-6 / 7, rel=0.05)  # of a ball's height
    low, middle, high = np.percentile(inside, (10, 50, 90))
    assert found["p10_hu"] == pytest.approx(low, abs=4)
    assert found["median_hu"] == pytest.approx(middle, abs=4)
    assert found["p90_hu"] == pytest.approx(high, abs=4)


def test_two_densities_then_shares_and_entropy():
    mask = ball()
    hu = np.full(mask.shape, -500.0)
    hu[mask.shape[0] // 2 :] = 400
    found = density_features(of(hu, mask))
    assert found["calcified_share"] == pytest.approx((hu[mask] > 200).mean(), abs=0.01)
    assert found["ground_glass_share"] == pytest.approx(1 - found["calcified_share"])
    assert found["entropy_bits"] == pytest.approx(1, abs=0.02)
    assert found["interquartile_range_hu"] == pytest.approx(900)


def test_edge_of_a_blurred_ball_then_the_slope_of_its_profile():
    mask = ball(12)
    distance = np.sqrt(sum((x - c) ** 2 for x, c in zip(*centred(mask), strict=True))) - 12
    hu = -800 + 850 * stats.norm.sf(distance, scale=2.0)
    found = density_features(of(hu, mask))["margin_gradient_hu_per_mm"]
    across = np.linspace(-1, 1, 201)  # the blur of the slope adds up with that of the ball
    expected = 850 * stats.norm.pdf(across, scale=np.hypot(2.0, 1.0)).mean()
    assert found == pytest.approx(expected, rel=0.03)


def centred(mask):
    return np.indices(mask.shape), np.argwhere(mask).mean(axis=0)


def test_equal_values_then_finite_features():
    mask = ball(5)
    solid = of(np.full(mask.shape, 40.0), mask)
    found = {**density_features(solid), **texture_features(solid)}
    assert np.isfinite(list(found.values())).all()
    assert (found["glcm_contrast"], found["glcm_energy"], found["glcm_correlation"]) == (0, 1, 1)
    assert (found["sd_hu"], found["skewness"], found["entropy_bits"]) == (0, 0, 0)


def test_levels_then_steps_of_25_hu_and_what_lies_outside_in_the_last():
    mask = ball(5)
    solid = of(np.zeros(mask.shape), mask)
    chequered = np.indices(solid.hu.shape).sum(axis=0) % 2

    def contrast(low, high):
        hu = np.where(chequered, high, low).astype(float)
        shown = Solid(hu, solid.depth_mm, solid.vertices_mm, solid.triangles)
        return texture_features(shown)["glcm_contrast"]

    assert contrast(0, 24) == 0
    assert contrast(0, 25) > 0
    assert contrast(200, 3000) == 0
    assert contrast(-610, -2000) == 0
    assert contrast(0, 50) == pytest.approx(4 * contrast(0, 25))


def test_matrix_without_pairs_then_refused():
    with pytest.raises(ValueError, match="no two neighbouring voxels"):
        glcm_features(co_occurrences(np.zeros((1, 1, 1), int), np.ones((1, 1, 1), bool), 4))
