"""Sampling of a training in which some targets are rare, such as nodules among candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import WeightedRandomSampler

from scripts.running.options import check_whole


def balanced_sampler(
    samples: Sequence[Mapping[str, Any]], *, draws: int = 1
) -> WeightedRandomSampler | None:
    """Draw every target equally often, with replacement.

    In an epoch each sample of the rarest target is drawn ``draws`` times on average, and each other
    target as often altogether: of few nodules and many vessels, other vessels are drawn in every
    epoch. The order is a function of (seed, epoch), see
    :class:`scripts.training.determinism.EpochSeed`.

    Args:
        samples: of the training, each with its ``target``, one number per class.
        draws: 1 or more; more for few samples, so that an epoch has enough batches.

    Returns:
        The sampler of a data loader; None for an empty list, with which nothing can run.

    Raises:
        ValueError: when a sample has no target, or all have the same, or for another number of
            draws.

    Example:
        >>> samples = [{"target": [1.0]}, {"target": [0.0]}, {"target": [0.0]}]
        >>> sampler = balanced_sampler(samples)
        >>> sampler.num_samples, sampler.weights.tolist()
        (2, [1.0, 0.5, 0.5])
    """
    check_whole("draws", draws, 1)
    if not samples:
        return None
    without = [n for n, sample in enumerate(samples) if "target" not in sample]
    if without:
        raise ValueError(
            f"training: {len(without)} of {len(samples)} samples have no target, the first is "
            f"number {without[0]}; prepare crops with targets, e.g. python -m scripts candidates"
        )
    targets = [tuple(sample["target"]) for sample in samples]
    counts = Counter(targets)
    if len(counts) < 2:
        raise ValueError(
            f"training: all {len(samples)} samples have the target {list(targets[0])}, so that "
            "nothing can be learnt; prepare samples of both kinds"
        )
    weights = torch.tensor([1 / counts[target] for target in targets], dtype=torch.float64)
    return WeightedRandomSampler(weights.tolist(), draws * len(counts) * min(counts.values()))
