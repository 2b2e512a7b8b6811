"""Geometry of CT volumes: affines, index and world coordinates, orientation, equality of grids.

World coordinates are millimetres in the LPS frame (x towards the patient's left, y towards the
back, z towards the head), as in DICOM, ITK and LUNA16's lists. An *affine* is a 4x4 matrix
from the 0-based index (i, j, k) of a voxel's centre to world coordinates; index order is (i, j, k)
= SimpleITK's (x, y, z), the reverse of the axes (z, y, x) of an array taken from SimpleITK.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, DTypeLike, NDArray

Floats = NDArray[np.float64]

# How far two unit axes may be from perpendicular (cosine). Six printed digits stay below it; a
# gantry tilted by more than 0.06 degrees does not.
ORTHOGONAL_TOLERANCE = 1e-3
# Slices turned further than this from the nearest body axis are not the axial, coronal or
# sagittal slices that slice-wise networks were trained on.
OBLIQUE_LIMIT_DEGREES = 15.0
# Edges of a CT's voxels in mm: a tenth of the finest pixels of patients' CTs, and more than the
# thickest slices. A file outside states lengths in m or micrometres as if they were mm.
EDGE_LIMITS_MM = (0.02, 50.0)
# Corner voxels of two volumes on the same grid may differ by this fraction of the smallest voxel
# edge;
# NIfTI's float32 affines stay well below it.
SAME_GRID_TOLERANCE_VOXELS = 0.02

_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


class IrregularGridError(ValueError):
    """Voxels that lie on no regular, orthogonal grid, unless they are resampled to one."""


def affine_of(image: sitk.Image) -> Floats:
    """Return the affine of a SimpleITK volume.

    Returns:
        (4, 4): 0-based index (i, j, k) to LPS mm, from origin, spacing and direction.

    Raises:
        ValueError: when the image is not three-dimensional.

    Example:
        >>> image = sitk.Image(4, 4, 4, sitk.sitkInt16)
        >>> image.SetOrigin((10, 20, 30)); image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
        >>> affine_of(image)[0].tolist()
        [-1.0, 0.0, 0.0, 10.0]
    """
    if image.GetDimension() != 3:
        raise ValueError(f"image: must be 3D, got {image.GetDimension()}D of {image.GetSize()}")
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = direction * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return affine + 0.0  # no negative zeros


def set_affine(image: sitk.Image, affine: ArrayLike) -> sitk.Image:
    """Set origin, spacing and direction of a SimpleITK volume in place; return the volume.

    Args:
        image: 3D.
        affine: (4, 4), index (i, j, k) to LPS mm.

    Raises:
        ValueError: see :func:`check_affine`.
    """
    matrix = check_affine(affine)
    spacing = spacing_of(matrix)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((matrix[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(matrix[:3, 3].tolist())
    return image


def spacing_of(affine: ArrayLike) -> Floats:
    """Return (3,): distance in mm between voxel centres along i, j, k."""
    return np.asarray(np.linalg.norm(np.asarray(affine, float)[:3, :3], axis=0), np.float64)


def index_to_world(index: ArrayLike, affine: ArrayLike) -> Floats:
    """Map indices to world points.

    Args:
        index: (..., 3), 0-based (i, j, k), fractions allowed.
        affine: (4, 4), index to LPS mm.

    Returns:
        (..., 3) in LPS mm.
    """
    matrix = np.asarray(affine, float)
    return np.asarray(np.asarray(index, float) @ matrix[:3, :3].T + matrix[:3, 3], np.float64)


def world_to_index(point_lps_mm: ArrayLike, affine: ArrayLike) -> Floats:
    """Map world points to indices with origin, spacing and direction.

    ``(world - origin) / spacing`` is correct for the identity direction only: for LUNA16's scans
    with direction (-1, -1, 1) it gives indices outside the volume.

    Args:
        point_lps_mm: (..., 3) in LPS mm.
        affine: (4, 4), index to LPS mm.

    Returns:
        (..., 3), 0-based (i, j, k) with fractions; round it for the nearest voxel.

    Example:
        >>> flipped = np.diag([-0.5, -0.5, 2.0, 1.0])
        >>> world_to_index([-10, -20, 6], flipped).tolist()
        [20.0, 40.0, 3.0]
    """
    matrix = np.asarray(affine, float)
    offsets = np.asarray(point_lps_mm, float) - matrix[:3, 3]
    return np.asarray(offsets @ np.linalg.inv(matrix[:3, :3]).T, np.float64)


def is_inside(index: ArrayLike, shape_ijk: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return whether indices lie in a volume; a voxel extends half an edge around its centre.

    Args:
        index: (..., 3), 0-based (i, j, k).
        shape_ijk: number of voxels along i, j, k.
    """
    indices = np.asarray(index, float)
    inside = (indices >= -0.5) & (indices < np.asarray(shape_ijk) - 0.5)
    return np.asarray(inside.all(axis=-1))


def lps_to_ras(affine: ArrayLike) -> Floats:
    """Convert an affine from LPS mm to RAS mm (nibabel, MONAI), or back: the same flip."""
    return np.asarray(_LPS_RAS @ np.asarray(affine, float) + 0.0, np.float64)


def check_affine(affine: ArrayLike, name: str = "affine") -> Floats:
    """Refuse an affine that is not a valid scanner grid, or is too oblique for slice-wise networks.

    Args:
        affine: (4, 4), index to mm.
        name: name of the volume in errors, such as its file.

    Returns:
        The affine as float64.

    Raises:
        IrregularGridError: for axes that are not perpendicular: with a tilted gantry each slice is
            shifted against the next, so the volume is not a box.
        ValueError: for numbers that are not finite, spacing not above zero, or slices rotated too
            far from the body axes.
    """
    matrix = np.asarray(affine, float)
    if matrix.shape != (4, 4):
        raise ValueError(f"{name}: the affine must be 4x4, got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(
            f"{name}: origin, spacing and direction must be finite, got {matrix[:3].tolist()}"
        )
    spacing = spacing_of(matrix)
    if not (spacing > 0).all():
        raise ValueError(f"{name}: spacing must be above 0 mm, got {spacing.tolist()}")
    low, high = EDGE_LIMITS_MM
    if spacing.min() < low or spacing.max() > high:
        raise ValueError(
            f"{name}: spacing must be {low:g} to {high:g} mm, got {spacing.round(6).tolist()}; "
            "is it in another unit than mm?"
        )
    direction = matrix[:3, :3] / spacing
    cosines = np.abs(direction.T @ direction - np.eye(3)).max()
    if cosines > ORTHOGONAL_TOLERANCE:
        degrees = np.degrees(np.arcsin(min(1.0, cosines)))
        raise IrregularGridError(
            f"{name}: the axes must be perpendicular, they are {degrees:.2f} degrees off "
            f"(a tilted gantry, or a damaged direction matrix); resample the series to "
            f"an orthogonal grid first. Direction: {direction.round(5).tolist()}"
        )
    _check_oblique(direction, name)
    return matrix


def _check_oblique(direction: Floats, name: str) -> None:
    """Refuse a direction (3, 3) rotated too far from the body axes."""
    nearest = np.abs(direction).max(axis=0)
    angle = float(np.degrees(np.arccos(np.clip(nearest, 0, 1))).max())
    if angle > OBLIQUE_LIMIT_DEGREES:
        raise ValueError(
            f"{name}: an image axis lies {angle:.1f} degrees from the nearest body axis, more than "
            f"{OBLIQUE_LIMIT_DEGREES:g}: an oblique reformat; use the original axial series"
        )


def check_image(image: sitk.Image, name: str = "image") -> sitk.Image:
    """Return a volume whose geometry passes :func:`check_affine`; refuse any other.

    ITK does not normalise a direction whose columns are not of unit length and then scales
    positions by that factor; such a direction is refused too.

    Raises:
        ValueError: naming the image and the rule.
    """
    if image.GetDimension() != 3:
        raise ValueError(f"{name}: must be a 3D volume, got {image.GetDimension()}D")
    lengths = np.linalg.norm(np.array(image.GetDirection()).reshape(3, 3), axis=0)
    if not np.isfinite(lengths).all() or np.abs(lengths - 1).max() > ORTHOGONAL_TOLERANCE:
        raise ValueError(
            f"{name}: the direction's columns must have length 1, got lengths {lengths.tolist()}"
        )
    spacing = np.array(image.GetSpacing())
    if not (spacing > 0).all():
        raise ValueError(f"{name}: spacing must be above 0 mm, got {spacing.tolist()}")
    check_affine(affine_of(image), name)
    return image


def to_lps(image: sitk.Image) -> sitk.Image:
    """Permute and flip a volume so that i runs to the left, j to the back, k to the head.

    Nothing is interpolated; an oblique volume gets the nearest such order. The array of the
    result has axes (z, y, x).

    Raises:
        ValueError: for geometry that :func:`check_image` refuses.
    """
    check_image(image)
    direction = image.GetDirection()
    if sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction) == "LPS":
        return image
    return sitk.DICOMOrient(image, "LPS")


def grid_difference(a: sitk.Image, b: sitk.Image) -> str:
    """Describe how the grids of two volumes differ; empty if they are the same.

    Sizes and the world positions of the first voxel and of the last along each axis are compared:
    an error in spacing counts by how far it moves voxels. Positions may differ by
    :data:`SAME_GRID_TOLERANCE_VOXELS`.

    Raises:
        ValueError: when an image is not three-dimensional.
    """
    if a.GetSize() != b.GetSize():
        return f"sizes differ: {a.GetSize()} and {b.GetSize()} voxels"
    ends = np.vstack([np.zeros(3), np.diag(np.array(a.GetSize()) - 1.0)])
    affines = affine_of(a), affine_of(b)
    shift_mm = np.abs(index_to_world(ends, affines[0]) - index_to_world(ends, affines[1])).max()
    allowed_mm = SAME_GRID_TOLERANCE_VOXELS * float(spacing_of(affines[0]).min())
    if shift_mm <= allowed_mm:
        return ""
    parts: dict[str, tuple[Any, Any]] = {
        "origins": (a.GetOrigin(), b.GetOrigin()),
        "spacings": (a.GetSpacing(), b.GetSpacing()),
        "directions": (a.GetDirection(), b.GetDirection()),
    }
    unequal = [
        f"{name} {x} and {y}" for name, (x, y) in parts.items() if not np.allclose(x, y, atol=1e-4)
    ]
    return f"voxels lie up to {shift_mm:.3f} mm apart: {'; '.join(unequal)}"


PIECE = 32  # lines of a plane that are copied together; those written stay in the fast cache


def reverse_axes(volume: NDArray[Any], dtype: DTypeLike | None = None) -> NDArray[Any]:
    """Copy a volume (A, B, C) to a contiguous array (C, B, A).

    Copying pieces of the planes along the middle axis is three to five times as fast as
    ``ascontiguousarray`` of the transposed array, which reads each cache line once for every voxel
    in it.

    Args:
        volume: three axes.
        dtype: data type of the copy; by default that of the volume.

    Example:
        >>> import numpy as np
        >>> volume = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
        >>> bool((reverse_axes(volume) == volume.transpose(2, 1, 0)).all())
        True
    """
    reversed_ = np.empty(volume.shape[::-1], volume.dtype if dtype is None else dtype)
    for row in range(volume.shape[1]):
        for start in range(0, len(volume), PIECE):
            piece = slice(start, start + PIECE)
            reversed_[:, row, piece] = volume[piece, row].T
    return reversed_
