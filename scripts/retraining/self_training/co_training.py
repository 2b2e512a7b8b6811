"""Labels for unlabelled items, given by two classifiers that agree ("divide-co-training").

The labelled items are divided into two halves. One half trains a label spreading over the graph of
nearest neighbours, the other half a logistic regression. An item on which both agree gets the
label, the surest first, and is among the labelled items of the next round.

Source: Sun, Tseng, Zhang, Qian, Enhancing deep convolutional neural network scheme for breast
cancer diagnosis with unlabeled data, Computerized Medical Imaging and Graphics 57, 2017: from few
labelled items, by weighting, selection of features and co-training on a graph. Only its abstract
could be read: the sizes, the weight and the order of the steps are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading

from scripts.volumes.geometry import Floats

UNLABELLED = -1  # of scikit-learn's semi-supervised classifiers
ITERATIONS = 1000  # at most, of either classifier
LEAST_LABELLED = 4  # of each class: two in each half


@dataclass(frozen=True)
class CoTraining:
    """How labels are given.

    Args:
        neighbours: of an item in the graph, and of its weight.
        variance: share of the features' variance that the principal components keep.
        share: largest number of items of a round, as a share of all unlabelled ones.
        rounds: largest number of rounds.
        least_weight: items of a lower weight are too far from labelled ones in this round. The
            weight is exp(-d^2 / 2 s^2): d is the mean distance of an item's nearest labelled
            neighbours, s the median of these distances among the labelled items themselves.
        seed: of the halves.
    """

    neighbours: int = 7
    variance: float = 0.95
    share: float = 0.2
    rounds: int = 10
    least_weight: float = 0.3
    seed: int = 0

    def give(self, labelled: Floats, labels: NDArray[np.bool_], unlabelled: Floats) -> Given:
        """Give every unlabelled item a label.

        In each round the classes get labels in the shares that they have among the labelled items.

        Args:
            labelled: features (L, F).
            labels: (L,).
            unlabelled: features (U, F).

        Raises:
            ValueError: for fewer than four labelled items of a class.
        """
        if min(labels.sum(), (~labels).sum()) < LEAST_LABELLED:
            raise ValueError(
                f"labels: must be at least {LEAST_LABELLED} of each class, got "
                f"{int(labels.sum())} and {int((~labels).sum())}; label more items"
            )
        points = reduced(np.vstack([labelled, unlabelled]), self.variance)
        known = np.concatenate([labels.astype(int), np.full(len(unlabelled), UNLABELLED)])
        rounds = np.zeros(len(known), int)
        shares = np.array([1 - labels.mean(), labels.mean()])
        most = np.ceil(self.share * len(unlabelled) * shares).astype(int)
        for number in range(1, self.rounds + 1):
            if not (known == UNLABELLED).any():
                break
            probabilities = self._probabilities(points, known, number)
            chosen = self._agreed(points, known, probabilities, most)
            if not len(chosen):
                break
            known[chosen] = probabilities.mean(axis=0)[chosen].argmax(axis=1)
            rounds[chosen] = number
        rest = np.flatnonzero(known == UNLABELLED)
        if len(rest):
            left = self._probabilities(points, known, self.rounds + 1)[:, rest]
            surer = left.max(axis=2).argmax(axis=0)
            known[rest] = left[surer, np.arange(len(rest))].argmax(axis=1)
        return Given(known[len(labelled) :] == 1, rounds[len(labelled) :])

    def _probabilities(self, points: Floats, known: NDArray[np.int_], number: int) -> Floats:
        """Return both classifiers' probabilities (2, items, 2), each trained on one half."""
        items = np.flatnonzero(known != UNLABELLED)
        draw = StratifiedShuffleSplit(1, test_size=0.5, random_state=self.seed + number)
        first, second = (items[half] for half in next(draw.split(items, known[items])))
        partly = np.full(len(known), UNLABELLED)
        partly[first] = known[first]
        graph = LabelSpreading(kernel="knn", n_neighbors=self.neighbours, max_iter=ITERATIONS).fit(
            points, partly
        )
        linear = LogisticRegression(max_iter=ITERATIONS).fit(points[second], known[second])
        return np.stack([graph.label_distributions_, linear.predict_proba(points)])

    def _agreed(
        self,
        points: Floats,
        known: NDArray[np.int_],
        probabilities: Floats,
        most: NDArray[np.int_],
    ) -> NDArray[np.int_]:
        """Return the items to label in this round, at most so many of each class."""
        todo = np.flatnonzero(known == UNLABELLED)
        near = self.weights(points[known != UNLABELLED], points[todo]) >= self.least_weight
        first, second = probabilities[:, todo].argmax(axis=2)
        agreed = near & (first == second)
        sureness = probabilities.mean(axis=0)[todo].max(axis=1)
        order = np.argsort(-sureness, kind="stable")
        surest = [order[agreed[order] & (first[order] == label)][: most[label]] for label in (0, 1)]
        return np.asarray(todo[np.concatenate(surest)], int)

    def weights(self, labelled: Floats, items: Floats) -> Floats:
        """Return the weight (items,) of each item; see the class."""
        count = min(self.neighbours, len(labelled) - 1)
        near = NearestNeighbors(n_neighbors=count).fit(labelled)
        usual = np.median(near.kneighbors()[0].mean(axis=1))
        distances = near.kneighbors(items)[0].mean(axis=1)
        return np.asarray(np.exp(-(distances**2) / (2 * max(usual, 1e-9) ** 2)))


@dataclass(frozen=True)
class Given:
    """Labels given to items.

    Attributes:
        labels: (items,).
        rounds: (items,), the round of each label, from 1; 0 for items that got that of the surer
            classifier in the end, as both did not agree or no labelled item was near.
    """

    labels: NDArray[np.bool_]
    rounds: NDArray[np.int_]


def reduced(features: Floats, variance: float) -> Floats:
    """Return (items, K): principal components of standardised features (items, F).

    Args:
        features: (items, F).
        variance: share of the variance to keep.
    """
    steps = make_pipeline(StandardScaler(), PCA(variance, svd_solver="full"))
    return np.asarray(steps.fit_transform(features))
