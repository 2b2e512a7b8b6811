import numpy as np
import pytest
from scipy import sparse

from scripts.unsupervised.clusters.agglomeration import (
    Clusters,
    best_pair,
    initial_clusters,
    neighbour_affinity,
)


def points(count=14, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3))


def affinity_by_loops(features, neighbours):
    """The definition: exp(-d^2 / s^2) to each neighbour, s^2 the mean over all of d^2."""
    count = len(features)
    squares = np.array([[((a - b) ** 2).sum() for b in features] for a in features])
    near = [sorted((j for j in range(count) if j != i), key=lambda j: squares[i, j]) for i in
            range(count)]  # fmt: skip
    near = [row[:neighbours] for row in near]
    width = np.mean([squares[i, j] for i in range(count) for j in near[i]])
    affinity = np.zeros((count, count))
    for i in range(count):
        for j in near[i]:
            affinity[i, j] = np.exp(-squares[i, j] / width)
    return affinity


def affinity_of_clusters(affinity, a, b):
    """The definition, with matrices of the two clusters' samples."""
    there, back = affinity[np.ix_(a, b)], affinity[np.ix_(b, a)]
    return (there @ back).sum() / len(a) ** 2 + (back @ there).sum() / len(b) ** 2


def merged_by_loops(affinity, labels, target, local):
    """Merge by the definition, all affinities computed anew in each step."""
    groups = [list(np.flatnonzero(labels == k)) for k in range(labels.max() + 1)]
    while len(groups) > target:
        table = [
            [affinity_of_clusters(affinity, a, b) if a is not b else 0.0 for b in groups]
            for a in groups
        ]
        best, pair = -np.inf, None
        for k, row in enumerate(table):
            others = sorted((v for m, v in enumerate(row) if m != k), reverse=True)[:local]
            rest = others[1:]
            value = others[0] + (np.mean([others[0] - v for v in rest]) if rest else 0)
            if others[0] > 0 and value > best:
                best, pair = value, (k, int(np.argmax(row)))
        if pair is None:
            break
        kept, gone = sorted(pair)
        groups[kept] += groups.pop(gone)
    return {frozenset(map(int, group)) for group in groups}


def as_sets(labels):
    return {frozenset(np.flatnonzero(labels == k).tolist()) for k in np.unique(labels)}


@pytest.mark.parametrize("neighbours", [1, 4])
def test_affinity_when_computed_by_loops_then_equal(neighbours):
    features = points()
    found = neighbour_affinity(features, neighbours).toarray()
    assert np.allclose(found, affinity_by_loops(features, neighbours))


def test_affinity_when_samples_are_few_then_all_others_are_neighbours():
    found = neighbour_affinity(points(4), 20).toarray()
    assert ((found > 0) == ~np.eye(4, dtype=bool)).all()


def test_affinity_of_equal_samples_then_one_and_finite():
    found = neighbour_affinity(np.ones((4, 2)), 2).toarray()
    assert np.isin(found, (0, 1)).all()
    assert (found.sum(axis=1) == 2).all()


def test_affinity_of_one_sample_then_refused():
    with pytest.raises(ValueError, match="at least 2 samples and 1 neighbour, got 1 and 20"):
        neighbour_affinity(points(1), 20)


def test_initial_clusters_then_components_of_first_neighbours():
    features = points(30)
    affinity = affinity_by_loops(features, 3)
    parent = list(range(30))

    def root(k):
        while parent[k] != k:
            k = parent[k]
        return k

    for k in range(30):
        parent[root(k)] = root(int(affinity[k].argmax()))
    groups = {}
    for k in range(30):
        groups.setdefault(root(k), set()).add(k)
    found = initial_clusters(neighbour_affinity(features, 3))
    assert as_sets(found) == set(map(frozenset, groups.values()))


def test_affinities_of_clusters_when_computed_by_definition_then_equal():
    features, labels = points(), np.arange(14) % 4
    affinity = neighbour_affinity(features, 5)
    found = Clusters(affinity, labels).affinities()
    dense = affinity.toarray()
    for a in range(4):
        for b in range(4):
            rows = np.flatnonzero(labels == a), np.flatnonzero(labels == b)
            expected = affinity_of_clusters(dense, *rows) if a != b else 0
            assert found[a, b] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("local", [2, 5])
@pytest.mark.parametrize("target", [2, 6])
def test_merging_when_done_by_loops_then_same_clusters(seed, local, target):
    affinity = neighbour_affinity(points(20, seed), 5)
    labels = np.arange(20)
    clusters = Clusters(affinity, labels)
    clusters.merge_down(target, local=local)
    expected = merged_by_loops(affinity.toarray(), labels, target, local)
    assert as_sets(clusters.labels) == expected
    assert sorted(set(clusters.labels)) == list(range(clusters.count))


def test_affinities_after_merging_then_those_of_the_new_clusters():
    affinity = neighbour_affinity(points(20), 5)
    clusters = Clusters(affinity, np.arange(20))
    clusters.merge_down(5)
    assert np.allclose(clusters.affinities(), Clusters(affinity, clusters.labels).affinities())


def test_merging_of_unconnected_groups_then_stops_above_the_target():
    far = np.concatenate([points(6), points(6, 1) + 100])
    clusters = Clusters(neighbour_affinity(far, 5), np.arange(12))
    clusters.merge_down(1)
    assert as_sets(clusters.labels) == {frozenset(range(6)), frozenset(range(6, 12))}


def test_labels_given_then_left_unchanged():
    labels = np.arange(8)
    Clusters(neighbour_affinity(points(8), 3), labels).merge_down(2)
    assert labels.tolist() == list(range(8))


def test_pair_when_a_looser_pair_is_isolated_then_that_pair():
    #   0 and 1 are closest, but 2 is almost as close to 1; 3 and 4 have no one else
    affinities = np.zeros((5, 5))
    for a, b, value in ((0, 1, 1.0), (1, 2, 0.95), (0, 2, 0.9), (3, 4, 0.8)):
        affinities[a, b] = affinities[b, a] = value
    assert best_pair(affinities, 2) == (3, 4)
    assert best_pair(affinities, 1) == (0, 1)


def test_pair_of_unconnected_clusters_then_none():
    assert best_pair(np.zeros((3, 3)), 5) is None


def test_affinity_is_sparse_so_that_thousands_of_patches_fit():
    assert sparse.issparse(neighbour_affinity(points(), 3))
