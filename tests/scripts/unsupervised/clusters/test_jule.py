import functools
import itertools

import numpy as np
import pytest
import torch

from custom_nets.survey.patch_embedding import PatchEmbedding
from scripts.unsupervised.clusters.jule import (
    JuleOptions,
    batches,
    clustered,
    features_of,
    learn_features,
    triplet_loss,
    triplets,
)
from scripts.unsupervised.clusters.patch_grid import ImagePatches

LABELS = np.array([0, 1, 0, 2, 1, 0])


def unit_vectors(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, 4, generator=generator))


def all_triplets(labels):
    count = range(len(labels))
    return [
        (i, j, k)
        for i, j, k in itertools.product(count, count, count)
        if i != j and labels[i] == labels[j] and labels[i] != labels[k]
    ]


def loss_by_loops(features, labels, weight, margin):
    excess = [
        weight * ((features[i] - features[j]) ** 2).sum()
        - ((features[i] - features[k]) ** 2).sum()
        + margin
        for i, j, k in all_triplets(labels)
    ]
    return torch.stack(excess).clamp(min=0).mean()


def test_triplets_then_all_and_no_others():
    found = list(zip(*(part.tolist() for part in triplets(LABELS)), strict=True))
    assert sorted(found) == all_triplets(LABELS)


@pytest.mark.parametrize(("weight", "margin"), [(1.0, 0.5), (2.0, 0.2)])
def test_loss_when_computed_by_loops_then_equal(weight, margin):
    features = unit_vectors(6)
    found = triplet_loss(features, LABELS, weight=weight, margin=margin)
    assert found.item() == pytest.approx(loss_by_loops(features, LABELS, weight, margin).item())


def test_gradient_then_brings_a_cluster_together_and_others_away():
    features = unit_vectors(3).requires_grad_()
    labels = np.array([0, 0, 1])
    triplet_loss(features, labels, weight=1.0, margin=2.0).backward()
    moved = torch.nn.functional.normalize((features - 0.05 * features.grad).detach())
    before, after = (torch.cdist(v, v) for v in (features.detach(), moved))
    assert after[0, 1] < before[0, 1]
    assert after[0, 2] + after[1, 2] > before[0, 2] + before[1, 2]


def test_loss_without_triplets_then_zero_with_a_gradient():
    features = unit_vectors(3).requires_grad_()
    loss = triplet_loss(features, np.array([0, 1, 2]), weight=1.0, margin=0.5)
    loss.backward()
    assert loss.item() == 0
    assert not features.grad.any()


def test_clusters_of_groups_at_the_end_then_the_groups():
    centres = np.repeat(np.eye(3), 40, axis=0)
    features = centres + np.random.default_rng(0).normal(0, 0.02, centres.shape)
    labels = clustered(features, JuleOptions(clusters=3), share=1.0)
    assert len(set(labels)) == 3
    assert all(len(set(part)) == 1 for part in labels.reshape(3, 40))


def test_clusters_half_way_then_more_than_at_the_end():
    features = np.random.default_rng(0).normal(size=(200, 3))
    counts = [
        clustered(features, JuleOptions(clusters=5), share=share).max() + 1
        for share in (0.0, 0.5, 1.0)
    ]
    assert counts[0] > counts[1] > counts[2] == 5
    assert counts[1] == round((counts[0] * 5) ** 0.5)


def test_batches_then_every_number_once():
    parts = list(batches(100, 30, np.random.default_rng(0)))
    assert [len(part) for part in parts] == [34, 33, 33]
    assert sorted(np.concatenate(parts)) == list(range(100))


def small_image(seed=0):
    image = np.random.default_rng(seed).random((3, 20, 40), np.float32)
    image[:, :, 20:] = 0.5 + 0.2 * (image[:, :, 20:] - 0.5)
    return ImagePatches(image, 12)


def learn(options, **changes):
    torch.manual_seed(0)
    network = PatchEmbedding(2, patch=12)
    patches = small_image()
    centres = np.argwhere(np.ones((1, 20, 40), bool))[::8] + np.array([1, 0, 0])
    lines = []
    labels = learn_features(
        *(network, patches, centres, options),
        **{"reach": 2, "rng": np.random.default_rng(0), "show": lines.append, **changes},
    )
    return network, labels, lines, features_of(network, patches, centres)


def test_training_then_loss_falls_and_clusters_reach_their_number():
    options = JuleOptions(periods=3, epochs=2, clusters=4, neighbours=8, batch=25)
    _, labels, lines, features = learn(options)
    losses = [float(line.rpartition(" ")[2]) for line in lines]
    assert lines[0].startswith("period 1: 100 clusters of 100 patches")
    assert labels.max() + 1 == 4
    assert f"period 3: {labels.max() + 1} clusters" in lines[2]
    assert losses[0] > losses[1]
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)


def test_training_when_repeated_then_equal_bit_by_bit():
    assert np.array_equal(usual_features(), learn(JuleOptions(**SETTINGS))[3])


SETTINGS = {"periods": 3, "epochs": 1, "clusters": 5, "neighbours": 5, "batch": 50}


@functools.cache
def usual_features():
    return learn(JuleOptions(**SETTINGS))[3]


@pytest.mark.parametrize(
    "change",
    [{"weight": 2.0}, {"margin": 0.2}, {"rate": 0.001}, {"epochs": 2}, {"batch": 25},
     {"clusters": 9}, {"local": 2}, {"neighbours": 3}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_option_when_changed_then_other_features(change):
    assert not np.array_equal(usual_features(), learn(JuleOptions(**SETTINGS | change))[3])


def test_movement_of_patches_when_changed_then_other_features():
    still = learn(JuleOptions(**SETTINGS), reach=0)[3]
    assert not np.array_equal(usual_features(), still)


def test_features_of_many_patches_then_those_of_each_alone():
    network, *_ = learn(JuleOptions(periods=2, epochs=1, clusters=5, batch=50))
    patches, centres = small_image(), np.argwhere(np.ones((3, 20, 40), bool))[::5]
    together = features_of(network, patches, centres)
    apart = np.concatenate([features_of(network, patches, centres[k : k + 1]) for k in (0, 300)])
    assert np.allclose(together[[0, 300]], apart, atol=1e-5)
