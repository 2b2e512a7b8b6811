"""Logistic regression against its conditions, and what it learns from training nodules only."""

import numpy as np
import pytest
from scipy.special import expit

from scripts.suspicion.logistic import STRENGTHS, Columns, choose_strength, fit, log_loss, minimise


def sample(n=300, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(3.0, 2.0, (n, 4))
    labels = rng.random(n) < expit(1.5 * (x[:, 0] - 3) - 0.7 * (x[:, 1] - 3))
    return x, labels


@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_minimum_then_its_gradient_is_zero(strength):
    x, labels = sample()
    weights, intercept = minimise(x, labels, strength)
    error = expit(x @ weights + intercept) - labels
    np.testing.assert_allclose(x.T @ error + weights / strength, 0, atol=1e-5)
    assert error.sum() == pytest.approx(0, abs=1e-5)  # the intercept is not penalised


def test_weights_when_hardly_penalised_then_those_of_the_sample():
    x, labels = sample(20_000)
    weights, _ = minimise(x, labels, 1e3)
    np.testing.assert_allclose(weights, [1.5, -0.7, 0, 0], atol=0.08)


def test_separable_classes_then_finite_and_right():
    x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    labels = np.array([False, False, True, True])
    weights, intercept = minimise(x, labels, 10.0)
    assert np.isfinite([*weights, intercept]).all()
    assert ((x @ weights + intercept > 0) == labels).all()


def test_labels_of_one_kind_then_refused():
    with pytest.raises(ValueError, match="labels: must be of both kinds"):
        minimise(np.zeros((3, 1)), np.ones(3, bool), 1.0)


def test_columns_then_scaled_and_a_constant_feature_without_effect():
    table = np.column_stack([np.arange(10.0), np.full(10, 7.0)])
    scaled = Columns.learn(table, None).of(table)
    assert scaled[:, 0].std() == pytest.approx(1)
    assert not scaled[:, 1].any()


def test_components_then_uncorrelated_with_unit_variance_and_most_of_it():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 50)) + 0.01 * rng.normal(size=(60, 50))
    columns = Columns.learn(table, 3)
    reduced = columns.of(table)
    np.testing.assert_allclose(np.cov(reduced.T, ddof=0), np.eye(3), atol=1e-8)
    scaled = (table - columns.mean) / columns.scale
    left = scaled - reduced @ np.linalg.lstsq(reduced, scaled, rcond=None)[0]
    assert left.var() < 1e-3


def test_probabilities_then_of_a_table_scaled_like_the_training():
    x, labels = sample()
    model = fit([x[:, :2], x[:, 2:]], labels, 1.0)
    assert len(model.columns) == 2
    assert model.weights.shape == (4,)
    scores = model.probabilities([x[:, :2], x[:, 2:]])
    assert log_loss(scores, labels) < log_loss(np.full(len(x), labels.mean()), labels)


def test_strength_when_labels_are_noise_then_the_strongest_penalty_and_else_a_weaker_one():
    x, labels = sample(200)
    tests = [np.arange(200) % 5 == fold for fold in range(5)]
    noise = np.random.default_rng(1).permutation(labels)
    assert choose_strength([x], labels, tests) > choose_strength([x], noise, tests)
    assert choose_strength([x], labels, tests) in STRENGTHS
