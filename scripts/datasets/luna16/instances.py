"""Instance maps of the nodules of one scan: drawn as balls, or read from a mask.

LUNA16 distributes no masks; annotations.csv gives each nodule's centre (world, LPS mm) and diameter
in mm, averaged over the readers who marked it. Maps are uint8 (Z, Y, X) in LPS order: 0 is
background, k is nodule k.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from scripts.datasets.instance_maps import (
    MOST_OBJECTS,
    Map,
    Objects,
    measure_objects,
    whole_numbers,
)
from scripts.datasets.luna16.annotations import Annotation
from scripts.volumes.geometry import (
    affine_of,
    grid_difference,
    index_to_world,
    is_inside,
    spacing_of,
    to_lps,
    world_to_index,
)
from scripts.volumes.readers import read_image


def ball_instances(annotations: Sequence[Annotation], image_lps: sitk.Image) -> tuple[Map, Objects]:
    """Draw every annotated nodule as a ball; nodule k is the k-th row of the scan.

    Larger balls are drawn first, so that a small nodule on a large one keeps its voxels.

    Returns:
        The map; and ``id``, ``diameter_mm`` and ``centre_lps_mm`` of each nodule.

    Raises:
        ValueError: for a centre outside the volume, naming the row; for more than 255 nodules.
    """
    _check_number(len(annotations))
    shape = image_lps.GetSize()[::-1]
    affine = affine_of(image_lps)
    instances = np.zeros(shape, np.uint8)
    numbered = list(enumerate(annotations, start=1))
    for number, nodule in sorted(numbered, key=lambda pair: -pair[1].diameter_mm):
        _check_inside(nodule, affine, image_lps.GetSize())
        window, corner = _box_around(nodule, affine, image_lps.GetSize())
        part = instances[window]
        local = affine.copy()
        local[:3, 3] = index_to_world(corner, affine)
        depth, height, width = part.shape
        ball = ball_mask((depth, height, width), local, nodule.centre_lps_mm, nodule.diameter_mm)
        part[ball] = number
    nodules: Objects = [
        {"id": k, "diameter_mm": n.diameter_mm, "centre_lps_mm": list(n.centre_lps_mm)}
        for k, n in numbered
    ]
    return instances, nodules


def _check_inside(nodule: Annotation, affine: NDArray[np.float64], size: tuple[int, ...]) -> None:
    index = world_to_index(nodule.centre_lps_mm, affine)
    if not is_inside(index, size):
        raise ValueError(
            f"annotations.csv row {nodule.line}: the centre lies outside the volume: "
            f"{list(nodule.centre_lps_mm)} mm is index {index.round(1).tolist()}, the volume "
            f"has {tuple(size)} voxels"
        )


def _box_around(
    nodule: Annotation, affine: NDArray[np.float64], size: tuple[int, ...]
) -> tuple[tuple[slice, ...], NDArray[np.int64]]:
    """Return the window (z, y, x) of a ball with a margin of one voxel, and its first (i, j, k)."""
    index = world_to_index(nodule.centre_lps_mm, affine)
    reach = nodule.diameter_mm / 2 / spacing_of(affine) + 1
    low = np.clip(np.floor(index - reach), 0, None).astype(np.int64)
    high = np.minimum(np.ceil(index + reach).astype(np.int64) + 1, size)
    return tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True)), low


def ball_mask(
    shape_zyx: tuple[int, int, int],
    affine_lps: ArrayLike,
    centre_lps_mm: ArrayLike,
    diameter_mm: float,
) -> NDArray[np.bool_]:
    """Draw a ball on a volume's grid.

    A voxel is inside if its centre lies within the radius r: for any slice spacing, a slice at
    distance dz from the ball's centre shows a disc of radius sqrt(r^2 - dz^2). Distances are in mm
    on oblique grids too. The voxel nearest to the centre is always inside, so that a nodule smaller
    than a voxel does not vanish from the label.

    Args:
        shape_zyx: (Z, Y, X) of the mask.
        affine_lps: (4, 4), 0-based index (i, j, k) = (x, y, z) of the volume to LPS mm.
        centre_lps_mm: (3,) in LPS mm.
        diameter_mm: diameter of the ball (the BSFT paper's table calls this value the radius).

    Returns:
        (Z, Y, X), True inside.

    Raises:
        ValueError: for a centre outside the volume (wrong scan, wrong frame, or the list of another
            release), a diameter that is not above 0, or a shape that is not three sizes.

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
    low, high = _ball_box(index, np.asarray(affine_lps, float), diameter_mm / 2, shape_ijk)
    box = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), axis=-1)
    distances_mm = np.linalg.norm(index_to_world(box, affine_lps) - centre, axis=-1)
    window = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
    mask[window] |= (distances_mm <= diameter_mm / 2).transpose(2, 1, 0)
    return mask


def _ball_box(
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


def mask_instances(path: Path, image: sitk.Image) -> tuple[Map, Objects]:
    """Read an instance mask on the grid of its scan.

    Diameters are those of balls of equal volume, centres are centroids.

    Args:
        path: ``<uid>.nii.gz``, whole numbers, 0 is background.
        image: the scan in its stored orientation.

    Returns:
        The map in LPS order; and ``id``, ``diameter_mm`` and ``centre_lps_mm`` of each nodule.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: for a mask on another grid, or values that are not whole numbers 0 to 255.
    """
    mask = read_image(path)
    if difference := grid_difference(image, mask):
        raise ValueError(f"{path.name}: not on the scan's grid: {difference}")
    turned = to_lps(mask)  # kept in a variable: an array view does not keep its image alive
    instances = whole_numbers(sitk.GetArrayViewFromImage(turned), path.name)
    return instances, measure_objects(instances, affine_of(to_lps(image)))


def _check_number(count: int) -> None:
    if count > MOST_OBJECTS:
        raise ValueError(f"nodules: at most {MOST_OBJECTS} in one scan, got {count}")
