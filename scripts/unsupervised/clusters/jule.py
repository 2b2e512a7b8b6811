"""Joint unsupervised learning (JULE) of patch features and clusters.

The features of the patches are clustered, the network is trained so that patches of a cluster come
close to each other and move away from those of other clusters, the new features are clustered ...

Sources: Yang, Parikh, Batra, Joint unsupervised learning of deep representations and image
clusters, CVPR 2016, and the authors' code JULE.torch (affinity, merging, numbers of neighbours,
triplets with samples of other clusters drawn at random, margin 0.2 to 1, weight of positive pairs 1
to 2, SGD with momentum 0.9 and weight decay 5e-5); Moriya et al., SPIE 10578, 2018, for patches of
one image.

Our choices: in the first period every patch is a cluster of its own, as an untrained network says
little of which patches belong together; in each later one the clusters begin anew from the present
features, since a merge of two clusters is never undone; each step sees two copies of a patch, both
moved at random by up to a cell of the grid, so that a texture counts and not its position; and
margin 0.5 with weight 1. Without the movements, with margin 0.2 and the weight 2 reported for
Moriya et al., all features became equal in our trials. The learning rate is constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from scripts.running.progress import Progress
from scripts.unsupervised.clusters.agglomeration import (
    Clusters,
    Labels,
    initial_clusters,
    neighbour_affinity,
)
from scripts.unsupervised.clusters.patch_grid import ImagePatches, Indices

AT_ONCE = 256  # patches, without gradients
VIEWS = 2  # moved copies of a patch in a step
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-5


@dataclass(frozen=True)
class JuleOptions:
    """Settings of the training.

    Args:
        periods: how often the patches are clustered and the network is trained.
        epochs: in each period.
        clusters: number of clusters in the last period.
        neighbours: of a patch in the graph.
        local: number of nearest clusters that a cluster is compared with in merging.
        weight: of the distance within a cluster.
        margin: by which the distance to another cluster should be greater.
        batch: patches in a step.
        rate: learning rate.
    """

    periods: int = 5
    epochs: int = 2
    clusters: int = 100
    neighbours: int = 20
    local: int = 5
    weight: float = 1.0
    margin: float = 0.5
    batch: int = 64
    rate: float = 0.01


def learn_features(
    network: nn.Module,
    patches: ImagePatches,
    centres: Indices,
    options: JuleOptions,
    *,
    reach: int,
    rng: np.random.Generator,
    show: Callable[[str], None] = print,
) -> Labels:
    """Train a network in place on the patches around some voxels.

    Args:
        network: patches to features of length 1.
        patches: of the image.
        centres: (N, 3), voxels (z, y, x).
        options: settings.
        reach: by how many voxels patches are moved at most.
        rng: of order and movements.
        show: is given a line on each period.

    Returns:
        (N,) the clusters of the last period.
    """
    optimiser = torch.optim.SGD(
        network.parameters(), options.rate, MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    labels: Labels = np.arange(len(centres))
    for period in Progress(range(1, options.periods + 1), desc="JULE", unit="period"):
        if period > 1:
            calibrate(network, patches, centres)
            features = features_of(network, patches, centres)
            labels = clustered(features, options, share=(period - 1) / (options.periods - 1))
        losses = []
        for _ in range(options.epochs):
            for rows in batches(len(centres), options.batch, rng):
                twice = np.tile(rows, VIEWS)
                seen = patches.near(centres[twice], reach, rng)
                losses.append(_step(network, optimiser, seen, labels[twice], options))
        show(
            f"period {period}: {int(labels.max()) + 1} clusters of {len(labels)} patches, "
            f"loss {np.mean(losses):.4f}"
        )
    calibrate(network, patches, centres)
    return labels


def clustered(features: NDArray[np.floating], options: JuleOptions, *, share: float) -> Labels:
    """Cluster features: nearest neighbours first, then merged.

    Args:
        features: (N, D).
        options: settings.
        share: of the way from the first number of clusters to the last one, in equal ratios.
    """
    affinity = neighbour_affinity(features, options.neighbours)
    clusters = Clusters(affinity, initial_clusters(affinity))
    first = clusters.count
    target = round(first * min(1.0, options.clusters / first) ** share)
    clusters.merge_down(target, local=options.local)
    return clusters.labels


def batches(count: int, size: int, rng: np.random.Generator) -> Iterator[Indices]:
    """Yield the numbers 0 ... ``count`` - 1 in random order, in about equal parts."""
    yield from np.array_split(rng.permutation(count), max(1, round(count / size)))


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    patches: Tensor,
    labels: Labels,
    options: JuleOptions,
) -> float:
    """Train on one batch and return its loss."""
    network.train()
    device = next(network.parameters()).device
    features = network(patches.to(device))
    loss = triplet_loss(features, labels, weight=options.weight, margin=options.margin)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.item()


def triplets(labels: Labels) -> tuple[Indices, Indices, Indices]:
    """List all triplets: a sample, another of its cluster, and one of another cluster.

    Args:
        labels: (N,) cluster of each sample.

    Returns:
        Three arrays (T,) of indices.

    Example:
        >>> [part.tolist() for part in triplets(np.array([5, 8, 5]))]
        [[0, 2], [2, 0], [1, 1]]
    """
    same = labels[:, None] == labels
    others = ~same
    np.fill_diagonal(same, False)
    anchor, near, far = np.nonzero(same[:, :, None] & others[:, None, :])
    return anchor, near, far


def triplet_loss(features: Tensor, labels: Labels, *, weight: float, margin: float) -> Tensor:
    """Return the mean over all triplets of max(0, weight d(i, j)^2 - d(i, k)^2 + margin).

    Args:
        features: (N, D), each of length 1.
        labels: (N,) cluster of each.
        weight: of the distance within a cluster.
        margin: of the distances.

    Returns:
        The loss; 0 without triplets.
    """
    anchor, near, far = (torch.from_numpy(part).to(features.device) for part in triplets(labels))
    if not len(anchor):
        return features.sum() * 0
    squares = 2 - 2 * features @ features.T
    excess = weight * squares[anchor, near] - squares[anchor, far] + margin
    return excess.clamp(min=0).mean()


def calibrate(network: nn.Module, patches: ImagePatches, centres: Indices) -> None:
    """Compute the running statistics of batch normalisation anew, from some patches."""
    parts = np.array_split(centres, max(1, round(len(centres) / AT_ONCE)))
    device = next(network.parameters()).device
    update_bn((patches.at(part) for part in parts), network, device)


@torch.no_grad()
def features_of(network: nn.Module, patches: ImagePatches, centres: Indices) -> NDArray[np.float32]:
    """Return (N, D): the features of the patches around voxels (N, 3)."""
    network.eval()
    device = next(network.parameters()).device
    parts = np.array_split(centres, max(1, round(len(centres) / AT_ONCE)))
    return np.concatenate([network(patches.at(part).to(device)).cpu().numpy() for part in parts])
