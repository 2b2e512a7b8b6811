"""Segmentation by intensity alone: K-means and Otsu's thresholds for several classes.

Both are the comparisons of Moriya et al., SPIE 10578, 2018.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu
from sklearn.cluster import KMeans

RESTARTS = 10
OTSU_BINS = 128  # of 256, thresholds of five classes take sixteen times as long


def k_means_by_intensity(
    values: NDArray[np.integer], clusters: int, *, seed: int = 0
) -> NDArray[np.int64]:
    """Cluster voxels by K-means on their intensities.

    Args:
        values: (N,) whole numbers, such as HU.
        clusters: number of clusters.
        seed: of the starting points; 10 starts by k-means++, the best one counts.

    Returns:
        (N,) labels 1 ... ``clusters``, from dark to bright.

    Raises:
        ValueError: for fewer different values than clusters.
    """
    different, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    _check(len(different), clusters)
    means = KMeans(clusters, n_init=RESTARTS, random_state=seed)
    labels = means.fit_predict(different[:, None].astype(np.float64), sample_weight=counts)
    order = np.argsort(np.argsort(means.cluster_centers_[:, 0]))
    return np.asarray(order[labels][inverse] + 1, np.int64)


def otsu_classes(values: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """Divide voxels by the thresholds with the largest variance between classes.

    Args:
        values: (N,) whole numbers, such as HU.
        classes: number of classes.

    Returns:
        (N,) labels 1 ... ``classes``, from dark to bright.

    Raises:
        ValueError: for fewer different values than classes.
    """
    _check(len(np.unique(values)), classes)
    counts, edges = np.histogram(values, bins=OTSU_BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    thresholds = threshold_multiotsu(classes=classes, hist=(counts, middles))
    return np.asarray(np.digitize(values, thresholds, right=True) + 1, np.int64)


def _check(different: int, clusters: int) -> None:
    if different < clusters:
        raise ValueError(
            f"clusters: must be at most the number of different intensities, got {clusters} for "
            f"{different}"
        )
