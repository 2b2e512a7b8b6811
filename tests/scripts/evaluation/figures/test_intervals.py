from __future__ import annotations

import math

import numpy as np
import pytest

from scripts.evaluation.figures.intervals import mean, ratio_of_sums


def test_interval_of_many_patients_agrees_with_normal_theory() -> None:
    values = np.random.default_rng(0).normal(0.8, 0.1, 200)
    figure = mean(values.tolist(), [str(i) for i in range(200)])
    half = 1.96 * values.std(ddof=1) / math.sqrt(200)
    assert figure.value == pytest.approx(values.mean())
    assert figure.interval_95 == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.2 * half
    )


def test_interval_resamples_patients_not_nodules() -> None:
    values = [0.9] * 50 + [0.5] * 50 + [0.7] * 50
    by_patient = mean(values, ["a"] * 50 + ["b"] * 50 + ["c"] * 50)
    by_nodule = mean(values, [str(i) for i in range(150)])
    assert by_patient.interval_95 is not None
    assert by_nodule.interval_95 is not None
    width = by_patient.interval_95[1] - by_patient.interval_95[0]
    assert width > 3 * (by_nodule.interval_95[1] - by_nodule.interval_95[0])


def test_interval_is_seeded() -> None:
    data = ([0.1, 0.5, 0.9, 0.3], ["a", "b", "c", "d"])
    assert mean(*data, seed=3) == mean(*data, seed=3)
    many = [i / 40 for i in range(40)], [str(i) for i in range(40)]
    assert mean(*many, seed=3).interval_95 != mean(*many, seed=4).interval_95


def test_one_patient_has_no_interval_and_says_why() -> None:
    figure = mean([0.5, 0.7], ["a", "a"])
    assert figure.value == pytest.approx(0.6)
    assert figure.interval_95 is None
    assert figure.reason is not None
    assert "one patient" in figure.reason


def test_nothing_defined_is_nan_and_says_why() -> None:
    figure = mean([math.nan], ["a"])
    assert math.isnan(figure.value)
    assert (figure.n, figure.reason) == (0, "nothing to average")


def test_equal_patients_have_a_narrow_interval() -> None:
    assert mean([1.0, 1.0, 1.0], ["a", "b", "c"]).interval_95 == (1.0, 1.0)


def test_pooled_ratio_weighs_by_the_denominator_and_drops_zero() -> None:
    figure = ratio_of_sums([8, 1, 0], [10, 10, 0], ["a", "b", "c"])
    assert figure.value == pytest.approx(9 / 20)
    assert (figure.n, figure.patients) == (2, 2)


@pytest.mark.parametrize(
    ("numerators", "denominators", "match"),
    [([1.0], [1.0, 1.0], "one length"), ([math.nan, 1.0], [1.0, 1.0], "finite")],
)
def test_ratio_of_bad_input_raises(
    numerators: list[float], denominators: list[float], match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        ratio_of_sums(numerators, denominators, ["a", "b"])
