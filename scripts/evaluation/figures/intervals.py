"""Confidence intervals of figures whose items are correlated within a patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import bootstrap

RESAMPLES = 2000


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval.

    Args:
        value: NaN if there are no items.
        n: number of items (nodules, slices, volumes ...).
        patients: number of patients.
        interval_95: lower and upper end; None if it cannot be estimated.
        reason: why there is no interval; None if there is one.
    """

    value: float
    n: int
    patients: int
    interval_95: tuple[float, float] | None
    reason: str | None

    @property
    def shown(self) -> str:
        """Value and interval for the screen.

        Example:
            >>> Figure(0.8244, 465, 265, (0.809, 0.837), None).shown
            '0.824 (0.809 to 0.837)'
        """
        ends = self.interval_95
        return f"{self.value:.3f}" + (f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else "")


def ratio_of_sums(
    numerators: Sequence[float],
    denominators: Sequence[float],
    patients: Sequence[str],
    *,
    seed: int = 0,
) -> Figure:
    """Return the ratio of two sums, with a 95 % percentile interval by bootstrap over patients.

    Patients are drawn with replacement, each with all of its items, 2000 times. A mean is the case
    where every denominator is 1; pooled Dice is the sum of 2 TP divided by that of 2 TP + FP + FN.

    Args:
        numerators: one per item.
        denominators: one per item, at least 0; items with 0 are ignored.
        patients: patient of each item.
        seed: seed of the resampling.

    Raises:
        ValueError: when the three differ in length or a value is not finite.

    Source:
        Field and Welsh, Bootstrapping clustered data, J. R. Stat. Soc. B 69(3), 2007 (the cluster
        bootstrap); drawn by ``scipy.stats.bootstrap`` over paired sums per patient.

    Example:
        >>> figure = ratio_of_sums([0.8, 0.9, 0.4], [1, 1, 1], ["a", "a", "b"])
        >>> round(figure.value, 3), figure.n, figure.patients, figure.interval_95[0]
        (0.7, 3, 2, 0.4)
    """
    over, under = np.asarray(numerators, float), np.asarray(denominators, float)
    if not len(over) == len(under) == len(patients):
        raise ValueError(
            "numerators, denominators, patients: must have one length, got "
            f"{len(over)}, {len(under)}, {len(patients)}"
        )
    if not (np.isfinite(over).all() and np.isfinite(under).all()):
        raise ValueError("numerators, denominators: must be finite; leave undefined items out")
    counted = under > 0
    n = int(counted.sum())
    if n == 0:
        return Figure(float("nan"), 0, 0, None, "nothing to average")
    names, index = np.unique(np.asarray(patients)[counted], return_inverse=True)
    sums = [np.bincount(index, part[counted]).astype(float) for part in (over, under)]
    value = float(sums[0].sum() / sums[1].sum())
    if len(names) == 1:
        return Figure(value, n, 1, None, "one patient: no spread between patients to estimate")
    return Figure(value, n, len(names), _interval(sums[0], sums[1], seed=seed), None)


def _interval(
    over: npt.NDArray[np.float64],
    under: npt.NDArray[np.float64],
    *,
    seed: int,
) -> tuple[float, float]:
    """Estimate the interval by resampling the sums of patients."""
    result = bootstrap(
        (over, under),
        lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        n_resamples=RESAMPLES,
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    low, high = result.confidence_interval
    return float(low), float(high)


def mean(values: Sequence[float], patients: Sequence[str], *, seed: int = 0) -> Figure:
    """Return the mean of the values that are not NaN, with interval; see :func:`ratio_of_sums`."""
    array = np.asarray(values, float)
    defined = ~np.isnan(array)
    kept = [patient for patient, keep in zip(patients, defined, strict=True) if keep]
    return ratio_of_sums(array[defined].tolist(), [1.0] * len(kept), kept, seed=seed)
