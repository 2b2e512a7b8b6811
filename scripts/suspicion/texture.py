"""Density and texture of a nodule: statistics of HU, the margin, and grey level co-occurrences.

Definitions follow IBSI (Zwanenburg et al., Radiology 295:328, 2020); the four letters after a
feature are its code there.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from scripts.suspicion.shape import EDGE_MM, Solid
from scripts.volumes.geometry import Floats

BIN_HU = 25.0
LOWEST_HU = -600.0  # lower edge of the first of the bins for co-occurrences
BINS = 32  # up to 200 HU; values outside count in the first and the last
CALCIFIED_HU = 200.0
SOLID_HU = -300.0  # less is ground glass
MARGIN_MM = 1.0  # on either side of the surface
DIRECTIONS = [step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]

DENSITY_FEATURES = {
    "mean_hu": "mean (Q4LE)",
    "sd_hu": "standard deviation of the population (root of ECT3)",
    "skewness": "third standardised moment (KE2A)",
    "kurtosis": "fourth standardised moment, less 3 (IPH6)",
    "p10_hu": "10th percentile (QG58)",
    "median_hu": "50th percentile (Y12H)",
    "p90_hu": "90th percentile (8DWT)",
    "interquartile_range_hu": "75th less 25th percentile (SALO)",
    "entropy_bits": "entropy of the histogram in steps of 25 HU (TLU2)",
    "calcified_share": "share of voxels above 200 HU",
    "ground_glass_share": "share of voxels below -300 HU",
    "margin_gradient_hu_per_mm": "mean slope of HU within 1 mm of the surface",
}
TEXTURE_FEATURES = {
    "glcm_contrast": "mean squared difference of grey levels of neighbours (ACUI)",
    "glcm_correlation": "correlation of grey levels of neighbours (NI2N)",
    "glcm_energy": "sum of squared probabilities (8ZQL)",
    "glcm_homogeneity": "inverse difference moment (WF0Z)",
}


def density_features(solid: Solid) -> dict[str, float]:
    """Measure the HU inside a nodule and the slope at its margin: :data:`DENSITY_FEATURES`."""
    inside = solid.hu[solid.mask]
    p10, p25, median, p75, p90 = np.percentile(inside, (10, 25, 50, 75, 90))
    flat = inside.std() < 1e-6  # moments of equal values are undefined
    _, counts = np.unique(np.floor(inside / BIN_HU), return_counts=True)
    slope = ndimage.gaussian_gradient_magnitude(solid.hu, MARGIN_MM / EDGE_MM) / EDGE_MM
    margin = np.abs(solid.depth_mm) <= MARGIN_MM
    values = (
        *(inside.mean(), inside.std()),
        *((0.0, 0.0) if flat else (stats.skew(inside), stats.kurtosis(inside))),
        *(p10, median, p90, p75 - p25),
        stats.entropy(counts, base=2),
        *((inside > CALCIFIED_HU).mean(), (inside < SOLID_HU).mean()),
        slope[margin].mean(),
    )
    return dict(zip(DENSITY_FEATURES, map(float, values), strict=True))


def texture_features(solid: Solid) -> dict[str, float]:
    """Measure co-occurrences of grey levels in 32 steps of 25 HU: :data:`TEXTURE_FEATURES`."""
    levels = np.clip(np.floor((solid.hu - LOWEST_HU) / BIN_HU), 0, BINS - 1).astype(int)
    return glcm_features(co_occurrences(levels, solid.mask, BINS))


def co_occurrences(
    levels: NDArray[np.integer], mask: NDArray[np.bool_], count: int
) -> NDArray[np.int64]:
    """Count pairs of grey levels of neighbours, in 13 directions at distance 1, both ways.

    Args:
        levels: (Z, Y, X), grey levels from 0.
        mask: (Z, Y, X), voxels that count.
        count: number of grey levels.

    Returns:
        (count, count), symmetric; directions are merged (IBSI: 3D, merged).
    """
    pairs = np.zeros(count * count, np.int64)
    for step in DIRECTIONS:
        first = tuple(slice(max(-s, 0), min(-s, 0) or None) for s in step)
        second = tuple(slice(max(s, 0), min(s, 0) or None) for s in step)
        both = mask[first] & mask[second]
        codes = levels[first][both] * count + levels[second][both]
        pairs += np.bincount(codes, minlength=count * count)
    matrix = pairs.reshape(count, count)
    return np.asarray(matrix + matrix.T)


def glcm_features(counts: NDArray[np.int64]) -> dict[str, float]:
    """Compute :data:`TEXTURE_FEATURES` of a matrix of co-occurrences.

    Where all voxels have one grey level, the correlation is 1.

    Raises:
        ValueError: for a matrix without pairs.
    """
    if not counts.any():
        raise ValueError("mask: has no two neighbouring voxels; the nodule is too small")
    p: Floats = counts / counts.sum()
    i, j = np.indices(p.shape)
    mean = float((i * p).sum())
    variance = float(((i - mean) ** 2 * p).sum())
    covariance = float(((i - mean) * (j - mean) * p).sum())
    values = (
        ((i - j) ** 2 * p).sum(),
        covariance / variance if variance > 0 else 1.0,
        (p**2).sum(),
        (p / (1 + (i - j) ** 2)).sum(),
    )
    return dict(zip(TEXTURE_FEATURES, map(float, values), strict=True))
