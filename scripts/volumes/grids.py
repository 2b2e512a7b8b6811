"""Grids of volumes: size and affine, read from the headers of files, and their comparison."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
import SimpleITK as sitk

from scripts.volumes.geometry import (
    SAME_GRID_TOLERANCE_VOXELS,
    Floats,
    index_to_world,
    lps_to_ras,
    spacing_of,
)

NIFTI = (".nii", ".nii.gz")
LPS = nibabel.orientations.axcodes2ornt("LPS")


class Grid(NamedTuple):
    """Number of voxels along i, j, k; and (4, 4), index (i, j, k) to mm, in any one frame."""

    size: tuple[int, ...]
    affine: Floats


def stored_grid(path: str | Path) -> Grid:
    """Read the grid of a volume file in LPS index order (affine to LPS mm), without its voxels.

    Raises:
        ValueError: naming the file, for a header that cannot be read, or not of one 3D volume.
    """
    try:
        stored = _header(Path(path))
        nibabel.orientations.io_orientation(stored.affine)
    except Exception as error:  # of a damaged header, in either of two libraries
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise ValueError(f"{path}: its header cannot be read: {reason[0].strip()}") from error
    if len(stored.size) != 3:
        raise ValueError(f"{path}: must be one 3D volume, got size {stored.size}")
    return grid_in_lps(stored)


def grid_in_lps(grid: Grid) -> Grid:
    """Return a grid (affine to RAS mm) in LPS index order, with its affine to LPS mm."""
    size, affine_ras = grid
    turn = nibabel.orientations.ornt_transform(nibabel.orientations.io_orientation(affine_ras), LPS)
    affine = lps_to_ras(affine_ras @ nibabel.orientations.inv_ornt_aff(turn, size))
    return Grid(tuple(int(size[axis]) for axis in np.argsort(turn[:, 0])), affine)


def _header(path: Path) -> Grid:
    """Return size and affine to RAS mm, as stored."""
    if path.name.lower().endswith(NIFTI):
        image = nibabel.load(path)
        return Grid(tuple(image.shape), np.asarray(image.affine, np.float64))
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    affine = np.eye(4)
    if reader.GetDimension() == 3:
        direction = np.array(reader.GetDirection()).reshape(3, 3)
        affine[:3, :3] = direction * np.array(reader.GetSpacing())
        affine[:3, 3] = reader.GetOrigin()
    return Grid(tuple(reader.GetSize()), lps_to_ras(affine))


def difference_of_grids(one: Grid, other: Grid) -> str:
    """Describe how two grids in one frame differ; empty if they are the same.

    Positions may differ by :data:`~scripts.volumes.geometry.SAME_GRID_TOLERANCE_VOXELS`.

    Example:
        >>> moved = np.eye(4)
        >>> moved[2, 3] = 60
        >>> difference_of_grids(Grid((4, 4, 4), np.eye(4)), Grid((4, 4, 4), moved))
        'voxels lie up to 60.000 mm apart'
    """
    if one.size != other.size:
        return f"sizes differ: {one.size} and {other.size} voxels"
    ends = np.vstack([np.zeros(3), np.diag(np.array(one.size) - 1.0)])
    apart = index_to_world(ends, one.affine) - index_to_world(ends, other.affine)
    shift_mm = float(np.abs(apart).max())
    if shift_mm <= SAME_GRID_TOLERANCE_VOXELS * spacing_of(one.affine).min():
        return ""
    return f"voxels lie up to {shift_mm:.3f} mm apart"
