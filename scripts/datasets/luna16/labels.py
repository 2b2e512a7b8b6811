"""Nodule masks from LUNA16's list: a ball from its centre and diameter.

LUNA16 distributes no masks; its annotations.csv gives each nodule's centre (world, LPS mm) and
diameter in mm, the mean over the readers who marked it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scripts.volumes.geometry import index_to_world, is_inside, world_to_index


def ball_mask(
    shape_zyx: tuple[int, int, int],
    affine_lps: ArrayLike,
    centre_lps_mm: ArrayLike,
    diameter_mm: float,
) -> NDArray[np.bool_]:
    """Draw a ball into a volume's grid.

    A voxel belongs to it when its centre lies within the radius r, so that a slice at distance dz
    from the ball's centre shows a disc of radius sqrt(r^2 - dz^2), whatever the slice spacing; in
    an oblique grid distances are just as well in mm. The voxel nearest to the centre always
    belongs, so that a nodule smaller than a voxel does not vanish from the label.

    Args:
        shape_zyx: (Z, Y, X) of the mask.
        affine_lps: (4, 4), 0-based index (i, j, k) = (x, y, z) of the volume to LPS mm.
        centre_lps_mm: (3,) in LPS mm.
        diameter_mm: the diameter (not the radius, as the BSFT paper's table calls it).

    Returns:
        (Z, Y, X), True inside.

    Raises:
        ValueError: for a centre outside the volume (wrong scan, wrong frame, or the list of another
            release), or a diameter that is not above 0.

    Example:
        >>> mask = ball_mask((5, 9, 9), np.diag([1, 1, 2.5, 1]), (4, 4, 5), 6)
        >>> mask.sum(axis=(1, 2)).tolist()
        [0, 9, 29, 9, 0]
    """
    shape_ijk = tuple(shape_zyx[::-1])
    centre = np.asarray(centre_lps_mm, float)
    if len(shape_ijk) != 3 or min(shape_ijk) < 1:
        raise ValueError(f"shape_zyx: must be three sizes above 0, got {shape_zyx}")
    if centre.shape != (3,) or not np.isfinite(centre).all():
        raise ValueError(f"centre_lps_mm: must be three finite numbers, got {centre.tolist()}")
    if not (np.isfinite(diameter_mm) and diameter_mm > 0):
        raise ValueError(f"diameter_mm: must be above 0, got {diameter_mm}")
    index = world_to_index(centre, affine_lps)
    if not is_inside(index, shape_ijk):
        raise ValueError(
            f"centre_lps_mm: must lie inside the volume of {shape_ijk} voxels (x, y, z), "
            f"got {centre.tolist()} mm = index {index.round(1).tolist()}"
        )
    mask = np.zeros(shape_zyx, bool)
    nearest = np.clip(np.rint(index).astype(int), 0, np.array(shape_ijk) - 1)
    mask[tuple(nearest[::-1])] = True
    low, high = _box(index, np.asarray(affine_lps, float), diameter_mm / 2, shape_ijk)
    box = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
    distances_mm = np.linalg.norm(index_to_world(box, affine_lps) - centre, axis=-1)
    window = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
    mask[window] |= (distances_mm <= diameter_mm / 2).transpose(2, 1, 0)
    return mask


def _box(
    index: NDArray[np.float64],
    affine: NDArray[np.float64],
    radius_mm: float,
    shape_ijk: tuple[int, ...],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and the past-the-end index, both (3,), of the box around a ball."""
    reach = radius_mm * np.linalg.norm(np.linalg.inv(affine[:3, :3]), axis=1)
    low = np.maximum(np.floor(index - reach), 0).astype(np.int64)
    high = np.minimum(np.ceil(index + reach) + 1, shape_ijk).astype(np.int64)
    return low, high
