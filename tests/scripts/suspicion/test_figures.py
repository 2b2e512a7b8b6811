"""Figures against counting by hand."""

import numpy as np
import pytest

from scripts.suspicion.figures import (
    Scored,
    auc,
    auc_gain,
    brier,
    calibration,
    sensitivity_at_specificity,
)


def scored(labels, scores, patients=None, folds=None):
    count = len(labels)
    names = [f"p{n}" for n in range(count)] if patients is None else patients
    numbers = np.zeros(count) if folds is None else folds
    return Scored(
        np.array(labels, bool), np.array(scores, float), np.array(names), np.array(numbers, int)
    )


def noisy(seed=0, n=60, shift=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.5
    return scored(labels, 1 / (1 + np.exp(-(rng.normal(0, 1, n) + shift * labels))))


def test_auc_then_the_share_of_pairs_ordered_rightly():
    four = scored([True, True, False, False], [0.9, 0.4, 0.4, 0.1])
    assert auc(four).value == pytest.approx((1 + 1 + 0.5 + 1) / 4)


def test_auc_of_two_folds_then_pairs_within_a_fold_only():
    labels, scores = [True, False, True, False], [0.3, 0.2, 0.9, 0.8]
    assert auc(scored(labels, scores, folds=[0, 0, 1, 1])).value == 1.0
    assert auc(scored(labels, scores)).value == 0.75


def test_interval_then_wider_if_nodules_share_patients():
    single = noisy(n=80)
    pairs = [f"p{n // 4}" for n in range(80)]
    shared = Scored(single.labels, single.scores, np.array(pairs), single.folds)
    assert auc(shared).value == auc(single).value
    copies = [np.repeat(a, 4) for a in (single.labels, single.scores, single.patients)]
    copied = Scored(*copies, np.repeat(single.folds, 4))  # copies of one nodule add nothing
    assert auc(copied).interval_95 == pytest.approx(auc(single).interval_95, abs=1e-9)
    low, high = auc(single).interval_95
    assert low < auc(single).value < high


def test_interval_when_drawn_again_then_equal_and_other_seeds_differ():
    assert auc(noisy()) == auc(noisy())
    assert auc(noisy(), seed=1).interval_95 != auc(noisy()).interval_95


def test_gain_then_of_the_same_patients_drawn_together():
    good, weak = noisy(shift=3.0), noisy(shift=0.0)
    weak = Scored(good.labels, weak.scores, good.patients, good.folds)
    gain = auc_gain(good, weak)
    assert gain.value == pytest.approx(auc(good).value - auc(weak).value)
    assert gain.interval_95[0] > 0
    assert auc_gain(good, good).interval_95 == (0.0, 0.0)


def test_one_class_then_undefined_with_the_reason():
    alone = scored([True, True], [0.1, 0.9])
    assert auc(alone).reason == "nodules of one class only"
    assert np.isnan(sensitivity_at_specificity(alone).value)
    apart = scored([True, False], [0.1, 0.9], folds=[0, 1])
    assert auc(apart).reason == "no fold has nodules of both classes"


def test_sensitivity_then_at_a_threshold_above_nine_tenths_of_the_unsuspicious():
    negatives = np.linspace(0.0, 0.9, 10)
    labels = [False] * 10 + [True] * 4
    found = sensitivity_at_specificity(scored(labels, [*negatives, 0.85, 0.89, 0.95, 0.99]))
    assert found.value == 0.5
    assert found.n == 14


def test_brier_then_the_mean_squared_error():
    assert brier(scored([True, False], [0.8, 0.4])).value == pytest.approx((0.04 + 0.16) / 2)


def test_calibration_then_groups_of_equal_size_in_order():
    groups = calibration(noisy(n=80))
    assert [group["nodules"] for group in groups] == [10] * 8
    predicted = [group["predicted"] for group in groups]
    assert predicted == sorted(predicted)
    assert all(0 <= group["observed"] <= 1 for group in groups)
