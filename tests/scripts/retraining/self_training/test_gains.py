"""Gains: what they show, and their intervals over patients."""

import numpy as np
import pytest

from scripts.evaluation.figures.intervals import Figure
from scripts.retraining.self_training.gains import gain_of_ratios, verdict


def test_verdict_then_by_the_side_of_zero_of_the_interval():
    def gain(low, high):
        return Figure((low + high) / 2, 9, 9, (low, high), None)

    assert verdict(gain(0.01, 0.02)) == "helped"
    assert verdict(gain(-0.02, -0.01)) == "did harm"
    assert verdict(gain(-0.01, 0.03)).startswith("did not help")
    assert verdict(Figure(0.1, 1, 1, None, "one patient")).startswith("did not help")


def test_gain_of_pooled_figures_then_their_difference_and_an_interval_over_patients():
    rng = np.random.default_rng(0)
    under = rng.uniform(5, 10, 40)
    first = [(0.8 * u, u) for u in under]
    second = [(s * u, u) for s, u in zip(rng.uniform(0.5, 0.7, 40), under, strict=True)]
    patients = [f"P{number // 2}" for number in range(40)]
    gain = gain_of_ratios(first, second, patients)
    pooled = sum(over for over, _ in second) / under.sum()
    assert gain.value == pytest.approx(0.8 - pooled)
    assert (gain.n, gain.patients) == (40, 20)
    low, high = gain.interval_95
    assert 0.15 < low < gain.value < high < 0.25
    assert gain == gain_of_ratios(first, second, patients)
    back = gain_of_ratios(second, first, patients)
    assert back.interval_95 == pytest.approx((-high, -low))


def test_gain_when_of_one_patient_then_no_interval_and_of_none_then_refused():
    gain = gain_of_ratios([(1, 2), (1, 2)], [(0, 2), (1, 2)], ["a", "a"])
    assert gain.value == 0.25
    assert gain.interval_95 is None
    assert verdict(gain).startswith("did not help")
    with pytest.raises(ValueError, match="patients: must be at least one"):
        gain_of_ratios([], [], [])
