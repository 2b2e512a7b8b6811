"""Agglomerative clustering of samples on the graph of their nearest neighbours, as in JULE.

Source: Yang, Parikh, Batra, Joint unsupervised learning of deep representations and image clusters,
CVPR 2016, and the authors' code (JULE.torch); the affinity of clusters is that of Zhang et al.,
Graph degree linkage, ECCV 2012.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def neighbour_affinity(features: NDArray[np.floating], neighbours: int) -> sparse.csr_array:
    """Return the affinity of each sample to its nearest neighbours; that to others is 0.

    The affinity is exp(-d^2 / s^2), where d is the Euclidean distance and s^2 the mean of d^2 over
    all pairs of neighbours. A sample is no neighbour of itself.

    Args:
        features: (N, D).
        neighbours: number of neighbours of a sample; at most N - 1 are used.

    Returns:
        (N, N), row i: the affinities of sample i to its neighbours; not symmetric.

    Raises:
        ValueError: for fewer than two samples or no neighbours.
    """
    count = min(neighbours, len(features) - 1)
    if count < 1:
        raise ValueError(
            f"features, neighbours: needs at least 2 samples and 1 neighbour, got {len(features)} "
            f"and {neighbours}"
        )
    distances, indices = NearestNeighbors(n_neighbors=count).fit(features).kneighbors()
    squares = distances.ravel().astype(np.float64) ** 2
    width = squares.mean()
    weights = np.exp(-squares / width) if width > 0 else np.ones_like(squares)
    rows = np.repeat(np.arange(len(features)), count)
    shape = (len(features), len(features))
    return sparse.csr_array((weights, (rows, indices.ravel())), shape=shape)


def initial_clusters(affinity: sparse.csr_array) -> Labels:
    """Put each sample into one cluster with its nearest neighbour.

    The clusters are the connected components of the graph of first neighbours: two to four samples
    each on average.

    Args:
        affinity: (N, N), see :func:`neighbour_affinity`.

    Returns:
        (N,) labels 0, 1 ...

    Example:
        >>> line = np.array([[0.0], [1.0], [10.0], [11.5]])
        >>> initial_clusters(neighbour_affinity(line, 2)).tolist()
        [0, 0, 1, 1]
    """
    nearest = affinity.argmax(axis=1)
    count = affinity.shape[0]
    graph = sparse.csr_array(
        (np.ones(count), (np.arange(count), np.asarray(nearest).ravel())), shape=affinity.shape
    )
    _, labels = sparse.csgraph.connected_components(graph, directed=True, connection="weak")
    return np.asarray(labels, np.int64)


class Clusters:
    """Clusters of samples with their affinities, merged two by two.

    The affinity of clusters a and b is S(a, b) / |a|^2 + S(b, a) / |b|^2, where S(a, b) sums, over
    the samples k of b, the product of the affinities from a to k and from k to a.

    Args:
        affinity: (N, N) of the samples, see :func:`neighbour_affinity`.
        labels: (N,) cluster of each sample, 0, 1 ... without gaps.
    """

    def __init__(self, affinity: sparse.csr_array, labels: Labels) -> None:
        self.labels = labels.copy()
        count = int(labels.max()) + 1
        members = np.zeros((len(labels), count))
        members[np.arange(len(labels)), labels] = 1
        self._sizes = members.sum(axis=0)
        self._to = np.asarray(affinity.T @ members)  # from a cluster to each sample
        self._from = np.asarray(affinity @ members)  # from each sample to a cluster
        self._returned = (self._to * self._from).T @ members  # S(a, b)
        self._alive = np.ones(count, bool)

    @property
    def count(self) -> int:
        """Number of clusters."""
        return int(self._alive.sum())

    def affinities(self) -> Floats:
        """Return (C, C): the affinity of each two clusters; 0 on the diagonal."""
        one_way = self._returned / self._sizes[:, None] ** 2
        both: Floats = one_way + one_way.T
        np.fill_diagonal(both, 0)
        alive = np.flatnonzero(self._alive)
        return np.asarray(both[np.ix_(alive, alive)])

    def merge_down(self, target: int, *, local: int = 5) -> None:
        """Merge until ``target`` clusters are left, or no two of them are connected.

        Each step merges the cluster with the largest sum of A1 and the mean of A1 - Ak, where A1
        is the affinity to its nearest cluster and Ak, k = 2 ... ``local``, to the next ones, with
        that nearest cluster: two clusters that are close to each other and far from others.

        Args:
            target: number of clusters.
            local: number of nearest clusters that are compared.
        """
        affinities = self.affinities()
        alive = np.flatnonzero(self._alive)
        while len(alive) > max(target, 1):
            pair = best_pair(affinities, local)
            if pair is None:
                break
            kept, gone = sorted(pair)
            self._join(alive[kept], alive[gone])
            alive = np.delete(alive, gone)
            affinities = np.delete(np.delete(affinities, gone, axis=0), gone, axis=1)
            affinities[kept] = affinities[:, kept] = self._affinities_of(alive[kept])[alive]
        self._renumber()

    def _join(self, kept: int, gone: int) -> None:
        """Add the samples of one cluster to another."""
        self.labels[self.labels == gone] = kept
        self._sizes[kept] += self._sizes[gone]
        self._to[:, kept] += self._to[:, gone]
        self._from[:, kept] += self._from[:, gone]
        self._returned[:, kept] += self._returned[:, gone]
        there_and_back = self._to[:, kept] * self._from[:, kept]
        count = len(self._sizes)
        self._returned[kept] = np.bincount(self.labels, weights=there_and_back, minlength=count)
        self._alive[gone] = False

    def _affinities_of(self, cluster: int) -> Floats:
        sizes = self._sizes**2
        row = self._returned[cluster] / sizes[cluster] + self._returned[:, cluster] / sizes
        row[cluster] = 0
        return np.asarray(row)

    def _renumber(self) -> None:
        """Remove the clusters without samples, so that labels run without gaps."""
        alive = np.flatnonzero(self._alive)
        self.labels = np.searchsorted(alive, self.labels)
        self._sizes, self._returned = self._sizes[alive], self._returned[np.ix_(alive, alive)]
        self._to, self._from = self._to[:, alive], self._from[:, alive]
        self._alive = np.ones(len(alive), bool)


def best_pair(affinities: Floats, local: int) -> tuple[int, int] | None:
    """Return the two clusters to merge, see :meth:`Clusters.merge_down`; None if there are none.

    Args:
        affinities: (C, C), C at least 2.
        local: number of nearest clusters that are compared.

    Example:
        >>> close = np.array([[0, 3, 0.1], [3, 0, 2.9], [0.1, 2.9, 0]])
        >>> best_pair(close, 2)
        (0, 1)
    """
    compared = min(local, len(affinities) - 1)
    highest = -np.partition(-affinities, range(compared), axis=1)[:, :compared]
    first = highest[:, 0]
    if not first.any():
        return None
    apart = (first[:, None] - highest[:, 1:]).mean(axis=1) if compared > 1 else 0
    cluster = int(np.argmax(np.where(first > 0, first + apart, -np.inf)))
    return cluster, int(np.argmax(affinities[cluster]))
