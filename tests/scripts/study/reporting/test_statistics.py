import itertools
import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

from scripts.study.reporting.results import CaseValue, Result
from scripts.study.reporting.statistics import compare, estimate, holm, p_value


def result(row, seed, values, per_patient=1):
    cases = [
        CaseValue(f"p{k // per_patient}", (f"case{k}",), value, 1.0)
        for k, value in enumerate(values)
    ]
    return Result(row, seed, {"Dice": cases})


def test_estimate_then_the_mean_of_the_seeds_inside_its_interval():
    found = estimate([result("a", 0, [0.2, 0.4]), result("a", 1, [0.6, 0.8])], "Dice")
    assert found.value == pytest.approx(0.5)
    assert found.interval_95[0] < 0.5 < found.interval_95[1]
    assert (found.seeds, found.patients, found.cases) == (2, 2, 2)


def test_seeds_that_differ_more_then_a_wider_interval():
    def width(shift):
        values = [0.4, 0.5, 0.6]
        both = [result("a", 0, values), result("a", 1, [value + shift for value in values])]
        low, high = estimate(both, "Dice").interval_95
        return high - low

    assert width(0.3) > width(0.0) + 0.05


def test_cases_of_one_patient_then_no_interval_from_one_seed():
    assert estimate([result("a", 0, [0.1, 0.9], per_patient=2)], "Dice").interval_95 is None


def test_nothing_then_no_value():
    found = estimate([], "Dice")
    assert math.isnan(found.value)
    assert found.seeds == 0


def test_pooled_figure_then_a_ratio_of_sums():
    cases = [CaseValue("a", ("1",), 1.0, 10.0), CaseValue("b", ("2",), 9.0, 10.0)]
    assert Result("x", 0, {"s": cases}).figure("s") == pytest.approx(0.5)


def test_comparison_then_scipys_p_on_the_shared_cases_only():
    first = [0.5, 0.61, 0.72, 0.83, 0.94, 0.55, 0.66]
    second = [0.4, 0.50, 0.60, 0.70, 0.80, 0.40, 0.50, 0.9]
    rows = {"ref": [result("ref", 0, second)], "new": [result("new", 0, first)]}
    (found,) = compare(rows, "ref", "Dice")
    differences = [a - b for a, b in zip(first, second, strict=False)]
    assert found.pairs == 7
    assert found.p == pytest.approx(wilcoxon(differences).pvalue)
    assert found.difference == pytest.approx(sum(differences) / 7)
    assert found.interval_95[0] < found.difference < found.interval_95[1]


def test_several_cases_of_a_patient_then_one_difference_in_the_test():
    rng = np.random.default_rng(0)
    reference, other = rng.random((2, 24))
    rows = {
        name: [result(name, 0, list(values), per_patient=3)]
        for name, values in (("ref", reference), ("new", other))
    }
    (found,) = compare(rows, "ref", "Dice")
    differences = other - reference
    assert (found.pairs, found.patients) == (24, 8)
    assert found.difference == pytest.approx(differences.mean())
    assert found.p == pytest.approx(wilcoxon(differences.reshape(8, 3).mean(axis=1)).pvalue)


def test_cases_that_agree_within_patients_then_a_wider_interval_of_the_difference():
    def width(per_patient):
        shifts = [0.1 * k for k in range(8)]
        values = [shift for shift in shifts for _ in range(3)]
        rows = {
            "ref": [result("ref", 0, [0.0] * 24, per_patient)],
            "new": [result("new", 0, values, per_patient)],
        }
        (found,) = compare(rows, "ref", "Dice")
        return found.interval_95[1] - found.interval_95[0]

    assert width(3) > 1.4 * width(1)


def test_fewer_than_six_patients_then_no_test_however_many_cases():
    values = [0.1 * k for k in range(15)]
    rows = {
        "ref": [result("ref", 0, [0.0] * 15, per_patient=3)],
        "new": [result("new", 0, values, per_patient=3)],
    }
    (found,) = compare(rows, "ref", "Dice")
    assert (found.pairs, found.patients, found.p) == (15, 5, None)


def test_several_comparisons_then_corrected_together():
    rows = {
        "ref": [result("ref", 0, [0.1 * k for k in range(8)])],
        "a": [result("a", 0, [0.11 * k + 0.01 for k in range(8)])],
        "b": [result("b", 0, [0.12 * k + 0.02 for k in range(8)])],
    }
    first, second = compare(rows, "ref", "Dice")
    assert first.p_holm == pytest.approx(2 * first.p)
    assert second.p_holm == pytest.approx(2 * second.p)


def test_seeds_without_a_common_one_then_no_pairs():
    (found,) = compare({"r": [result("r", 0, [1])], "a": [result("a", 1, [1])]}, "r", "Dice")
    assert (found.pairs, found.p) == (0, None)


def test_many_equal_differences_then_still_a_p():
    assert 0 < p_value([0.1] * 10 + [0.0] * 3) < 0.01


@pytest.mark.parametrize(
    "differences",
    [[0.1] * 6, [1, 1, 1, 1, -1, 3, 3, 2], [1, 1, -1, 2, 2, 3, 0, -4, 5], [1, 2, 3, -4, 5, 6, 7]],
    ids=str,
)
def test_equal_differences_of_few_pairs_then_the_share_of_all_signs(differences):
    given = np.array([value for value in differences if value], float)
    ranks = [np.mean([np.sum(abs(given) < a) + 1, np.sum(abs(given) <= a)]) for a in abs(given)]
    sums = [np.dot(signs, ranks) for signs in itertools.product((-1, 1), repeat=len(given))]
    wanted = np.mean(np.abs(sums) >= abs(np.dot(np.sign(given), ranks)))
    assert p_value(differences) == pytest.approx(wanted)


def test_holm_then_never_above_one_and_in_order():
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
