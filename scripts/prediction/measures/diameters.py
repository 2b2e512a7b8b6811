"""The longest axial diameter of a nodule and its perpendicular, as radiologists measure them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist
from skimage.measure import find_contours

from scripts.volumes.geometry import Floats

# Lengths that differ by less are the same length: rounding must not choose among mirrored ends
SAME_MM = 1e-6

Ends = Floats
"""(2, 2): two points as (row, column) in voxels, voxel centres at whole numbers."""


@dataclass(frozen=True)
class Diameters:
    """The longest diameter in one axial slice and its perpendicular.

    Attributes:
        slice_index: 0-based, of the slice that they were measured in.
        longest_mm, perpendicular_mm: their lengths.
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
    """Measure a nodule in the axial slice where it is longest.

    The outline of a slice runs half way between the centres of voxels inside and those outside
    (marching squares at one half), where the true border lies on average. The longest diameter is
    the greatest distance of two points of the outline, the slice the one in which that is
    greatest. The perpendicular is the longest line at a right angle to it between points of the
    outline, anywhere along it (RECIST's and the Fleischner Society's short axis). A line may
    cross a cavity or a notch, as a caliper does.

    Error: a row of n voxels measures n voxels, one voxel measures as one. Each end lies within
    half a voxel of the true border, so that a diameter is off by at most about one voxel's
    diagonal; of all directions the longest wins, which makes discs of 5 to 30 mm about three
    quarters of a voxel's edge too long on average.

    Args:
        mask: (Z, Y, X) of one nodule, slices along the first axis.
        row_mm: distance of rows.
        column_mm: distance of columns.
        first_slice: number of the mask's first slice, where it was cut from a volume.

    Raises:
        ValueError: when the mask is empty or not 3D.
    """
    if mask.ndim != 3 or not mask.any():
        raise ValueError(f"mask: must be (Z, Y, X) with a voxel set, got shape {mask.shape}")
    spacing = np.array([row_mm, column_mm])
    slices = np.flatnonzero(mask.any(axis=(1, 2))).tolist()
    measured = [_in_slice(mask[k], spacing, k + first_slice) for k in slices]
    longest = max(each.longest_mm for each in measured)
    equal = [each for each in measured if each.longest_mm > longest - SAME_MM]
    return equal[len(equal) // 2]


def _in_slice(mask: NDArray[np.bool_], spacing: Floats, number: int) -> Diameters:
    """Measure one slice; among equal longest diameters the one with the longest perpendicular."""
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
    width, ends, across = max(candidates, key=lambda found: found[0])
    return Diameters(number, longest, width, ends / spacing, across / spacing)


def _perpendicular(outlines: list[Floats], ends: Floats) -> Floats:
    """Return (2, 2) mm: the ends of the longest line across, at a right angle to ``ends``.

    Along the diameter the width between the outermost crossings is linear between the outline's
    vertices, so that the longest line passes through one of them.
    """
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    frame = np.stack([along, np.array([-along[1], along[0]])])
    turned = [line @ frame.T for line in outlines]
    places = np.unique(np.concatenate([line[:, 0] for line in turned]))
    low, high = _outermost(turned, places)
    at = int(np.argmax(high - low))
    ends_mm: Ends = np.array([[places[at], low[at]], [places[at], high[at]]]) @ frame
    return ends_mm


def _outermost(outlines: list[Floats], places: Floats) -> tuple[Floats, Floats]:
    """Return (N,) twice: where lines across, at N places along, first and last meet the outline.

    Args:
        outlines: closed, (M, 2) each: along and across.
        places: (N,), along.
    """
    starts = np.concatenate([line[:-1] for line in outlines])[:, :, None]
    stops = np.concatenate([line[1:] for line in outlines])[:, :, None]
    run = stops[:, 0] - starts[:, 0]
    # an edge that runs across is met at its start; its stop is the start of the next edge
    share = (places - starts[:, 0]) / np.where(run == 0, 1, run)
    met = (share >= 0) & (share <= 1)
    across = starts[:, 1] + share * (stops[:, 1] - starts[:, 1])
    low = np.where(met, across, np.inf).min(axis=0)
    return low, np.where(met, across, -np.inf).max(axis=0)
