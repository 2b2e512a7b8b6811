"""Segmentation of one CT without annotations, by clusters of learned patch features.

Source: Moriya et al., Unsupervised segmentation of 3D medical images based on clustering and deep
representation learning, SPIE Medical Imaging 10578, 2018: a network is trained on patches of the
image itself by JULE, K-means divides the features of a grid of patches, and the label of a patch is
given to the voxels around its centre. The comparisons are theirs: K-means on the intensities, and
Otsu's thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from custom_nets.survey.patch_embedding import PatchEmbedding, kernel_for
from scripts.running.options import check_choice, check_whole
from scripts.transforms.mask_closing import Mask
from scripts.unsupervised.clusters.intensity_clusters import (
    RESTARTS,
    k_means_by_intensity,
    otsu_classes,
)
from scripts.unsupervised.clusters.jule import JuleOptions, features_of, learn_features
from scripts.unsupervised.clusters.patch_grid import (
    REGIONS,
    ImagePatches,
    Indices,
    PatchGrid,
    bounding_box,
    grid_steps,
    region_named,
    usual_stride,
)
from scripts.volumes.volume import Volume

MOST_CLUSTERS = 5
PERCENTILES = (0.5, 99.5)
Segmentation = NDArray[np.uint8]


@dataclass(frozen=True)
class ClusterOptions:
    """What is segmented, and how.

    Args:
        clusters: number of clusters, 2 to 5.
        region: see :func:`scripts.unsupervised.clusters.patch_grid.region_named`.
        window_hu: HU outside are clipped; None for the range of the region without its lowest and
            highest half per cent.
        dimensions: of the patches: 2 (three slices as channels) or 3.
        patch: edge of a patch in pixels.
        stride: distance of patches in pixels, and edge of the cells that get one label; None for
            :func:`scripts.unsupervised.clusters.patch_grid.usual_stride`.
        patches: number of patches to train on.
        jule: settings of the training.
        device: of the network.
        seed: of everything random.

    Raises:
        ValueError: for an invalid option.
    """

    clusters: int = 3
    region: str = "body"
    window_hu: tuple[float, float] | None = None
    dimensions: int = 2
    patch: int = 27
    stride: int | None = None
    patches: int = 2000
    jule: JuleOptions = field(default_factory=JuleOptions)
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the options."""
        check_whole("clusters", self.clusters, 2, MOST_CLUSTERS)
        check_choice("region", self.region, REGIONS)
        check_whole("dimensions", self.dimensions, 2, 3)
        check_whole("patch", self.patch, 1)
        kernel_for(self.patch)
        if self.stride is not None:
            check_whole("stride", self.stride, 1, self.patch)
        check_whole("patches", self.patches, 10)
        check_whole("periods", self.jule.periods, 2)
        check_whole("epochs", self.jule.epochs, 1)
        check_whole("seed", self.seed, 0)


@dataclass(frozen=True)
class Prepared:
    """A CT, ready to be segmented.

    Args:
        values: (Z, Y, X), HU as whole numbers within the window.
        region: (Z, Y, X).
        window_hu: lowest and highest HU.
        spacing_mm: along x, y, z.
        stride: of the patches.
    """

    values: NDArray[np.int32]
    region: Mask
    window_hu: tuple[float, float]
    spacing_mm: tuple[float, float, float]
    stride: int


def prepared(volume: Volume, options: ClusterOptions) -> Prepared:
    """Find the region and the window of a CT.

    Args:
        volume: in LPS index order.
        options: which ones.

    Raises:
        ValueError: when there are no lungs, or all values of the region are equal.
    """
    region = region_named(volume, options.region)
    window = options.window_hu
    if window is None:
        low, high = np.percentile(volume.hu[region], PERCENTILES)
        window = float(low), float(high)
    if not window[0] < window[1]:
        raise ValueError(f"window_hu: must be low < high, got {window[0]:g} to {window[1]:g}")
    values = np.rint(np.clip(volume.hu.astype(np.float32), *window)).astype(np.int32)
    stride = options.stride or usual_stride(region, volume.spacing_mm)
    return Prepared(values, region, window, volume.spacing_mm, stride)


def by_jule(
    ready: Prepared, options: ClusterOptions, show: Callable[[str], None] = print
) -> Segmentation:
    """Segment by K-means on features that JULE has learned on this image.

    Args:
        ready: the CT.
        options: settings.
        show: is given lines on the progress.

    Returns:
        (Z, Y, X), 1 ... ``clusters`` from dark to bright in the region, 0 outside.

    Raises:
        ValueError: for a region with too few patches.
    """
    box = bounding_box(ready.region)  # patches may reach beyond the region, not beyond its box
    low, high = ready.window_hu
    image = ((ready.values[box] - low) / (high - low)).astype(np.float32)
    patches = ImagePatches(image, options.patch, options.dimensions)
    grid = PatchGrid(ready.region[box], grid_steps(ready.stride, ready.spacing_mm))
    centres = grid.centres()
    if len(centres) < 10 * options.clusters:
        raise ValueError(
            f"region, stride: {options.region} has {len(centres)} patches at a stride of "
            f"{ready.stride}, must have at least {10 * options.clusters}"
        )
    network = _trained(patches, centres, ready.stride, options, show)
    show(f"features of {len(centres)} patches, {ready.stride} pixels apart")
    features = features_of(network, patches, centres)
    means = KMeans(options.clusters, n_init=RESTARTS, random_state=options.seed)
    labels = np.zeros(ready.region.shape, np.uint8)
    labels[box] = grid.project(means.fit_predict(features) + 1)
    return from_dark_to_bright(labels, ready.values)


def _trained(
    patches: ImagePatches,
    centres: Indices,
    reach: int,
    options: ClusterOptions,
    show: Callable[[str], None],
) -> PatchEmbedding:
    """Return a network trained on some of the patches."""
    rng = np.random.default_rng(options.seed)
    chosen = rng.choice(len(centres), min(options.patches, len(centres)), replace=False)
    network = _network(patches, options)
    learn_features(
        *(network, patches, centres[chosen], options.jule), reach=reach, rng=rng, show=show
    )
    return network


def _network(patches: ImagePatches, options: ClusterOptions) -> PatchEmbedding:
    """Return an untrained network, the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        network = PatchEmbedding(
            patches.spatial_dims, in_channels=patches.channels, patch=options.patch
        )
    return network.to(options.device)


def by_k_means(
    ready: Prepared, options: ClusterOptions, show: Callable[[str], None] = print
) -> Segmentation:
    """Segment by K-means on the intensities; see :func:`by_jule`."""
    found = k_means_by_intensity(ready.values[ready.region], options.clusters, seed=options.seed)
    return _in_region(found, ready.region)


def by_otsu(
    ready: Prepared, options: ClusterOptions, show: Callable[[str], None] = print
) -> Segmentation:
    """Segment by Otsu's thresholds; see :func:`by_jule`."""
    return _in_region(otsu_classes(ready.values[ready.region], options.clusters), ready.region)


METHODS: dict[str, Callable[..., Segmentation]] = {
    "jule": by_jule,
    "k_means": by_k_means,
    "otsu": by_otsu,
}
SHOWN = {"jule": "JULE", "k_means": "K-means on intensity", "otsu": "Otsu"}


def _in_region(found: NDArray[np.int64], region: Mask) -> Segmentation:
    labels = np.zeros(region.shape, np.uint8)
    labels[region] = found
    return labels


def from_dark_to_bright(labels: Segmentation, values: NDArray[np.integer]) -> Segmentation:
    """Number clusters 1, 2 ... by their mean intensity; 0 stays.

    Example:
        >>> from_dark_to_bright(np.array([2, 1, 0], np.uint8), np.array([-5, 7, 3])).tolist()
        [1, 2, 0]
    """
    numbers = np.unique(labels[labels > 0])
    means = [values[labels == number].mean() for number in numbers]
    table = np.zeros(256, np.uint8)
    table[numbers[np.argsort(means)]] = np.arange(1, len(numbers) + 1)
    return np.asarray(table[labels])
