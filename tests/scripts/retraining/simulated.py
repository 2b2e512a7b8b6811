"""Items of two classes with a known best accuracy: three clusters a class, labels partly wrong."""

from __future__ import annotations

import numpy as np

FEATURES = 21
BEST = 0.88  # accuracy of a classifier that knows the clusters: 12 % of the labels are wrong


def simulated(count, seed):
    """Features (count, 21) and labels (count,)."""
    centres = 1.2 * np.random.default_rng(98).normal(size=(6, FEATURES))
    rng = np.random.default_rng(seed)
    cluster = rng.integers(6, size=count)
    labels = (cluster >= 3) ^ (rng.random(count) > BEST)
    return centres[cluster] + rng.normal(size=(count, FEATURES)), labels


def noise(count, seed):
    """Features that say nothing about the labels."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, FEATURES)), rng.random(count) < 0.5
