"""The truth of one scan: an instance map and what is known of each nodule in it.

Maps are uint8 (Z, Y, X) in LPS order: 0 is background, k is nodule k.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from scripts.datasets.instance_maps import (
    MOST_OBJECTS,
    Map,
    Objects,
    find_windows,
    measure_objects,
    whole_numbers,
)
from scripts.datasets.luna16.annotations import Annotation
from scripts.datasets.luna16.labels import ball_mask
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

Nodules = Objects


def ball_instances(annotations: Sequence[Annotation], image_lps: sitk.Image) -> tuple[Map, Nodules]:
    """Draw every annotated nodule as a ball; nodule k is the k-th row of the scan.

    Larger balls are drawn first, so that a small nodule on a large one keeps its voxels.

    Raises:
        ValueError: naming the row, when a centre lies outside the volume.
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
    nodules: Nodules = [
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
    """Window (z, y, x) of a ball with a voxel to spare, and its first index (i, j, k)."""
    index = world_to_index(nodule.centre_lps_mm, affine)
    reach = nodule.diameter_mm / 2 / spacing_of(affine) + 1
    low = np.clip(np.floor(index - reach), 0, None).astype(np.int64)
    high = np.minimum(np.ceil(index + reach).astype(np.int64) + 1, size)
    return tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True)), low


def mask_instances(path: Path, image: sitk.Image) -> tuple[Map, Nodules]:
    """Read an instance mask made for a scan; it must lie on the scan's own grid.

    Diameters are those of balls of equal volume, centres are centroids.

    Args:
        path: ``<uid>.nii.gz``, whole numbers, 0 is background.
        image: the scan as it was read, not turned.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when its grid is another one, or its values are not whole numbers 0 to 255.
    """
    mask = read_image(path)
    if difference := grid_difference(image, mask):
        raise ValueError(f"{path.name}: not on the scan's grid: {difference}")
    turned = to_lps(mask)  # named: an array view does not keep its image alive
    instances = whole_numbers(sitk.GetArrayViewFromImage(turned), path.name)
    return instances, measure_objects(instances, affine_of(to_lps(image)))


def _check_number(count: int) -> None:
    if count > MOST_OBJECTS:
        raise ValueError(f"nodules: at most {MOST_OBJECTS} in one scan, got {count}")


def place_nodules(
    instances: Map, nodules: Nodules, affine_lps: NDArray[np.float64], *, by_centre: bool
) -> Nodules:
    """Add where each nodule lies: ``slices``, ``central`` and ``voxels``.

    Args:
        instances: the map.
        nodules: ``id``, ``diameter_mm``, ``centre_lps_mm``.
        affine_lps: (4, 4), index (i, j, k) to LPS mm.
        by_centre: the central slice is the one nearest to the centre (balls); otherwise the one
            of largest area (readers, masks: their outlines are not round).

    Raises:
        ValueError: when a nodule has no voxel: it would be counted and never be found.
    """
    windows = find_windows(instances)
    placed: Nodules = []
    for nodule in nodules:
        window = windows.get(nodule["id"])
        if window is None:
            raise ValueError(
                f"nodule {nodule['id']} at {nodule['centre_lps_mm']} mm: no voxel of the label is "
                f"its own; does another one cover it?"
            )
        area = np.count_nonzero(instances[window] == nodule["id"], axis=(1, 2))
        slices = window[0].start + np.flatnonzero(area)
        centre_k = world_to_index(nodule["centre_lps_mm"], affine_lps)[2]
        off_centre = np.abs(slices - centre_k)
        order = (off_centre,) if by_centre else (off_centre, -area[area > 0])
        placed.append(
            {
                **nodule,
                "slices": [int(k) for k in slices],
                "central": int(slices[np.lexsort(order)[0]]),
                "voxels": int(area.sum()),
            }
        )
    return placed
