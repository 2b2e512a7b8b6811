"""Segmentation of the patient's body in a CT, without table, tubes and blankets."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from scipy import ndimage

from scripts.transforms.mask_closing import Mask, Numbers, expand, pool, steps_for

WORK_MM = 4.0  # grid on which the body is found
TISSUE_HU = -400.0


def body_field(hu_zyx: Numbers, spacing_mm: Sequence[float]) -> Mask:
    """Segment the body: the largest component of tissue, separated from objects that touch it.

    Intended for cropping: computed on a 4 mm grid, and air inside the body is not included.

    Args:
        hu_zyx: (Z, Y, X) in HU.
        spacing_mm: along x, y, z, in SimpleITK's order.

    Returns:
        (Z, Y, X), True in the body; True everywhere if no tissue is found.

    Raises:
        ValueError: for another shape, or spacing that is not above 0.
    """
    steps = steps_for(hu_zyx, spacing_mm, WORK_MM)
    tissue = pool(hu_zyx, steps) >= TISSUE_HU
    separated = ndimage.binary_erosion(tissue, border_value=1)
    labels, count = ndimage.label(separated)
    if not count:
        return np.ones(hu_zyx.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = ndimage.binary_dilation(labels == sizes.argmax(), iterations=2) & tissue
    return expand(np.asarray(body), steps, hu_zyx.shape)


class BodyFieldd(MapTransform):
    """Add the body of a CT under its own key, e.g. for ``CropForegroundd``.

    Args:
        keys: the CT, (1, A, B, C) in HU, in any orientation.
        body_key: key of the result: (1, A, B, C), uint8 0 or 1, with the CT's affine.

    Raises:
        ValueError: for more than one key.
    """

    def __init__(self, keys: KeysCollection, *, body_key: str = "body") -> None:
        super().__init__(keys)
        if len(self.keys) != 1:
            raise ValueError(f"keys: must be one key, the CT, got {self.keys}")
        self.body_key = body_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the body added."""
        result = dict(data)
        image = result[self.keys[0]]
        spacing_mm = np.linalg.norm(np.asarray(image.affine)[:3, :3], axis=0)
        field = body_field(np.asarray(image[0]), spacing_mm[::-1].tolist())
        body = torch.from_numpy(field.astype(np.uint8))[None]
        result[self.body_key] = MetaTensor(
            body, meta={**image.meta, "affine": image.affine.clone()}
        )
        return result
