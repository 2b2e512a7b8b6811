"""Stacking of slices to a volume: order, even spacing and affine from position and orientation.

A position is the centre of a slice's first voxel, LPS mm (DICOM PS3.3, C.7.6.2.1.1:
ImagePositionPatient, ImageOrientationPatient, PixelSpacing).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scripts.volumes.geometry import IrregularGridError, check_affine

Floats = NDArray[np.float64]

# Distances between neighbouring slices may differ by this fraction of their median, or by
# ROUNDED_MM; half a missing slice is far above.
EVEN_TOLERANCE = 0.02
# Positions written with one decimal lie up to 0.05 mm beside the true ones, distances 0.1 mm.
ROUNDED_MM = 0.1001
ROUNDED_VOXELS = 0.25  # but at most this fraction of a voxel's edge
# Two slices have the same position if they differ by less than this fraction of a voxel's edge:
# rounding stays below it, the nearest other slice is ten times above.
SAME_PLACE_VOXELS = 0.1


def place_tolerance_mm(*edges_mm: float) -> float:
    """Return how far a slice may lie from its place in an even stack, in mm.

    Args:
        edges_mm: of a voxel.

    Example:
        >>> place_tolerance_mm(0.7, 0.7, 1.25), place_tolerance_mm(3.0, 3.0, 5.0)
        (0.1001, 0.30000000000000004)
    """
    smallest = min(edges_mm)
    return max(SAME_PLACE_VOXELS * smallest, min(ROUNDED_MM, ROUNDED_VOXELS * smallest))


class SamePlaceError(ValueError):
    """Two slices at the same position.

    Attributes:
        index: of the first of them, in ascending order; the other follows.
    """

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def normal_of(orientation: ArrayLike) -> Floats:
    """Return (3,): the unit normal of slices, from the six cosines of their row and column axes.

    Raises:
        ValueError: for cosines that are not two perpendicular unit vectors.

    Example:
        >>> normal_of([1, 0, 0, 0, 1, 0]).tolist()
        [0.0, 0.0, 1.0]
    """
    axes = np.asarray(orientation, float).reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), atol=1e-3):
        raise ValueError(f"ImageOrientationPatient: must be two unit axes, got {axes.tolist()}")
    normal = np.cross(axes[0], axes[1])
    return np.asarray(normal / np.linalg.norm(normal), np.float64)


def order_of(positions: ArrayLike, orientation: ArrayLike) -> tuple[list[int], Floats]:
    """Sort slices along their normal.

    Args:
        positions: (n, 3), LPS mm.
        orientation: (6,), shared by all.

    Returns:
        Indices of the slices in ascending order; and (n,) their offsets along the normal in mm.

    Raises:
        ValueError: see :func:`normal_of`.
    """
    offsets = np.asarray(positions, float).reshape(-1, 3) @ normal_of(orientation)
    order = np.argsort(offsets, kind="stable")
    return order.tolist(), np.asarray(offsets[order], np.float64)


def even_step(offsets: Sequence[float] | Floats, names: Sequence[str]) -> float:
    """Return the distance in mm between sorted slices, which must be even.

    Args:
        offsets: (n,), ascending.
        names: of the slices, for errors.

    Raises:
        IrregularGridError: for a missing slice or uneven spacing, naming the two slices. An average
            step would misplace every voxel behind them.
        ValueError: for fewer than two slices, or two at the same position.

    Example:
        >>> even_step([0, 1.6, 4.8], ["a", "b", "c"])  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        ...
        IrregularGridError: slices: 1 missing between b and c: 3.2 mm apart, 1.6 mm elsewhere
    """
    if len(offsets) < 2:
        raise ValueError(f"slices: a volume needs at least 2, got {len(offsets)}")
    steps = np.diff(np.asarray(offsets, float))
    step = float(np.median(steps))
    allowed = max(EVEN_TOLERANCE * step, min(ROUNDED_MM, ROUNDED_VOXELS * step))
    wrong = np.flatnonzero(np.abs(steps - step) > allowed)
    if step <= 0 or (same := np.flatnonzero(steps <= SAME_PLACE_VOXELS * step)).size:
        at = int(np.argmin(steps)) if step <= 0 else int(same[0])
        raise SamePlaceError(
            f"slices: {names[at]} and {names[at + 1]} have the same position; keep one of them", at
        )
    if not wrong.size:
        return float((offsets[-1] - offsets[0]) / len(steps))
    at = int(wrong[0])
    between = f"between {names[at]} and {names[at + 1]}: {steps[at]:g} mm apart, {step:g} mm"
    times = steps[at] / step
    if round(times) > 1 and abs(times - round(times)) <= times * 2 * allowed / step:
        raise IrregularGridError(f"slices: {round(times) - 1} missing {between} elsewhere")
    raise IrregularGridError(f"slices: unevenly spaced {between} in the middle")


def stack_affine(
    positions: ArrayLike,
    orientation: ArrayLike,
    pixel_spacing: Sequence[float],
    *,
    names: Sequence[str],
) -> Floats:
    """Return the affine of sorted slices.

    Args:
        positions: (n, 3) in the order of :func:`order_of`, LPS mm.
        orientation: (6,).
        pixel_spacing: between rows and between columns, mm (DICOM's order).
        names: of the slices, for errors.

    Returns:
        (4, 4): 0-based index (i = column, j = row, k = slice) to LPS mm.

    Raises:
        IrregularGridError: for slices that are missing, unevenly spaced, not on one line, or of a
            tilted gantry.
        ValueError: see :func:`even_step` and :func:`scripts.volumes.geometry.check_affine`.
    """
    points = np.asarray(positions, float)
    step = even_step(points @ normal_of(orientation), names)
    axes = np.asarray(orientation, float).reshape(2, 3)
    affine = np.eye(4)
    affine[:3, 0] = axes[0] * pixel_spacing[1]
    affine[:3, 1] = axes[1] * pixel_spacing[0]
    affine[:3, 2] = (points[-1] - points[0]) / (len(points) - 1)
    affine[:3, 3] = points[0]
    line = points[0] + np.arange(len(points))[:, None] * affine[:3, 2]
    shift_mm = np.linalg.norm(points - line, axis=1)
    if shift_mm.max() > place_tolerance_mm(step, *pixel_spacing):
        at = int(shift_mm.argmax())
        raise IrregularGridError(
            f"slices: {names[at]} lies {shift_mm[at]:.3f} mm off the line of the other slices"
        )
    return check_affine(affine, "slices")
