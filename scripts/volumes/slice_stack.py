"""Slices to a volume: order, even spacing and affine from the geometry in their headers.

Positions are of the centre of each slice's first voxel, LPS mm (DICOM PS3.3, C.7.6.2.1.1:
ImagePositionPatient, ImageOrientationPatient, PixelSpacing).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scripts.volumes.geometry import check_affine

Floats = NDArray[np.float64]

# Distances between neighbouring slices may differ by this part of their median; headers written
# with two decimals stay below it for slices of 1 mm, and half a missing slice is far above.
EVEN_TOLERANCE = 0.02
# Two slices are the same place when their positions differ by less than this part of a voxel's
# edge: rounding lies below it, the nearest other slice ten times above.
SAME_PLACE_VOXELS = 0.1


def normal_of(orientation: ArrayLike) -> Floats:
    """Return (3,): the unit normal of slices, from the six cosines of their row and column axes.

    Raises:
        ValueError: for cosines that are no two perpendicular unit vectors.

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
        Which slice comes first, second ...; and (n,) their offsets along the normal in mm,
        ascending.
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
        ValueError: for fewer than two slices, two in one place, a missing slice, uneven spacing;
            with the names of the two slices concerned. Averaged over, any of these would shift
            every voxel behind it.

    Example:
        >>> even_step([0, 1.6, 4.8, 6.4], ["a", "b", "c", "d"])
        Traceback (most recent call last):
        ...
        ValueError: slices: 1 missing between b and c: 3.2 mm apart, 1.6 mm elsewhere
    """
    if len(offsets) < 2:
        raise ValueError(f"slices: at least 2 make a volume, got {len(offsets)}")
    steps = np.diff(np.asarray(offsets, float))
    step = float(np.median(steps))
    wrong = np.flatnonzero(np.abs(steps - step) > EVEN_TOLERANCE * step)
    if step <= 0 or (same := np.flatnonzero(steps <= SAME_PLACE_VOXELS * step)).size:
        at = int(np.argmin(steps)) if step <= 0 else int(same[0])
        raise ValueError(f"slices: {names[at]} and {names[at + 1]} lie in one place; keep one")
    if not wrong.size:
        return float((offsets[-1] - offsets[0]) / len(steps))
    at = int(wrong[0])
    between = f"between {names[at]} and {names[at + 1]}: {steps[at]:g} mm apart, {step:g} mm"
    times = steps[at] / step
    if round(times) > 1 and abs(times - round(times)) <= 2 * EVEN_TOLERANCE * times:
        raise ValueError(f"slices: {round(times) - 1} missing {between} elsewhere")
    raise ValueError(f"slices: unevenly spaced {between} in the middle")


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
        ValueError: as :func:`even_step`; for slices shifted against one another, or what
            :func:`scripts.volumes.geometry.check_affine` refuses (tilted gantry, oblique slices).
    """
    places = np.asarray(positions, float)
    step = even_step(places @ normal_of(orientation), names)
    axes = np.asarray(orientation, float).reshape(2, 3)
    affine = np.eye(4)
    affine[:3, 0] = axes[0] * pixel_spacing[1]
    affine[:3, 1] = axes[1] * pixel_spacing[0]
    affine[:3, 2] = (places[-1] - places[0]) / (len(places) - 1)
    affine[:3, 3] = places[0]
    line = places[0] + np.arange(len(places))[:, None] * affine[:3, 2]
    shift = np.linalg.norm(places - line, axis=1)
    if shift.max() > SAME_PLACE_VOXELS * min(step, *pixel_spacing):
        at = int(shift.argmax())
        raise ValueError(f"slices: {names[at]} lies {shift[at]:.3f} mm beside the line of the rest")
    return check_affine(affine, "slices")
