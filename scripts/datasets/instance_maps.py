"""Instance maps: numbered objects (nodules, lesions), their centres, diameters and slices.

Maps are uint8 (Z, Y, X) in LPS order: 0 is background, k is object k.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scripts.volumes.geometry import index_to_world, spacing_of, world_to_index

if TYPE_CHECKING:
    from scripts.volumes.volume import Volume

Map = NDArray[np.uint8]
Affine = NDArray[np.float64]
Objects = list[dict[str, Any]]
MOST_OBJECTS = 255  # one byte per voxel
TOUCHING = np.ones((3, 3, 3))  # voxels that share a corner are connected


def whole_numbers(values: NDArray[Any], name: str) -> Map:
    """Convert a label map to uint8.

    Args:
        values: array of any number type.
        name: name of the file, for the error.

    Raises:
        ValueError: when a value is not a whole number from 0 to 255.

    Example:
        >>> whole_numbers(np.array([0.0, 2.0]), "label").tolist()
        [0, 2]
    """
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    fits = low >= 0 and high <= MOST_OBJECTS
    whole: Map = values.astype(np.uint8) if fits else np.zeros(0, np.uint8)
    if not fits or not np.array_equal(whole, values):
        raise ValueError(
            f"{name}: must hold whole numbers 0 to {MOST_OBJECTS}, got {low} to {high}"
        )
    return whole


def read_ct_and_map(image_path: Path, map_path: Path) -> tuple[Volume, Map, Affine]:
    """Read a CT and a map of whole numbers, which must have the same grid.

    The grids are compared in LPS index order: the axes of a stored map may be permuted or flipped
    against its image.

    Returns:
        The CT and the map in LPS order; and (4, 4), index to LPS mm of the CT as stored.

    Raises:
        ValueError, OSError: naming the file and the rule.
    """
    from scripts.volumes.geometry import affine_of
    from scripts.volumes.readers import read_volume

    stored = read_volume(image_path)
    numbers = read_map(map_path, stored, image_path.name)
    return stored.in_lps(), numbers, affine_of(stored.to_image())


def read_map(path: Path, volume: Volume, image_name: str) -> Map:
    """Read a map of whole numbers, which must have the grid of its CT.

    Args:
        path: the map.
        volume: the CT, as stored.
        image_name: its file, for the error.

    Returns:
        The map in LPS order.

    Raises:
        ValueError, OSError: naming the file and the rule.
    """
    import SimpleITK as sitk

    from scripts.volumes.geometry import grid_difference, to_lps
    from scripts.volumes.readers import read_image

    image, mask = to_lps(volume.to_image()), to_lps(read_image(path))
    name = f"{path.parent.name}/{path.name}"
    if difference := grid_difference(image, mask):
        raise ValueError(
            f"{name}: must be on the grid of its image {image_name}: {difference} (image first)"
        )
    return whole_numbers(sitk.GetArrayViewFromImage(mask), name)


def number_components(mask: NDArray[np.bool_], name: str) -> Map:
    """Number the 26-connected components of a mask.

    Args:
        mask: (Z, Y, X).
        name: name of the file, for the error.

    Raises:
        ValueError: naming the file, for more than 255 components.

    Example:
        >>> number_components(np.array([[[1, 0, 1]]], bool), "label").tolist()
        [[[1, 0, 2]]]
    """
    numbered, count = ndimage.label(mask, structure=TOUCHING)
    if count > MOST_OBJECTS:
        raise ValueError(
            f"{name}: at most {MOST_OBJECTS} objects in one scan, got {count} separate components; "
            f"is it a mask of organs (classes), or full of single voxels?"
        )
    return np.asarray(numbered, np.uint8)


def count_components(mask: NDArray[np.bool_]) -> int:
    """Count the 26-connected components of a mask (Z, Y, X)."""
    return int(ndimage.label(mask, structure=TOUCHING)[1])


def measure_objects(instances: Map, affine_lps: NDArray[np.float64]) -> Objects:
    """Measure each object: ``id``, ``diameter_mm`` and ``centre_lps_mm``.

    The diameter is that of the ball of equal volume, the centre the centroid.

    Args:
        instances: the map.
        affine_lps: (4, 4), index (i, j, k) to LPS mm.
    """
    objects: Objects = []
    for number, window in find_windows(instances).items():
        voxels = np.argwhere(instances[window] == number) + [edge.start for edge in window]
        volume_mm3 = len(voxels) * float(np.prod(spacing_of(affine_lps)))
        centre = index_to_world(voxels.mean(axis=0)[::-1], affine_lps)
        diameter = (6 * volume_mm3 / np.pi) ** (1 / 3)
        objects.append({"id": number, "diameter_mm": diameter, "centre_lps_mm": centre.tolist()})
    return objects


def find_windows(instances: Map) -> dict[int, tuple[slice, ...]]:
    """Return the bounding box (z, y, x) of every number in a map; empty slices are skipped."""
    used = np.flatnonzero(instances.any(axis=(1, 2)))
    if not len(used):
        return {}
    first = int(used[0])
    boxes = ndimage.find_objects(instances[first : used[-1] + 1])
    return {
        number: (slice(box[0].start + first, box[0].stop + first), *box[1:])
        for number, box in enumerate(boxes, start=1)
        if box is not None
    }


def place_objects(
    instances: Map,
    objects: Iterable[Mapping[str, Any]],
    affine_lps: NDArray[np.float64],
    *,
    by_centre: bool,
) -> Objects:
    """Add ``slices``, ``central`` slice and number of ``voxels`` to each object.

    Args:
        instances: the map.
        objects: ``id``, ``diameter_mm``, ``centre_lps_mm``.
        affine_lps: (4, 4), index (i, j, k) to LPS mm.
        by_centre: whether the central slice is the one nearest to the centre (for balls) or the one
            of largest area (for readers' outlines and masks, which are not round).

    Raises:
        ValueError: for an object without voxels: it would count as missed in every evaluation.
    """
    windows = find_windows(instances)
    placed: Objects = []
    for item in objects:
        window = windows.get(item["id"])
        if window is None:
            raise ValueError(
                f"object {item['id']} at {item['centre_lps_mm']} mm: has no voxel in the label; "
                f"is it covered by another object?"
            )
        area = np.count_nonzero(instances[window] == item["id"], axis=(1, 2))
        slices = window[0].start + np.flatnonzero(area)
        centre_k = world_to_index(item["centre_lps_mm"], affine_lps)[2]
        off_centre = np.abs(slices - centre_k)
        order = (off_centre,) if by_centre else (off_centre, -area[area > 0])
        placed.append(
            {
                **item,
                "slices": [int(k) for k in slices],
                "central": int(slices[np.lexsort(order)[0]]),
                "voxels": int(area.sum()),
            }
        )
    return placed
