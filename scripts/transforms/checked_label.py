"""Check of a volume's label map against its image and the objects that are listed for it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from numpy.typing import NDArray

from scripts.volumes.geometry import lps_to_ras, spacing_of, world_to_index
from scripts.volumes.grids import Grid, difference_of_grids


class CheckedLabeld(MapTransform):
    """Refuse a label map on another grid than its image, or one that lacks the listed objects.

    To be used after both are in the same orientation. Objects of a sample are listed under
    ``nodules``: ``id``, ``diameter_mm`` and ``centre_lps_mm``; samples without that entry are
    checked for their grid only.

    Args:
        keys: label maps (1, X, Y, Z).
        image_key: image (C, X, Y, Z).

    Returns:
        The sample as it came.

    Raises:
        ValueError: naming the sample: for a label on another grid, or whose numbers are not the
            listed ones, or a listed object without a voxel within its radius.
    """

    def __init__(self, keys: KeysCollection = "label", *, image_key: str = "image") -> None:
        super().__init__(keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Check each label map."""
        image, listed = data[self.image_key], data.get("nodules")
        name = data.get("series_uid") or image.meta.get("filename_or_obj", "sample")
        for key in self.keys:
            if difference := difference_of_grids(_grid_of(image), _grid_of(data[key])):
                raise ValueError(f"{key}: {name}: not on the grid of its image: {difference}")
            if listed is not None:
                label = data[key][0].cpu().numpy().astype(np.uint8)
                affine = lps_to_ras(data[key].affine.cpu().numpy())
                if difference := _difference(label, affine, listed):
                    raise ValueError(
                        f"{key}: {name}: does not agree with its datalist: {difference}; prepare "
                        "the data again"
                    )
        return dict(data)


def _grid_of(volume: MetaTensor) -> Grid:
    return Grid(tuple(volume.shape[1:]), volume.affine.cpu().numpy())


def _difference(
    label: NDArray[np.uint8], affine_lps: NDArray[np.float64], listed: Sequence[Mapping[str, Any]]
) -> str:
    """Describe what contradicts the list; empty if nothing does."""
    known = np.zeros(256, bool)
    known[[0, *(item["id"] for item in listed)]] = True
    if not known[label].all():
        found = [int(value) for value in np.unique(label) if not known[value]]
        return f"it holds the numbers {found[:5]}, which are not listed"
    for item in listed:
        if item.get("centre_lps_mm") is None or item.get("diameter_mm") is None:
            continue
        if not _near(label == item["id"], affine_lps, item):
            centre = [round(mm, 1) for mm in item["centre_lps_mm"]]
            return f"object {item['id']} has no voxel around its centre {centre} mm"
    return ""


def _near(
    mask: NDArray[np.bool_], affine_lps: NDArray[np.float64], item: Mapping[str, Any]
) -> bool:
    """Return whether a mask has a voxel within an object's radius, and a voxel, of its centre."""
    centre = world_to_index(item["centre_lps_mm"], affine_lps)
    reach = item["diameter_mm"] / 2 / spacing_of(affine_lps) + 1
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.maximum(np.ceil(centre + reach) + 1, 0).astype(int)
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return bool(mask[window].any())
