"""Statistics of a study: intervals over seeds and patients, paired tests corrected by Holm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata, wilcoxon

from scripts.evaluation.figures.intervals import RESAMPLES
from scripts.study.reporting.results import CaseValue, Result

FEWEST_PAIRS = 6  # with fewer, no difference could reach p < 0.05
MOST_EXACT = 25  # pairs, above which the normal approximation is close enough


@dataclass(frozen=True)
class Estimate:
    """A figure over all seeds.

    Args:
        value: mean over the seeds; NaN without results.
        interval_95: 95 % interval; None with a single seed and patient.
        seeds: number of seeds.
        patients: number of patients of all seeds.
        cases: number of cases of all seeds.
    """

    value: float
    interval_95: tuple[float, float] | None
    seeds: int
    patients: int
    cases: int


def estimate(results: Sequence[Result], heading: str, *, seed: int = 0) -> Estimate:
    """Average a figure over seeds, with a 95 % percentile interval by bootstrap at two levels.

    Each of 2000 resamples draws seeds with replacement, and patients with replacement with all
    their cases; a patient who was tested with several seeds contributes to each of them.

    Args:
        results: of one row, one per seed.
        heading: of the figure.
        seed: of the resampling.
    """
    values = [result.values.get(heading, ()) for result in results]
    patients = sorted({case.patient for cases in values for case in cases})
    single = [result.figure(heading) for result in results]
    defined = [value for value in single if not math.isnan(value)]
    count = len({case.case for cases in values for case in cases})
    value = float(np.mean(defined)) if defined else math.nan
    interval = None
    if len(defined) > 1 or (defined and len(patients) > 1):
        interval = _interval(*_sums(values, patients), np.random.default_rng(seed))
    return Estimate(value, interval, len(defined), len(patients), count)


Sums = npt.NDArray[np.float64]


def _sums(values: Sequence[Sequence[CaseValue]], patients: Sequence[str]) -> tuple[Sums, Sums]:
    """Sum numerators and denominators by seed and patient: two (S, P) arrays."""
    column = {patient: index for index, patient in enumerate(patients)}
    over, under = np.zeros((2, len(values), len(patients)))
    for row, cases in enumerate(values):
        for case in cases:
            over[row, column[case.patient]] += case.over
            under[row, column[case.patient]] += case.under
    return over, under


def _interval(over: Sums, under: Sums, rng: np.random.Generator) -> tuple[float, float] | None:
    seeds, patients = over.shape
    weights = rng.multinomial(patients, np.full(patients, 1 / patients), size=RESAMPLES)
    above, below = weights @ over.T, weights @ under.T  # (resamples, seeds)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = above / below
    drawn = rng.integers(0, seeds, size=(RESAMPLES, seeds))
    chosen = np.take_along_axis(ratios, drawn, axis=1)
    finite = np.isfinite(chosen)
    rows = finite.any(axis=1)
    means = np.where(finite, chosen, 0).sum(axis=1)[rows] / finite.sum(axis=1)[rows]
    if not len(means):
        return None
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Comparison:
    """The comparison of a row with the reference on the same cases.

    Args:
        row: its name.
        pairs: number of cases of both rows.
        patients: number of patients of these cases.
        difference: mean over the cases of row minus reference; NaN without pairs.
        interval_95: of that mean, by bootstrap over patients; None with a single patient.
        p: two-sided, over the patients' mean differences; None with too few patients.
        p_holm: p corrected for all comparisons of the study.
    """

    row: str
    pairs: int
    patients: int
    difference: float
    interval_95: tuple[float, float] | None
    p: float | None
    p_holm: float | None = None


def compare(rows: Mapping[str, Sequence[Result]], reference: str, heading: str) -> list[Comparison]:
    """Test every row against one by Wilcoxon's signed-rank test, corrected by Holm.

    A case that several seeds tested counts once, with its mean over the seeds of both rows. Cases
    of one patient are not independent, so the test is of the patients' mean differences, and the
    interval is by bootstrap over patients with all their cases.

    Args:
        rows: name -> results, one per seed.
        reference: name of the row to test against.
        heading: of the figure to compare.

    Source:
        Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1(6), 1945; Holm,
        A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6(2), 1979.
    """
    comparisons = [
        _comparison(row, paired(results, rows.get(reference, ()), heading))
        for row, results in rows.items()
        if row != reference
    ]
    corrected = iter(holm([one.p for one in comparisons if one.p is not None]))
    return [one if one.p is None else replace(one, p_holm=next(corrected)) for one in comparisons]


def _comparison(row: str, differences: Mapping[str, Sequence[float]], seed: int = 0) -> Comparison:
    """Compare from the differences of each patient's cases."""
    count = sum(map(len, differences.values()))
    if not count:
        return Comparison(row, 0, 0, math.nan, None, None)
    over = np.array([[math.fsum(own) for own in differences.values()]])
    under = np.array([[float(len(own)) for own in differences.values()]])
    interval = None
    if len(differences) > 1:
        interval = _interval(over, under, np.random.default_rng(seed))
    p = p_value((over / under)[0].tolist())
    return Comparison(row, count, len(differences), float(over.sum() / count), interval, p)


def paired(
    first: Sequence[Result], second: Sequence[Result], heading: str
) -> dict[str, list[float]]:
    """Return the differences of the cases of two rows, first minus second, by patient."""
    others = {result.seed: _by_case(result, heading) for result in second}
    gathered: dict[tuple[str, tuple[str, ...]], list[float]] = {}
    for result in first:
        own, other = _by_case(result, heading), others.get(result.seed, {})
        for case in own.keys() & other.keys():
            gathered.setdefault(case, []).append(own[case] - other[case])
    differences: dict[str, list[float]] = {}
    for case in sorted(gathered):
        differences.setdefault(case[0], []).append(float(np.mean(gathered[case])))
    return differences


def _by_case(result: Result, heading: str) -> dict[tuple[str, tuple[str, ...]], float]:
    cases = result.values.get(heading, ())
    return {(c.patient, c.case): c.over / c.under for c in cases if c.under}


def p_value(differences: Sequence[float]) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test; None for fewer than six pairs.

    Up to 25 pairs it is exact, also if some differ by the same amount, as rounded figures do: there
    the normal approximation can be half of it.

    Example:
        >>> p_value([0.1, 0.2, 0.3]) is None, p_value([0.0] * 8), p_value([1, 2, 3, 4, 5, 6])
        (True, 1.0, 0.03125)
    """
    if len(differences) < FEWEST_PAIRS:
        return None
    if not np.any(differences):
        return 1.0
    nonzero = [value for value in differences if value]  # Wilcoxon omits equal pairs
    if len(nonzero) <= MOST_EXACT:
        return _exact_p(np.array(nonzero))
    return float(wilcoxon(nonzero, method="approx").pvalue)


def _exact_p(differences: Sums) -> float:
    """Share of all signs of the differences whose rank sum is as far from its mean, or further."""
    doubled = np.rint(2 * rankdata(np.abs(differences))).astype(np.int64)  # ties halve them
    total = int(doubled.sum())
    share = np.zeros(total + 1)
    share[0] = 1.0
    for rank in doubled:
        share[rank:] += share[:-rank].copy()
        share /= 2
    away = np.abs(2 * np.arange(total + 1) - total)
    found = abs(2 * int(doubled[differences > 0].sum()) - total)
    return float(min(1.0, share[away >= found].sum()))


def holm(values: Sequence[float]) -> list[float]:
    """Correct p values for multiple testing by Holm's step-down method.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(values), 0.0
    order = sorted(range(len(values)), key=lambda index: values[index])
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, values[index] * (len(values) - rank)))
        corrected[index] = highest
    return corrected
