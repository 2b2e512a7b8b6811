"""AURC against values worked out by hand, and against all orders of the cases."""

import itertools

import numpy as np
import pytest

from scripts.evaluation.figures.risk_coverage import RiskCoverage, aurc, selective_risks

RISK = np.array([0.1, 0.5, 0.3])


def test_order_of_the_risk_then_ideal_and_no_order_below_it():
    ideal = aurc(-RISK, RISK)
    assert ideal == pytest.approx((0.1 + 0.2 + 0.3) / 3)
    every = [aurc(np.array(order, float), RISK) for order in itertools.permutations(range(3))]
    assert min(every) == pytest.approx(ideal)
    assert np.mean(every) == pytest.approx(RISK.mean())  # what aurc_random_order states


def test_equal_confidence_then_the_mean_over_the_orders_of_these_cases():
    confidence = np.array([0.9, 0.4, 0.4])
    both = [aurc(np.array([0.9, 0.4 + a, 0.4 - a]), RISK) for a in (0.1, -0.1)]
    assert aurc(confidence, RISK) == pytest.approx(np.mean(both))
    np.testing.assert_allclose(selective_risks(confidence, RISK), [0.1, 0.25, 0.3])


def test_figures_then_gain_over_random_with_intervals_over_patients():
    generator = np.random.default_rng(0)
    risk = generator.random(30)
    patients = [f"P{k // 2}" for k in range(30)]
    good = RiskCoverage(list(1 - risk), list(risk), patients).figures()
    assert good["aurc"].value == good["aurc_ideal_order"].value
    assert good["aurc_gain"].patients == 15
    assert good["aurc_gain"].interval_95[0] > 0
    noise = RiskCoverage(list(generator.random(30)), list(risk), patients).figures()
    low, high = noise["aurc_gain"].interval_95
    assert low < 0 < high
    assert noise["aurc_random_order"].value == pytest.approx(risk.mean())


def test_one_patient_then_no_interval():
    figure = RiskCoverage([0.5, 0.6], [0.1, 0.2], ["P", "P"]).figures()["aurc"]
    assert figure.interval_95 is None
    assert "one patient" in figure.reason
