"""Graph cut: segmentation of a nodule by one minimum cut, without training.

Boykov and Jolly, Interactive graph cuts for optimal boundary and region segmentation of objects in
N-D images, ICCV 2001. The seeds are derived from a nodule's annotated centre and diameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

Floats = NDArray[np.float64]

LARGEST_FLOW = 2**29
"""Sum to which capacities are scaled; the solver uses 32-bit integers."""

BIN_HU, LOWEST_HU, HIGHEST_HU = 20.0, -1100.0, 700.0
"""Histogram of the background's intensities; values outside count in the outermost bins."""


@dataclass(frozen=True)
class GraphCutOptions:
    """Parameters of the segmentation of a nodule.

    Attributes:
        smoothness_mm: weight of the boundary's area (mm^2) relative to the regions (mm^3).
        inner: radius of the foreground seed, as a share of the nodule's radius.
        outer: distance of the background seed, in radii of the nodule.
        room_mm: smallest distance between the nodule's radius and the background seed.
        deviation_hu: smallest standard deviation of a nodule's intensities.
        blur_hu: width of the Gaussian that smooths the background's histogram.
    """

    smoothness_mm: float = 1.0
    inner: float = 0.5
    outer: float = 1.5
    room_mm: float = 2.0
    deviation_hu: float = 100.0
    blur_hu: float = 60.0

    def __post_init__(self) -> None:
        """Check that the seeds are separate and the other parameters positive.

        Raises:
            ValueError: for an invalid parameter.
        """
        if not 0 < self.inner < 1 < self.outer:
            raise ValueError(
                f"inner, outer: must be below and above 1 radius, got {self.inner} and {self.outer}"
            )
        rest = (self.smoothness_mm, self.room_mm, self.deviation_hu, self.blur_hu)
        if not all(np.isfinite(rest)) or min(rest) <= 0:
            raise ValueError(
                f"smoothness_mm, room_mm, deviation_hu, blur_hu: must be above 0, got {rest}"
            )


def segment_nodule(
    hu: ArrayLike,
    centre: ArrayLike,
    diameter_mm: float,
    *,
    spacing_mm: ArrayLike,
    options: GraphCutOptions | None = None,
) -> NDArray[np.bool_]:
    """Segment one nodule in a slice or in a volume.

    The foreground seed is a ball (a disc) around the centre, the background seed all that lies
    beyond a larger one. A nodule's intensities are normal, as the foreground seed has them; those
    of the background have the smoothed histogram of the shell just outside, so that lung and pleura
    can both be in it. Neighbours that differ in intensity part more easily; every face between two
    voxels counts by its area, so that spacing does not change the result's meaning.

    Args:
        hu: (Y, X) or (Z, Y, X) Hounsfield units.
        centre: index of the nodule's centre along the same axes, fractions allowed.
        diameter_mm: of the nodule; in a slice, of the disc that the slice shows.
        spacing_mm: along the same axes.
        options: see :class:`GraphCutOptions`.

    Returns:
        The nodule, in the shape of ``hu``.

    Raises:
        ValueError: for a centre outside, or numbers that do not fit the axes.
    """
    image, spacing = np.asarray(hu, np.float64), np.asarray(spacing_mm, np.float64)
    voxel, options = np.asarray(centre, np.float64), options or GraphCutOptions()
    _check(image, voxel, spacing, diameter_mm)
    radius = diameter_mm / 2
    outer = max(options.outer * radius, radius + options.room_mm)
    box, corner = _box_around(image.shape, voxel, (outer + options.room_mm) / spacing)
    region = image[box]
    distance = _distances(region.shape, voxel - corner, spacing)
    inside = distance <= max(options.inner * radius, float(distance.min()))
    outside = (distance > outer) & ~inside
    if not outside.any():
        raise ValueError(
            f"diameter_mm: {diameter_mm:g} mm leave no background in an image of {image.shape} "
            "voxels; give a larger image"
        )
    cost_inside, cost_outside = intensity_costs(region, inside, outside, options)
    cost_inside[outside], cost_outside[inside] = np.inf, np.inf
    weights = boundary_weights(region, spacing, options.smoothness_mm)
    result = np.zeros(image.shape, bool)
    result[box] = minimum_cut(cost_inside, cost_outside, weights)
    return result


def _check(image: Floats, centre: Floats, spacing: Floats, diameter_mm: float) -> None:
    if image.ndim not in (2, 3) or len(centre) != image.ndim or len(spacing) != image.ndim:
        raise ValueError(
            f"hu, centre, spacing_mm: must have 2 or 3 axes, all the same; got {image.ndim}, "
            f"{len(centre)} and {len(spacing)}"
        )
    if not (np.isfinite(diameter_mm) and diameter_mm > 0 and spacing.min() > 0):
        raise ValueError(
            f"diameter_mm, spacing_mm: must be above 0, got {diameter_mm} and {spacing.tolist()}"
        )
    if not np.all((centre > -0.5) & (centre < np.array(image.shape) - 0.5)):
        raise ValueError(
            f"centre: must lie inside the image of {image.shape} voxels, got {centre.tolist()}"
        )


def intensity_costs(
    hu: Floats, inside: NDArray[np.bool_], outside: NDArray[np.bool_], options: GraphCutOptions
) -> tuple[Floats, Floats]:
    """Return -log p(hu | nodule) and -log p(hu | background) of each voxel, from the seeds."""
    seed = hu[inside]
    deviation = max(float(seed.std()), options.deviation_hu)
    standard = (hu - seed.mean()) / deviation
    cost_inside = 0.5 * standard**2 + np.log(deviation * np.sqrt(2 * np.pi))
    bins = round((HIGHEST_HU - LOWEST_HU) / BIN_HU)
    index = np.clip((hu - LOWEST_HU) // BIN_HU, 0, bins - 1).astype(np.int64)
    counts = np.bincount(index[outside], minlength=bins).astype(np.float64)
    density = gaussian_filter1d(counts, options.blur_hu / BIN_HU, mode="constant") + 1e-3
    density /= density.sum() * BIN_HU
    return cost_inside, -np.log(density)[index]


def boundary_weights(hu: Floats, spacing_mm: Floats, smoothness_mm: float) -> list[Floats]:
    """Return the cost of separating neighbours: one array per axis, shorter by one along it.

    The unit is that of the regions' costs per voxel: a face's area divided by the voxel's volume is
    1 / spacing. Squared differences are relative to their mean.
    """
    steps = [np.diff(hu, axis=axis) ** 2 for axis in range(hu.ndim)]
    average = float(np.concatenate([step.ravel() for step in steps]).mean()) or 1.0
    return [
        smoothness_mm / spacing * np.exp(-step / (2 * average))
        for step, spacing in zip(steps, spacing_mm, strict=True)
    ]


def minimum_cut(
    cost_inside: Floats, cost_outside: Floats, weights: Sequence[Floats]
) -> NDArray[np.bool_]:
    """Find the labelling, inside or outside, with the smallest sum of costs.

    Exact up to rounding: capacities are integers, which sum to about 2**29. Among equally good
    results it is the smallest region.

    Args:
        cost_inside: cost of labelling each voxel inside; infinite to forbid it.
        cost_outside: cost of labelling each voxel outside; infinite to forbid it.
        weights: for each axis, the cost of separating a voxel from the next one, at least 0.

    Returns:
        True inside.

    Raises:
        ValueError: for shapes that do not match, weights below 0, or a voxel for which both labels
            are forbidden.

    Example:
        >>> inside, outside = np.array([0.0, 2.0, 3.0]), np.array([9.0, 1.0, 0.0])
        >>> minimum_cut(inside, outside, [np.array([0.5, 0.1])]).tolist()
        [True, False, False]
        >>> minimum_cut(inside, outside, [np.array([1.5, 0.1])]).tolist()
        [True, True, False]
    """
    shape = cost_inside.shape
    _check_costs(cost_inside, cost_outside, weights)
    pairs = [_pairs(shape, axis) for axis in range(len(shape))]
    gain = _finite_gain(cost_inside, cost_outside, pairs, weights)
    first = np.concatenate([pair[0] for pair in pairs])
    second = np.concatenate([pair[1] for pair in pairs])
    across = np.concatenate([np.ravel(weight) for weight in weights])
    total = max(gain[gain > 0].sum(), -gain[gain < 0].sum(), across.max(initial=0.0), 1e-12)
    graph = _graph(gain * LARGEST_FLOW / total, first, second, across * LARGEST_FLOW / total)
    source, sink = gain.size, gain.size + 1
    flow = maximum_flow(graph, source, sink).flow
    residual = graph - flow
    residual.data[residual.data < 0] = 0
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, source, return_predecessors=False)
    inside = np.zeros(gain.size + 2, bool)
    inside[reached] = True
    return inside[:source].reshape(shape)


def _check_costs(cost_inside: Floats, cost_outside: Floats, weights: Sequence[Floats]) -> None:
    shape = cost_inside.shape
    expected = [
        tuple(size - (axis == across) for axis, size in enumerate(shape))
        for across in range(len(shape))
    ]
    shapes = [weight.shape for weight in weights]
    if cost_outside.shape != shape or shapes != expected:
        raise ValueError(
            f"cost_outside, weights: must have shapes {shape} and {expected}, got "
            f"{cost_outside.shape} and {shapes}"
        )
    if any(not (np.isfinite(weight).all() and (weight >= 0).all()) for weight in weights):
        raise ValueError("weights: must be finite and at least 0; a cut cannot be rewarded")
    if not np.isfinite(np.minimum(cost_inside, cost_outside)).all():
        raise ValueError("cost_inside, cost_outside: a voxel may be neither inside nor outside")


def _pairs(shape: tuple[int, ...], axis: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the indices of neighbours along an axis, in the order of that axis' weights."""
    index = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
    size = shape[axis]
    return (
        np.take(index, range(size - 1), axis=axis).ravel(),
        np.take(index, range(1, size), axis=axis).ravel(),
    )


def _finite_gain(
    cost_inside: Floats, cost_outside: Floats, pairs: Sequence[Any], weights: Sequence[Floats]
) -> Floats:
    """Return the gain of inside over outside; a seed's exceeds the costs of its neighbours."""
    gain: Floats = np.ravel(cost_outside - cost_inside)
    bound = np.ones(gain.size)
    for (first, second), weight in zip(pairs, weights, strict=True):
        bound += np.bincount(first, np.ravel(weight), gain.size)
        bound += np.bincount(second, np.ravel(weight), gain.size)
    return np.where(np.isinf(gain), np.sign(gain) * bound, gain)


def _graph(gain: Floats, first: Any, second: Any, across: Floats) -> Any:
    """Return integer capacities (N + 2, N + 2) of voxels, source (inside) and sink (outside)."""
    nodes = np.arange(gain.size, dtype=np.int32)
    inner, outer = nodes[gain > 0], nodes[gain < 0]
    source, sink = np.full_like(inner, gain.size), np.full_like(outer, gain.size + 1)
    tails = np.concatenate([first, second, source, outer])
    heads = np.concatenate([second, first, inner, sink])
    capacities = np.concatenate([across, across, gain[inner], -gain[outer]])
    whole = np.rint(capacities).astype(np.int32)
    size = gain.size + 2
    return coo_array((whole, (tails, heads)), shape=(size, size)).tocsr()


def _box_around(
    shape: tuple[int, ...], centre: Floats, reach: Floats
) -> tuple[tuple[slice, ...], Floats]:
    """Return the slices of a box within ``reach`` voxels of the centre, and its first index."""
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.minimum(np.ceil(centre + reach) + 1, shape).astype(int)
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True)), low.astype(np.float64)


def _distances(shape: tuple[int, ...], centre: Floats, spacing_mm: Floats) -> Floats:
    """Return the distance of each voxel's centre from a point, in mm."""
    axes = [
        (np.arange(size) - middle) * step
        for size, middle, step in zip(shape, centre, spacing_mm, strict=True)
    ]
    grids = np.meshgrid(*axes, indexing="ij", sparse=True)
    squared: Floats = sum((grid**2 for grid in grids), start=np.zeros(shape))
    return np.sqrt(squared)
