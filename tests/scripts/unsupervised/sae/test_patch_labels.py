import numpy as np
import pytest
from scipy.optimize import nnls

from scripts.unsupervised.sae.patch_labels import (
    PatchMatching,
    Scaling,
    VoxelClassifier,
    sparse_weights,
)


@pytest.fixture
def examples():
    """Two clouds of features at places 0 and 10; labels by the cloud."""
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40).astype(np.uint8)
    features = random.normal(0, 0.3, (80, 6))
    features[:, 0] += np.where(labels, 2, -2)
    place = np.column_stack([np.zeros(80), np.zeros(80), random.uniform(0, 1, 80)])
    return features, place, labels


def test_weights_then_at_least_0_and_the_optimum_of_the_lasso():
    random = np.random.default_rng(1)
    parts, wanted = random.normal(0, 1, (12, 8)), random.normal(0, 1, 12)
    weights = sparse_weights(wanted, parts, 0.2)
    alpha = 0.2 * (wanted @ parts).max() / 12
    gradient = parts.T @ (parts @ weights - wanted) / 12 + alpha
    assert weights.min() >= 0
    assert gradient[weights > 0] == pytest.approx(0, abs=2e-2 * alpha)
    assert gradient.min() > -2e-2 * alpha
    assert 0 < np.count_nonzero(weights) < np.count_nonzero(nnls(parts, wanted)[0]) + 1


def test_penalty_then_fewer_weights_the_larger_it_is():
    random = np.random.default_rng(2)
    parts, wanted = random.uniform(0, 1, (12, 10)), random.uniform(0, 1, 12)
    used = [np.count_nonzero(sparse_weights(wanted, parts, p)) for p in (0.001, 0.5, 0.99)]
    assert used[0] > used[2] >= 1


def test_nothing_alike_then_all_weights_0():
    assert not sparse_weights(np.ones(3), -np.ones((3, 2)), 0.1).any()


def test_matching_then_labels_of_the_alike(examples):
    features, place, labels = examples
    matching = PatchMatching(features, place, labels, search=2, candidates=10)
    new = np.random.default_rng(3).normal(0, 0.3, (20, 6))
    new[:, 0] += np.repeat([-2, 2], 10)
    assert matching.label(new, np.zeros((20, 3))).tolist() == [0] * 10 + [1] * 10


def test_matching_then_only_examples_within_the_search(examples):
    features, place, labels = examples
    far = place + np.array([0, 0, 10])
    both, others = np.concatenate([place, far]), np.concatenate([labels, 1 - labels])
    matching = PatchMatching(
        np.concatenate([features, features]), both, others, search=2, candidates=10
    )
    new = np.tile(features[:5], (2, 1))
    where = np.repeat([[0, 0, 0.5], [0, 0, 10.5]], 5, axis=0)
    assert matching.label(new, where).tolist() == [0] * 5 + [1] * 5


def test_few_examples_within_the_search_then_the_nearest_by_place(examples):
    features, place, labels = examples
    near = np.argsort(np.abs(place[:, 2] - 0.5))[:10]
    changed = np.zeros_like(labels)
    changed[near] = 1
    matching = PatchMatching(features, place, changed, search=1e-6, candidates=10)
    assert matching.label(features[:4], np.tile([0, 0, 0.5], (4, 1))).tolist() == [1] * 4


def test_voxel_like_no_example_then_the_most_similar_decides():
    features = np.array([[1.0, 1.0], [1.1, 0.9], [-1.0, -1.0], [-1.1, -0.9]])
    matching = PatchMatching(
        features, np.zeros((4, 3)), np.array([0, 0, 5, 0], np.uint8), search=1, candidates=2
    )
    matching.features = np.abs(matching.features)  # so that no product is positive
    assert matching.label(-np.abs(features[2:3]), np.zeros((1, 3))).tolist() in ([0], [5])
    assert not sparse_weights(
        matching.scaling(-np.abs(features[2])), matching.features.T, 0.1
    ).any()


def test_classes_then_the_largest_sum_of_weights_wins():
    features = np.array([[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0], [0, 0.1, 4.1]])
    matching = PatchMatching(
        features, np.zeros((4, 3)), np.array([0, 3, 7, 7], np.uint8), search=1, candidates=4
    )
    assert matching.label(features[[1, 2]], np.zeros((2, 3))).tolist() == [3, 7]


def test_feature_that_never_varies_then_without_effect():
    scaled = Scaling.of(np.array([[1.0, 2.0], [1.0, 4.0]]))(np.array([[9.0, 5.0]]))
    assert scaled.tolist() == [[0.0, 2.0]]


def test_classifier_then_labels_of_the_alike_and_classes_of_three(examples):
    features, place, labels = examples
    assert (VoxelClassifier(features, labels).label(features, place) == labels).all()
    third = features.copy()
    third[:, 1] += 6
    classifier = VoxelClassifier(
        np.concatenate([features, third]), np.concatenate([labels, np.full(80, 4, np.uint8)])
    )
    assert classifier.label(third[:3], place[:3]).tolist() == [4, 4, 4]


@pytest.mark.parametrize(("name", "value"), [("candidates", 0), ("penalty", 1.0), ("penalty", 0)])
def test_number_out_of_range_then_refused(examples, name, value):
    with pytest.raises(ValueError, match=name):
        PatchMatching(*examples, search=1, **{name: value})
