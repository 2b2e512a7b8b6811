"""Labels of voxels by example: sparse patch matching, and a logistic classifier of features.

Patch matching after Guo et al., MICCAI 2014: the patch of a voxel is put together from few patches
of other patients near the same place, and their labels vote with the weights. What could not be
checked in the paper and is our choice: how many patches are looked at, and the size of the penalty.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LogisticRegression

from scripts.running.options import check_whole

Features = NDArray[np.float64]
Places = NDArray[np.float64]
Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Scaling:
    """Features with mean 0 and deviation 1 among the examples; one that never varies stays 0."""

    mean: Features
    deviation: Features

    @classmethod
    def of(cls, features: Features) -> Scaling:
        """Take mean and deviation of (N, F)."""
        deviation = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(deviation > 0, deviation, np.inf))

    def __call__(self, features: Features) -> Features:
        """Scale (N, F)."""
        scaled: Features = (features - self.mean) / self.deviation
        return scaled


class Labeller(Protocol):
    """Labels voxels from their features and places."""

    def label(self, features: Features, place: Places) -> Labels:
        """Return the labels (N,) of voxels with features (N, F) and places (N, 3)."""


class PatchMatching:
    """Labels a voxel by a vote of the examples whose patches make up its own.

    Of the examples within ``search`` of its place, the ``candidates`` with the most similar
    features are looked at. Their weights w >= 0 minimise |f - A w|^2 / (2 F) + a sum(w), with the
    voxel's features f, those of the candidates as columns of A, and a = ``penalty`` times the
    smallest value with which all weights are 0. The label with the largest sum of weights wins.
    Fewer examples than ``candidates`` within ``search``: the nearest by place, whatever their
    distance. All weights 0, as no candidate resembles the voxel: the most similar one decides.
    """

    def __init__(
        self,
        features: Features,
        place: Places,
        labels: Labels,
        *,
        search: float,
        candidates: int = 32,
        penalty: float = 0.1,
    ) -> None:
        """Keep the examples.

        Args:
            features: (N, F) of the examples.
            place: (N, 3).
            labels: (N,).
            search: distance of places.
            candidates: number of examples that are looked at for a voxel.
            penalty: between 0 and 1; the larger, the fewer examples vote.

        Raises:
            ValueError: for a number out of range.
        """
        check_whole("candidates", candidates, 1)
        if not 0 < penalty < 1:
            raise ValueError(f"penalty: must be a number between 0 and 1, got {penalty!r}")
        self.scaling = Scaling.of(features)
        self.features = self.scaling(features)
        self.labels, self.values = labels, np.unique(labels)
        self.tree = cKDTree(place)
        self.search, self.candidates, self.penalty = search, candidates, penalty

    def label(self, features: Features, place: Places) -> Labels:
        """Return the labels (N,) of voxels with features (N, F) and places (N, 3)."""
        scaled = self.scaling(features)
        near = self.tree.query_ball_point(place, self.search)
        most = min(self.candidates, len(self.labels))
        labels = np.empty(len(scaled), np.uint8)
        for number, feature in enumerate(scaled):
            within = np.asarray(near[number], np.int64)
            if len(within) < most:
                within = np.atleast_1d(self.tree.query(place[number], most)[1])
            distance = np.square(self.features[within] - feature).sum(axis=1)
            chosen = within[np.argsort(distance, kind="stable")[:most]]
            labels[number] = self._vote(feature, chosen)
        return labels

    def _vote(self, feature: Features, chosen: NDArray[np.int64]) -> int:
        labels = self.labels[chosen]
        if (labels == labels[0]).all():  # whatever the weights
            return int(labels[0])
        weights = sparse_weights(feature, self.features[chosen].T, self.penalty)
        if not weights.any():
            return int(labels[0])
        sums = [weights[labels == value].sum() for value in self.values]
        return int(self.values[int(np.argmax(sums))])


def sparse_weights(wanted: Features, parts: Features, penalty: float) -> Features:
    """Return weights of at least 0 with which few parts make up the wanted vector.

    Args:
        wanted: (F,).
        parts: (F, N), one part a column.
        penalty: of the sum of weights, as a share of the smallest with which all of them are 0.

    Returns:
        (N,); all 0 when no part has a positive product with the wanted vector.

    Example:
        >>> parts = np.array([[1.0, 0.0, 0.7], [0.0, 1.0, 0.7]])
        >>> sparse_weights(np.array([2.0, 0.0]), parts, 0.01).round(2).tolist()
        [1.98, 0.0, 0.0]
    """
    largest = float((wanted @ parts).max()) / len(wanted)
    if largest <= 0:
        return np.zeros(parts.shape[1])
    lasso = Lasso(alpha=penalty * largest, positive=True, fit_intercept=False, tol=1e-3)
    with warnings.catch_warnings():  # a vote does not depend on the last digits of the weights
        warnings.simplefilter("ignore", ConvergenceWarning)
        weights: Features = lasso.fit(parts, wanted).coef_
    return weights


class VoxelClassifier:
    """Labels voxels by logistic regression (softmax for several classes) of their features.

    Each label counts alike in the training, however many voxels have it. Few nodules make few
    examples for many features, hence the strong regularisation; both are our choice.
    """

    def __init__(self, features: Features, labels: Labels) -> None:
        """Train on examples.

        Args:
            features: (N, F).
            labels: (N,), of two values at least.
        """
        self.scaling = Scaling.of(features)
        self.model = LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000)
        self.model.fit(self.scaling(features), labels)

    def label(self, features: Features, place: Places) -> Labels:
        """Return the labels (N,) of voxels with features (N, F); their places do not count."""
        labels: Labels = self.model.predict(self.scaling(features)).astype(np.uint8)
        return labels
