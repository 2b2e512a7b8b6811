"""Logistic regression with an L2 penalty on standardised features, and its choice of strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from scripts.volumes.geometry import Floats

Labels = NDArray[np.bool_]
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""C, the inverse of the penalty's weight, as in scikit-learn."""
STEPS, TOLERANCE = 100, 1e-8
LEAST_PROBABILITY = 1e-6  # so that one certain error does not decide a choice
Folds = Sequence[NDArray[np.bool_]]


@dataclass(frozen=True)
class Columns:
    """A group of features with its scaling, learnt from training nodules.

    Attributes:
        mean: (F,).
        scale: (F,), standard deviation; 1 for a constant feature.
        components: (K, F), principal components of the scaled features; None to keep them all.
    """

    mean: Floats
    scale: Floats
    components: Floats | None = None

    @classmethod
    def learn(cls, table: Floats, most: int | None) -> Columns:
        """Learn the scaling and, for more features than ``most``, so many principal components."""
        mean, scale = table.mean(axis=0), table.std(axis=0)
        scale = np.where(scale > 1e-9 * (1 + np.abs(mean)), scale, 1.0)
        if most is None or table.shape[1] <= most:
            return cls(mean, scale)
        _, values, axes = np.linalg.svd((table - mean) / scale, full_matrices=False)
        count = min(most, len(values))
        # components of equal variance: one penalty then suits the first and the last of them
        deviations = np.maximum(values[:count] / np.sqrt(len(table)), 1e-9)
        return cls(mean, scale, axes[:count] / deviations[:, None])

    def of(self, table: Floats) -> Floats:
        """Return (nodules, K): the scaled features of a table (nodules, F)."""
        scaled = (table - self.mean) / self.scale
        return scaled if self.components is None else np.asarray(scaled @ self.components.T)


@dataclass(frozen=True)
class Logistic:
    """A trained classifier: probability = 1 / (1 + exp(-(x . weights + intercept)))."""

    columns: tuple[Columns, ...]
    weights: Floats
    intercept: float
    strength: float

    def probabilities(self, tables: Sequence[Floats]) -> Floats:
        """Return the probability (nodules,) of the suspicious class.

        Args:
            tables: one (nodules, F) for each group of features.
        """
        inputs = np.hstack([c.of(table) for c, table in zip(self.columns, tables, strict=True)])
        return np.asarray(expit(inputs @ self.weights + self.intercept))


def fit(
    tables: Sequence[Floats], labels: Labels, strength: float, *, components: int | None = None
) -> Logistic:
    """Train a classifier.

    Args:
        tables: one (nodules, F) for each group of features, which are scaled apart.
        labels: (nodules,), true for suspicious.
        strength: C; the sum of log losses times C, plus half the squared weights, is minimised.
        components: largest number of features of a group; larger groups are reduced to so many
            principal components.

    Raises:
        ValueError: when all labels are equal.
    """
    columns = tuple(Columns.learn(table, components) for table in tables)
    inputs = np.hstack([c.of(table) for c, table in zip(columns, tables, strict=True)])
    weights, intercept = minimise(inputs, labels, strength)
    return Logistic(columns, weights, intercept, strength)


def minimise(inputs: Floats, labels: Labels, strength: float) -> tuple[Floats, float]:
    """Return weights and intercept; the intercept is not penalised.

    Raises:
        ValueError: when all labels are equal.
    """
    if labels.all() or not labels.any():
        raise ValueError(f"labels: must be of both kinds to train on, got {len(labels)} equal ones")
    model = LogisticRegression(C=strength, solver="newton-cholesky", tol=TOLERANCE, max_iter=STEPS)
    model.fit(inputs, labels)
    return np.asarray(model.coef_[0], float), float(model.intercept_[0])


def choose_strength(
    tables: Sequence[Floats], labels: Labels, tests: Folds, *, components: int | None = None
) -> float:
    """Return the C of :data:`STRENGTHS` with the lowest log loss on inner test folds.

    Args:
        tables: see :func:`fit`; of the training nodules only.
        labels: of these nodules.
        tests: for each inner fold, which nodules it tests.
        components: see :func:`fit`.
    """
    losses = np.zeros(len(STRENGTHS))
    for test in tests:
        train = ~test
        columns = [Columns.learn(table[train], components) for table in tables]
        inputs = np.hstack([c.of(table) for c, table in zip(columns, tables, strict=True)])
        for number, strength in enumerate(STRENGTHS):
            weights, intercept = minimise(inputs[train], labels[train], strength)
            losses[number] += log_loss(expit(inputs[test] @ weights + intercept), labels[test])
    return STRENGTHS[int(losses.argmin())]


def log_loss(probabilities: Floats, labels: Labels) -> float:
    """Return the sum of log losses."""
    right = np.where(labels, probabilities, 1 - probabilities)
    return float(-np.log(np.maximum(right, LEAST_PROBABILITY)).sum())
