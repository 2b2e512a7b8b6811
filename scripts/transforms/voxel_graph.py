"""Probabilities on a graph of voxels: the linear equations of the random walker.

Grady, Multilabel random walks using priors, CVPR 2005, and Random walks for image segmentation,
IEEE Transactions on Pattern Analysis and Machine Intelligence 28(11), 2006.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, cg

Doubles = NDArray[np.float64]
Index = tuple[slice, ...]

LEAST_SIMILARITY = 1e-6
"""Added to the similarity of two voxels, so that no voxel is cut off from all others."""


@dataclass(frozen=True)
class VoxelGraph:
    """The unknown voxels of an image, and their edges to face neighbours.

    Unknown voxels are numbered 0 to n - 1 in numpy's order. Known voxels elsewhere have no part.

    Attributes:
        unknown: (...), where probabilities are to be computed.
        degrees: (n,), sum of the weights of each unknown voxel's edges, in 1/mm^2.
        upper: (n, n) sparse, weights of the edges between two unknown voxels, each once.
        rows: (m,), number of the unknown voxel of each edge to a known one.
        known: (m,), the known voxel, as an index of the flattened image.
        weights: (m,), of these edges.
    """

    unknown: NDArray[np.bool_]
    degrees: Doubles
    upper: Any
    rows: NDArray[np.int32]
    known: NDArray[np.int32]
    weights: Doubles


def similarity(steps: NDArray[Any], *, beta: float, largest: float) -> Doubles:
    """Return how much neighbours belong together: exp(-beta (step / largest)^2), plus a little.

    Args:
        steps: differences of intensity.
        beta: decrease with the difference.
        largest: difference at which it is exp(-beta), see :func:`largest_step`; 0 for an image
            without differences.

    Example:
        >>> similarity(np.array([0.0, 1.0]), beta=2.0, largest=1.0).round(6).tolist()
        [1.000001, 0.135336]
    """
    scale = beta / largest**2 if largest > 0 else 0.0
    squares = np.square(steps, dtype=np.float64)
    return np.asarray(np.exp(-scale * squares) + LEAST_SIMILARITY)


def largest_step(image: NDArray[Any]) -> float:
    """Return the largest difference of intensity between face neighbours.

    It is found plane by plane, for memory.

    Example:
        >>> largest_step(np.array([[0.0, 0.25], [1.0, 0.5]]))
        1.0
    """
    largest = 0.0
    for number, plane in enumerate(image):
        steps = [np.diff(plane, axis=axis) for axis in range(plane.ndim)]
        steps += [plane - image[number - 1]] if number else []
        largest = max([largest, *(float(np.abs(one).max(initial=0)) for one in steps)])
    return largest


def voxel_graph(
    image: NDArray[Any],
    unknown: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    *,
    beta: float,
    largest: float,
) -> VoxelGraph:
    """Connect the unknown voxels of an image with their face neighbours.

    The weight of an edge is the voxels' similarity times the area of the face between them, divided
    by their distance. The whole equation is divided by the volume of a voxel, which leaves
    1 / distance^2: the solution approximates that of a differential equation in the patient,
    whatever the grid.

    Args:
        image: intensities, any number of axes.
        unknown: (...), at least one voxel.
        spacing_mm: along each axis.
        beta: see :func:`similarity`.
        largest: likewise.
    """
    count = int(np.count_nonzero(unknown))
    numbers = -1 - np.arange(image.size, dtype=np.int32).reshape(image.shape)  # of known voxels
    numbers[unknown] = np.arange(count, dtype=np.int32)
    degrees, upper = np.zeros(count), csr_array((count, count))
    outer: list[tuple[NDArray[np.int32], NDArray[np.int32], Doubles]] = []
    for (before, after), distance in zip(face_neighbours(image.ndim), spacing_mm, strict=True):
        edges = unknown[before] | unknown[after]
        ends = numbers[before][edges], numbers[after][edges]
        steps = image[before][edges] - image[after][edges]
        weights = similarity(steps, beta=beta, largest=largest) / distance**2
        both = (ends[0] >= 0) & (ends[1] >= 0)
        inner = (weights[both], (ends[0][both], ends[1][both]))
        upper = upper + csr_array(inner, shape=(count, count))
        for one, other in (ends, ends[::-1]):
            ours, beyond = one >= 0, (one >= 0) & (other < 0)
            degrees += np.bincount(one[ours], weights[ours], minlength=count)
            outer.append((one[beyond], -1 - other[beyond], weights[beyond]))
    rows, known, weights = (np.concatenate(parts) for parts in zip(*outer, strict=True))
    return VoxelGraph(unknown, degrees, upper, rows, known, weights)


def solve(
    graph: VoxelGraph, maps: NDArray[Any], *, gamma: float, tolerance: float = 1e-6
) -> Doubles:
    """Compute the probability of each label in the unknown voxels.

    It is the probability that a random walk from the voxel ends in the label: either at the first
    known voxel, which is certain of its labels as far as its map says; or on the way, at the rate
    gamma, in the prior of the voxel where it is. For each label, (L + gamma) x = gamma prior + the
    edges to known voxels, with the graph's Laplacian L, is solved by conjugate gradients with the
    diagonal as preconditioner.

    Args:
        graph: the unknown voxels.
        maps: (labels, ...): the prior in unknown voxels, the probability itself in known ones.
        gamma: weight of the prior in 1/mm^2; 0 for none, if there are known voxels.
        tolerance: of the residual, relative to the right side.

    Returns:
        (labels, n).

    Raises:
        ArithmeticError: when the iterations do not converge.
    """
    count = len(graph.degrees)
    diagonal, upper, lower = graph.degrees + gamma, graph.upper, graph.upper.T

    def multiply(x: Doubles) -> Doubles:
        x = x.ravel()
        return np.asarray(diagonal * x - upper @ x - lower @ x)

    matrix = LinearOperator((count, count), matvec=multiply, dtype=np.float64)
    jacobi = LinearOperator((count, count), matvec=lambda x: x.ravel() / diagonal, dtype=np.float64)
    solutions = np.empty((len(maps), count))
    for solution, values in zip(solutions, maps, strict=True):
        prior = values[graph.unknown].astype(np.float64)
        met = graph.weights * values.ravel()[graph.known]
        right = gamma * prior + np.bincount(graph.rows, met, minlength=count)
        solution[:], failed = cg(matrix, right, x0=prior, rtol=tolerance, M=jacobi)
        if failed:
            raise ArithmeticError(
                f"random walk: {failed} iterations over {count} voxels did not reach {tolerance:g}"
            )
    return solutions


def face_neighbours(axes: int) -> Iterator[tuple[Index, Index]]:
    """Yield for each axis the index of all voxels with a later neighbour, and of the neighbours."""
    for axis in range(axes):
        rest = (slice(None),) * axis
        yield (*rest, slice(None, -1)), (*rest, slice(1, None))
