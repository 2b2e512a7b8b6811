"""What a gain by self-training shows, and the gain of a pooled figure with its interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scripts.evaluation.figures.intervals import RESAMPLES, Figure


def verdict(gain: Figure) -> str:
    """Say what a gain shows: only an interval on one side of zero shows any.

    Example:
        >>> verdict(Figure(0.02, 500, 300, (0.005, 0.04), None))
        'helped'
        >>> verdict(Figure(0.02, 500, 300, (-0.005, 0.04), None))
        'did not help: no difference is shown'
    """
    low, high = gain.interval_95 or (-np.inf, np.inf)
    if low > 0:
        return "helped"
    return "did harm" if high < 0 else "did not help: no difference is shown"


def gain_of_ratios(
    first: Sequence[tuple[float, float]],
    second: Sequence[tuple[float, float]],
    patients: Sequence[str],
    *,
    seed: int = 0,
) -> Figure:
    """Return by how much one ratio of sums exceeds another on the same items.

    Args:
        first: numerator and denominator of each item.
        second: the same of another method.
        patients: of each item; the 95 % interval is that of a bootstrap over patients.
        seed: of the resampling.

    Raises:
        ValueError: without any item.

    Example:
        >>> one, other = [(2, 2), (2, 4)], [(1, 2), (2, 4)]
        >>> round(gain_of_ratios(one, other, ["a", "b"]).value, 3)
        0.167
    """
    if not len(patients):
        raise ValueError("patients: must be at least one, got none")
    names, index = np.unique(np.asarray(patients), return_inverse=True)
    parts = np.column_stack([np.asarray(items, float) for items in (first, second)])  # (items, 4)
    sums = np.zeros((len(names), 4))
    np.add.at(sums, index, parts)
    drawn = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), RESAMPLES
    )
    totals = np.vstack([np.ones(len(names)), drawn]) @ sums
    with np.errstate(invalid="ignore", divide="ignore"):
        gains = np.asarray(totals[:, 0] / totals[:, 1] - totals[:, 2] / totals[:, 3], float)
    if len(names) == 1 or not np.isfinite(gains[1:]).any():
        reason = "one patient: no spread between patients to estimate"
        return Figure(float(gains[0]), len(parts), len(names), None, reason)
    low, high = np.nanpercentile(gains[1:], (2.5, 97.5))
    return Figure(float(gains[0]), len(parts), len(names), (float(low), float(high)), None)
