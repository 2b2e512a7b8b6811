"""The longest axial diameter of a lesion and its perpendicular, as radiologists measure them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist
from skimage.measure import find_contours

from scripts.volumes.geometry import Floats

# Lengths that differ by less are equal: rounding must not decide between mirrored ends
SAME_MM = 1e-6

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
    measured = [_in_slice(mask[k], spacing, k + first_slice) for k in slices]
    longest = max(each.longest_mm for each in measured)
    equal = [each for each in measured if each.longest_mm > longest - SAME_MM]
    return equal[len(equal) // 2]


def _in_slice(mask: NDArray[np.bool_], spacing: Floats, number: int) -> Diameters:
    """Measure one slice; of equal diameters, take the one with the longest perpendicular."""
    outlines = [
        (line - 1) * spacing for line in find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    ]
    points = np.concatenate(outlines)
    corners = points[ConvexHull(points).vertices]
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

    Args:
        outlines: closed, (M, 2) each: coordinates along and across.
        positions: (N,), of the lines, along.
    """
    starts = np.concatenate([line[:-1] for line in outlines])[:, :, None]
    stops = np.concatenate([line[1:] for line in outlines])[:, :, None]
    run = stops[:, 0] - starts[:, 0]
    # an edge that runs across counts at its start; its stop is the start of the next edge
    share = (positions - starts[:, 0]) / np.where(run == 0, 1, run)
    met = (share >= 0) & (share <= 1)
    across = starts[:, 1] + share * (stops[:, 1] - starts[:, 1])
    low = np.where(met, across, np.inf).min(axis=0)
    return low, np.where(met, across, -np.inf).max(axis=0)
