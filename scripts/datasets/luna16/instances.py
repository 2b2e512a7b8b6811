"""Instance maps of the nodules of one scan: drawn as balls, or read from a mask.

LUNA16 distributes no masks; annotations.csv gives each nodule's centre (world, LPS mm) and diameter
in mm, averaged over the readers who marked it. Maps are uint8 (Z, Y, X) in LPS order: 0 is
background, k is nodule k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from scripts.datasets.contract import Point
from scripts.datasets.instance_maps import (
    MOST_OBJECTS,
    Map,
    Objects,
    measure_objects,
    number_components,
    whole_numbers,
)
from scripts.datasets.luna16.annotations import Annotation
from scripts.running.reasons import listed
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


def mask_instances(
    path: Path,
    image: sitk.Image,
    annotations: Sequence[Annotation] = (),
    excluded: Sequence[Point] = (),
) -> tuple[Map, Objects]:
    """Read a mask of nodules on the grid of its scan.

    Each value is one nodule. In a mask with a single value the nodules are its 26-connected
    components, those near one listed nodule together. Diameters are those of balls of equal volume,
    centres are centroids.

    Args:
        path: ``<uid>.nii.gz``, whole numbers, 0 is background.
        image: the scan in its stored orientation.
        annotations: rows of the nodule list, which the mask must not contradict, see
            :func:`match_nodules`.
        excluded: (x, y, z, diameter) in LPS mm of excluded findings, which a mask may contain.

    Returns:
        The map in LPS order; and ``id``, ``diameter_mm`` and ``centre_lps_mm`` of each nodule.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: for a mask on another grid, values that are not whole numbers 0 to 255, or a
            mask that contradicts the nodule list.
    """
    mask = read_image(path)
    if difference := grid_difference(image, mask):
        raise ValueError(f"{path.name}: not on the scan's grid: {difference}")
    turned = to_lps(mask)  # kept in a variable: an array view does not keep its image alive
    instances = whole_numbers(sitk.GetArrayViewFromImage(turned), path.name)
    affine = affine_of(to_lps(image))
    if len(np.unique(instances[instances > 0])) > 1:
        match_nodules(instances, affine, annotations, path.name)
        return instances, measure_objects(instances, affine)
    parts = number_components(instances > 0, path.name)
    owners = match_nodules(parts, affine, annotations, path.name)
    if owners:
        parts = _join_parts(parts, affine, owners, excluded, path.name)
    if len(np.unique(parts[parts > 0])) > 1:
        instances = parts
    return instances, measure_objects(instances, affine)


def match_nodules(
    instances: Map, affine: NDArray[np.float64], annotations: Sequence[Annotation], name: str
) -> dict[int, Annotation]:
    """Match each annotated nodule with an object of its own in a map.

    An object may be that of a nodule if it has a voxel within the nodule's radius, or within half
    a voxel's diagonal of its centre.

    Args:
        instances: map in LPS order.
        affine: (4, 4), index (i, j, k) to LPS mm.
        annotations: rows of the nodule list.
        name: of the mask's file, for the error.

    Returns:
        Number of the object -> nodule.

    Raises:
        ValueError: for nodules that are missing in the map, or that share an object with another.
    """
    if not annotations:
        return {}
    numbers = np.unique(instances[instances > 0]).tolist()
    depth, height, width = instances.shape
    near = np.zeros((len(annotations), len(numbers)), bool)
    for row, nodule in enumerate(annotations):
        _check_inside(nodule, affine, (width, height, depth))
        shape = (depth, height, width)
        # at least half a voxel's diagonal: the centre of two voxels that touch at a corner is as
        # near to two others
        diameter = max(nodule.diameter_mm, float(np.linalg.norm(affine[:3, :3])))
        ball = ball_mask(shape, affine, nodule.centre_lps_mm, diameter)
        near[row] = np.isin(numbers, instances[ball])
    graph = csr_matrix(near) if numbers else csr_matrix((len(annotations), 1), dtype=bool)
    own = maximum_bipartite_matching(graph, perm_type="column").tolist()
    pairs = list(zip(annotations, own, strict=True))
    if lacking := [str(nodule.line) for nodule, column in pairs if column < 0]:
        raise ValueError(
            f"{name}: contradicts annotations.csv, which lists {len(annotations)} nodules: the "
            f"mask has {len(numbers)} objects, and none of its own for row "
            f"{listed(lacking, most=5)}; give each nodule a value of its own, or separate those "
            "that touch"
        )
    return {numbers[column]: nodule for nodule, column in pairs}


def _join_parts(
    instances: Map,
    affine: NDArray[np.float64],
    owners: Mapping[int, Annotation],
    excluded: Sequence[Point],
    name: str,
) -> Map:
    """Join the components of a binary mask that are parts of one listed nodule.

    A component is a part of a nodule if its centre is closer to the nodule's than the diameter.

    Raises:
        ValueError: for a component that is neither part of a listed nodule nor an excluded finding.
    """
    unknown: list[Point] = []
    joined = instances.copy()
    for item in measure_objects(instances, affine):
        centre = item["centre_lps_mm"]
        distances = {
            number: math.dist(centre, nodule.centre_lps_mm) / nodule.diameter_mm
            for number, nodule in owners.items()
        }
        nearest = min(distances, key=lambda number: distances[number])
        if item["id"] in owners or any(
            math.dist(centre, point[:3]) < point[3] / 2 for point in excluded
        ):
            continue
        if distances[nearest] < 1:
            joined[instances == item["id"]] = nearest
        else:
            unknown.append((*centre, item["diameter_mm"]))
    if unknown:
        x, y, z, diameter = unknown[0]
        raise ValueError(
            f"{name}: contradicts annotations.csv, which lists {len(owners)} nodules: the mask has "
            f"one value in separate components, {len(unknown)} of them far from every listed "
            f"nodule, the first at {x:.1f}, {y:.1f}, {z:.1f} mm ({diameter:.1f} mm); give each "
            f"nodule a value of its own, or remove what is no nodule"
        )
    return joined


def _check_number(count: int) -> None:
    if count > MOST_OBJECTS:
        raise ValueError(f"nodules: at most {MOST_OBJECTS} in one scan, got {count}")
