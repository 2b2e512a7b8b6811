"""How clusters without names agree with annotated classes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

Values = NDArray[np.integer]


@dataclass(frozen=True)
class Agreement:
    """Agreement of clusters and classes on the voxels of a region.

    Args:
        nmi: normalised mutual information (by the mean of the entropies), 0 to 1; NaN if the region
            has fewer than two classes.
        cluster_of: class -> its cluster in the best one-to-one matching; classes without a
            cluster, if there are more classes than clusters, are left out.
        dice: class -> Dice with its cluster; 0 without one.
        accuracy: share of the voxels whose cluster is that of their class.
        voxels: of the region.
    """

    nmi: float
    cluster_of: dict[int, int]
    dice: dict[int, float]
    accuracy: float
    voxels: int


def agreement(clusters: Values, classes: Values) -> Agreement:
    """Compare clusters with classes.

    Clusters have no names: they are matched one to one with the classes (of the region) so that the
    sum of the classes' Dice coefficients is largest. These are after that matching and not to be
    compared with the Dice coefficients of a method that names its classes.

    Args:
        clusters: (N,) cluster of each voxel of a region.
        classes: (N,) annotated class of each.

    Raises:
        ValueError: for no voxels, or two different numbers of them.

    Example:
        >>> found = agreement(np.array([7, 7, 9, 9]), np.array([0, 0, 1, 0]))
        >>> found.cluster_of, found.dice[0], found.accuracy
        ({0: 7, 1: 9}, 0.8, 0.75)
    """
    if clusters.shape != classes.shape or not clusters.size:
        raise ValueError(
            f"clusters, classes: must be equally many and not empty, got {clusters.shape} and "
            f"{classes.shape}"
        )
    names, numbers, together = counted(classes, clusters)
    sizes = together.sum(axis=1)[:, None] + together.sum(axis=0)[None]
    dice = 2 * together / sizes
    rows, columns = linear_sum_assignment(dice, maximize=True)
    matched = {int(names[r]): int(numbers[c]) for r, c in zip(rows, columns, strict=True)}
    reached = {int(names[r]): float(dice[r, c]) for r, c in zip(rows, columns, strict=True)}
    return Agreement(
        nmi=normalised_information(together) if len(names) > 1 else math.nan,
        cluster_of=matched,
        dice={int(name): reached.get(int(name), 0.0) for name in names},
        accuracy=float(together[rows, columns].sum() / together.sum()),
        voxels=int(clusters.size),
    )


def counted(classes: Values, clusters: Values) -> tuple[Values, Values, NDArray[np.float64]]:
    """Count the voxels of each class in each cluster.

    scikit-learn's ``contingency_matrix`` sorts all voxels of a CT for this; values of at most 255
    need no sorting.

    Args:
        classes: (N,), 0 to 255.
        clusters: (N,), 0 to 255.

    Returns:
        The classes, the clusters, and their counts (classes, clusters).
    """
    pairs = classes.ravel().astype(np.uint16) * 256 + clusters.ravel().astype(np.uint16)
    table = np.bincount(pairs, minlength=256 * 256).reshape(256, 256)
    names, numbers = (np.flatnonzero(table.any(axis=axis)) for axis in (1, 0))
    return names, numbers, table[np.ix_(names, numbers)].astype(np.float64)


def normalised_information(together: NDArray[np.float64]) -> float:
    """Return the mutual information of a table of counts over the mean of the two entropies."""
    information = mutual_info_score(None, None, contingency=together)
    entropies = [entropy(together.sum(axis=axis)) for axis in (0, 1)]
    return float(information / np.mean(entropies))
