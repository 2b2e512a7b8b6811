"""Figures of a classifier of nodules, with intervals over patients: AUC, sensitivity, calibration.

Nodules of one patient are correlated, so that intervals are those of a bootstrap over patients
(Field and Welsh, J. R. Stat. Soc. B 69(3), 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.evaluation.figures.intervals import RESAMPLES, Figure, mean
from scripts.volumes.geometry import Floats

SPECIFICITY = 0.9
CALIBRATION_BINS = 8


@dataclass(frozen=True)
class Scored:
    """Nodules with label and out-of-fold probability.

    Attributes:
        labels: (nodules,), true for suspicious.
        scores: (nodules,), probability by a classifier that was not trained on the patient.
        patients: (nodules,).
        folds: (nodules,), the test fold of each.
    """

    labels: NDArray[np.bool_]
    scores: Floats
    patients: NDArray[np.str_]
    folds: NDArray[np.int64]

    def part(self, chosen: NDArray[np.bool_]) -> Scored:
        """Return some of the nodules."""
        return Scored(
            self.labels[chosen], self.scores[chosen], self.patients[chosen], self.folds[chosen]
        )

    def wins(self) -> tuple[Floats, Floats]:
        """Count the pairs of a suspicious and an unsuspicious nodule in one test fold.

        Scores of two folds come from two classifiers and are not compared.

        Returns:
            (P, P) for suspicious nodules of patient p and unsuspicious ones of patient q: the
            number of pairs in which the suspicious one has the higher score (half for ties), and
            of all pairs.
        """
        _, patient = np.unique(self.patients, return_inverse=True)
        own = np.eye(patient.max() + 1)[patient]
        yes, no = self.labels, ~self.labels
        difference = self.scores[yes][:, None] - self.scores[no][None, :]
        same = (self.folds[yes][:, None] == self.folds[no][None, :]).astype(float)
        higher = same * ((difference > 0) + 0.5 * (difference == 0))
        won, all_pairs = (own[yes].T @ pairs @ own[no] for pairs in (higher, same))
        return won, all_pairs


def auc(scored: Scored, *, seed: int = 0) -> Figure:
    """Return the area under the ROC curve within test folds, with its 95 % interval.

    It is the share of pairs of a suspicious and an unsuspicious nodule of one fold that the
    classifier orders rightly.
    """
    return _resampled(scored, [scored], seed)


def auc_gain(scored: Scored, other: Scored, *, seed: int = 0) -> Figure:
    """Return by how much the AUC exceeds that of another classifier on the same nodules."""
    return _resampled(scored, [scored, other], seed)


def _resampled(scored: Scored, both: Sequence[Scored], seed: int) -> Figure:
    """Return an AUC, or the difference of two, with a percentile interval."""
    count = len(np.unique(scored.patients))
    size = (len(scored.labels), count)
    if not scored.labels.any() or scored.labels.all():
        return Figure(float("nan"), *size, None, "nodules of one class only")
    tables = [each.wins() for each in both]
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    weights = np.vstack([np.ones(count), drawn])
    areas = []
    for won, pairs in tables:
        above, below = (((weights @ table) * weights).sum(axis=1) for table in (won, pairs))
        areas.append(np.divide(above, below, out=np.full(len(weights), np.nan), where=below > 0))
    values = areas[0] - areas[1] if len(areas) > 1 else areas[0]
    if np.isnan(values[0]):
        return Figure(float("nan"), *size, None, "no fold has nodules of both classes")
    low, high = np.nanpercentile(values[1:], (2.5, 97.5))
    return Figure(float(values[0]), *size, (float(low), float(high)), None)


def sensitivity_at_specificity(scored: Scored, *, seed: int = 0) -> Figure:
    """Return the point of the ROC curve at 90 % specificity, with its 95 % interval.

    The threshold is read off the same nodules: a point of the curve, not an operating point that
    was chosen on others.
    """
    names, patient = np.unique(scored.patients, return_inverse=True)
    value = _sensitivity(scored.labels, scored.scores)
    if np.isnan(value):
        return Figure(value, len(patient), len(names), None, "nodules of one class only")
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(RESAMPLES):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        chosen = np.repeat(np.arange(len(patient)), times[patient])
        drawn.append(_sensitivity(scored.labels[chosen], scored.scores[chosen]))
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return Figure(value, len(patient), len(names), (float(low), float(high)), None)


def _sensitivity(labels: NDArray[np.bool_], scores: Floats) -> float:
    """Return the share of suspicious nodules above the 90th percentile of the others."""
    if labels.all() or not labels.any():
        return float("nan")
    threshold = np.quantile(scores[~labels], SPECIFICITY, method="higher")
    return float((scores[labels] > threshold).mean())


def brier(scored: Scored, *, seed: int = 0) -> Figure:
    """Return the mean squared difference of probability and label, with its 95 % interval."""
    errors = (scored.scores - scored.labels) ** 2
    return mean(errors.tolist(), scored.patients.tolist(), seed=seed)


def calibration(scored: Scored) -> list[dict[str, Any]]:
    """Compare predicted with observed shares, in groups of equal numbers of nodules."""
    order = np.argsort(scored.scores, kind="stable")
    groups = [g for g in np.array_split(order, CALIBRATION_BINS) if g.size]
    return [
        {
            "nodules": len(group),
            "predicted": float(scored.scores[group].mean()),
            "observed": float(scored.labels[group].mean()),
        }
        for group in groups
    ]
