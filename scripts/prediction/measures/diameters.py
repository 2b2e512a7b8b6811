"""The longest axial diameter of a lesion and its perpendicular, as radiologists measure them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist
from skimage.measure import find_contours

from scripts.volumes.geometry import Floats

# Lengths that differ by less are equal: rounding must not decide between mirrored ends
SAME_MM = 1e-6
PAIRS_AT_ONCE = 500_000  # of edges and positions: 30 MB

Ends = Floats
"""(2, 2): two points as (row, column) in voxels, voxel centres at whole numbers."""


@dataclass(frozen=True)
class Diameters:
    """The longest diameter in one axial slice and its perpendicular.

    Attributes:
        slice_index: 0-based, of the slice in which they were measured.
        longest_mm, perpendicular_mm: lengths.
        longest_ends, perpendicular_ends: (2, 2), (row, column) in voxels.
    """

    slice_index: int
    longest_mm: float
    perpendicular_mm: float
    longest_ends: Ends
    perpendicular_ends: Ends


def measure_diameters(
    mask: NDArray[np.bool_], row_mm: float, column_mm: float, *, first_slice: int = 0
) -> Diameters:
    """Measure a lesion in the axial slice in which it is longest.

    The outline of a slice runs half way between the centres of voxels inside and outside
    (marching squares at one half), where the true border lies on average. The longest diameter is
    the greatest distance between two points of the outline, in the slice in which it is greatest.
    The perpendicular is the longest line at a right angle to it between points of the outline,
    anywhere along it (the short axis of RECIST and the Fleischner Society). A line may cross a
    cavity or a notch, as a caliper does.

    Error: a row of n voxels measures n voxels, a single voxel one. Each end lies within half a
    voxel of the true border, so that the error of a diameter is at most about one voxel diagonal;
    as the longest of all directions is taken, discs of 5 to 30 mm are on average about three
    quarters of a voxel edge too long.

    Args:
        mask: (Z, Y, X) of one lesion, slices along the first axis.
        row_mm: distance between rows.
        column_mm: distance between columns.
        first_slice: index of the mask's first slice in the volume that it was cut from.

    Raises:
        ValueError: when the mask is empty or not 3D.
    """
    if mask.ndim != 3 or not mask.any():
        raise ValueError(f"mask: must be (Z, Y, X) with at least one voxel, got shape {mask.shape}")
    spacing = np.array([row_mm, column_mm])
    slices = np.flatnonzero(mask.any(axis=(1, 2))).tolist()
    lengths = [_longest_in(mask[k], spacing) for k in slices]
    equal = [k for k, mm in zip(slices, lengths, strict=True) if mm > max(lengths) - SAME_MM]
    chosen = equal[len(equal) // 2]
    return _in_slice(mask[chosen], spacing, chosen + first_slice)


def _longest_in(mask: NDArray[np.bool_], spacing: Floats) -> float:
    """Return the longest diameter of a slice, from the outer ends of its rows and columns."""
    corners = _hull(np.concatenate([_row_ends(mask), _row_ends(mask.T)[:, ::-1]]) * spacing)
    return float(cdist(corners, corners).max())


def _row_ends(mask: NDArray[np.bool_]) -> Floats:
    """Return (N, 2), (row, column) half a voxel outside the first and last voxel of each row."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1) - 0.5
    last = mask.shape[1] - 0.5 - mask[rows, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)])


def _hull(points: Floats) -> Floats:
    """Return the corners of the convex hull: for any outline a few hundred at most."""
    return np.asarray(points[ConvexHull(points).vertices], np.float64)


def _in_slice(mask: NDArray[np.bool_], spacing: Floats, number: int) -> Diameters:
    """Measure one slice; of equal diameters, take the one with the longest perpendicular."""
    outlines = [
        (line - 1) * spacing for line in find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    ]
    points = np.concatenate(outlines)
    corners = _hull(points)
    lengths = np.triu(cdist(corners, corners))
    longest = float(lengths.max())
    candidates = []
    for pair in np.argwhere(lengths > longest - SAME_MM):
        ends = corners[pair]
        across = _perpendicular(outlines, ends)
        candidates.append((float(np.linalg.norm(across[1] - across[0])), ends, across))
    width, ends, across = max(candidates, key=lambda candidate: candidate[0])
    return Diameters(number, longest, width, ends / spacing, across / spacing)


def _perpendicular(outlines: list[Floats], ends: Floats) -> Floats:
    """Return (2, 2) mm: the ends of the longest line at a right angle to ``ends``.

    Along the diameter, the width between the outermost crossings is linear between the vertices of
    the outline, so that the longest line passes through a vertex.
    """
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    frame = np.stack([along, np.array([-along[1], along[0]])])
    turned = [line @ frame.T for line in outlines]
    positions = np.unique(np.concatenate([line[:, 0] for line in turned]))
    low, high = _outermost(turned, positions)
    at = int(np.argmax(high - low))
    ends_mm: Ends = np.array([[positions[at], low[at]], [positions[at], high[at]]]) @ frame
    return ends_mm


def _outermost(outlines: list[Floats], positions: Floats) -> tuple[Floats, Floats]:
    """Return the first and last crossing with the outline of N lines across, (N,) each.

    Each edge is paired only with the positions that it spans, a block of edges at a time, so that
    memory does not grow with the length of a ragged outline.

    Args:
        outlines: closed, (M, 2) each: coordinates along and across.
        positions: (N,), of the lines, along; ascending.
    """
    starts = np.concatenate([line[:-1] for line in outlines])
    stops = np.concatenate([line[1:] for line in outlines])
    # an edge that runs across counts at its start; its stop is the start of the next edge
    first = np.searchsorted(positions, np.minimum(starts[:, 0], stops[:, 0]), "left")
    after = np.searchsorted(positions, np.maximum(starts[:, 0], stops[:, 0]), "right")
    low, high = np.full(len(positions), np.inf), np.full(len(positions), -np.inf)
    for block in _blocks(after - first):
        spanned = (after - first)[block]
        edges = np.repeat(np.arange(block.start, block.stop), spanned)
        offsets = np.arange(len(edges)) - np.repeat(np.cumsum(spanned) - spanned, spanned)
        at = first[edges] + offsets
        run = (stops - starts)[edges]
        share = (positions[at] - starts[edges, 0]) / np.where(run[:, 0] == 0, 1, run[:, 0])
        across = starts[edges, 1] + share * run[:, 1]
        np.minimum.at(low, at, across)
        np.maximum.at(high, at, across)
    return low, high


def _blocks(sizes: NDArray[np.int64]) -> Iterator[slice]:
    """Cut items into blocks whose sizes add up to about :data:`PAIRS_AT_ONCE` at most."""
    ends = np.searchsorted(np.cumsum(sizes), np.arange(PAIRS_AT_ONCE, sizes.sum(), PAIRS_AT_ONCE))
    bounds = [0, *dict.fromkeys(ends.tolist()), len(sizes)]
    for start, stop in pairwise(bounds):
        if stop > start:
            yield slice(start, stop)
