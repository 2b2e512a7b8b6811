import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from scripts.unsupervised.clusters.scores import agreement


def nmi_by_hand(clusters, classes):
    """Mutual information over the mean of the entropies, from the joint frequencies."""

    def entropy(values):
        shares = np.unique(values, return_counts=True)[1] / len(values)
        return -(shares * np.log(shares)).sum()

    joint = entropy(clusters * 1000 + classes)
    return (
        2 * (entropy(clusters) + entropy(classes) - joint) / (entropy(clusters) + entropy(classes))
    )


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def best_sum_by_trial(clusters, classes):
    """The largest sum of Dice over all one-to-one matchings."""
    names, numbers = np.unique(classes), np.unique(clusters)
    size = min(len(names), len(numbers))
    return max(
        sum(dice(classes == n, clusters == c) for n, c in zip(some, order, strict=True))
        for some in itertools.combinations(names, size)
        for order in itertools.permutations(numbers, size)
    )


@pytest.mark.parametrize(("clusters", "classes"), [(3, 3), (4, 2), (2, 4)])
def test_scores_when_all_matchings_are_tried_then_the_best(clusters, classes):
    rng = np.random.default_rng(clusters)
    truth = rng.integers(0, classes, 400)
    found = np.where(rng.random(400) < 0.6, truth % clusters, rng.integers(0, clusters, 400)) + 1
    score = agreement(found, truth)
    assert sum(score.dice.values()) == pytest.approx(best_sum_by_trial(found, truth))
    assert score.nmi == pytest.approx(nmi_by_hand(found, truth))
    assert score.nmi == pytest.approx(normalized_mutual_info_score(truth, found))
    assert len(set(score.cluster_of.values())) == len(score.cluster_of) == min(clusters, classes)
    right = sum(((truth == n) & (found == c)).sum() for n, c in score.cluster_of.items())
    assert score.accuracy == right / 400
    assert score.voxels == 400
    assert all(score.dice[n] == 0 for n in range(classes) if n not in score.cluster_of)


def test_scores_when_names_are_exchanged_then_perfect():
    truth = np.array([0, 0, 1, 1, 4])
    score = agreement(np.array([3, 3, 1, 1, 2]), truth)
    assert score.nmi == pytest.approx(1)
    assert score.accuracy == 1
    assert score.cluster_of == {0: 3, 1: 1, 4: 2}


def test_scores_of_clusters_by_chance_then_no_information():
    rng = np.random.default_rng(0)
    score = agreement(rng.integers(1, 4, 20000), rng.integers(0, 3, 20000))
    assert score.nmi < 0.001


def test_small_class_then_gets_its_cluster_although_few_voxels_count():
    truth = np.repeat([0, 1], [1000, 20])
    found = np.repeat([1, 2, 2], [600, 400, 20])
    found[600:620], found[1000:] = 3, 3  # a third cluster: all of class 1 and some of the rest
    assert agreement(found, truth).cluster_of == {0: 1, 1: 3}


def test_one_class_then_no_nmi():
    score = agreement(np.array([1, 2, 2]), np.array([0, 0, 0]))
    assert math.isnan(score.nmi)
    assert score.dice == {0: 0.8}


def test_nothing_to_compare_then_refused():
    with pytest.raises(ValueError, match="equally many and not empty"):
        agreement(np.array([], int), np.array([], int))
