"""Lung field: the region of a chest CT in which nodules are searched.

A classical method without training: air inside the body, without gut gas and airways, closed and
filled so that it includes nodules on the pleura and inside the lungs. It is designed to be generous
(a nodule outside is missed by all later steps) and fast (grid of about 1.6 mm), and is not an
anatomical segmentation.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey
from numpy.typing import NDArray
from scipy import ndimage

from scripts.transforms.mask_closing import (
    CLOSING_MM,
    IN_SLICE,
    Mask,
    Numbers,
    expand,
    fill,
    pool,
    rounded,
    steps_for,
)
from scripts.volumes.geometry import reverse_axes

WORK_MM = 1.6  # grid on which lungs are found
LUNG_HU = -400.0  # below: air or lung; above: tissue
GAS_HU = -970.0  # a component whose median lies below is gas (gut, airway, room), not lung
AIRWAY_HU = (-900.0, -930.0, -950.0)  # tried in turn, until the lumen does not leak into lung
AIRWAY_ML = (4.0, 120.0)
AIRWAY_LENGTH_MM = 25.0
AIRWAY_AREA_MM2 = 700.0  # largest cross-section of the trachea in a slice
AIRWAY_SHARE_OF_BOX = 0.6  # a disc fills 0.79 of its box; thin lung tissue, all holes, 0.3 to 0.57
AIRWAY_OFF_MIDLINE_MM = 35.0
SMALLEST_AREA_MM2 = 400.0  # of a lung in its largest slice
SMALLEST_SHARE = 0.05  # of the largest component's volume
LUNG_LABELS = (3, 4)  # seg-lungs-LUNA16: 3 left lung, 4 right lung, 5 trachea


class NoLungsError(ValueError):
    """No lung was found in the volume."""


def lung_field(hu_zyx: Numbers, spacing_mm: Sequence[float]) -> Mask:
    """Find the lung field of a chest CT.

    Args:
        hu_zyx: (Z, Y, X) in HU, in LPS order (z to the head, y to the back, x to the left).
        spacing_mm: along x, y, z, in SimpleITK's order.

    Returns:
        (Z, Y, X), True in the lungs, in nodules and vessels inside them and in lesions that bulge
        into them from the pleura by less than about 24 mm; False in trachea and main bronchi as
        far as they can be distinguished from lung.

    Raises:
        NoLungsError: when no lung is found (an abdomen, a head, an empty volume): with an empty
            field, all later steps would report "no nodule" for a scan that was not searched.
        ValueError: for another shape, or spacing that is not above 0.
    """
    steps = steps_for(hu_zyx, spacing_mm, WORK_MM)
    work = pool(hu_zyx, steps)
    spacing_zyx = np.array(spacing_mm[::-1], np.float64) * steps.astype(np.float64)
    body = fill(_largest(work >= LUNG_HU))
    window = _around(body, spacing_zyx)
    near, inside = work[window], body[window]
    air = inside & (near < LUNG_HU)
    airway = _followed(_airway(near, inside, spacing_zyx), air, spacing_zyx)
    lungs = _lungs(near, air & ~_grown(airway), spacing_zyx)
    if not lungs.any():
        raise NoLungsError(
            f"hu_zyx: no lungs in this volume of {hu_zyx.shape} voxels (z, y, x), HU "
            f"{hu_zyx.min():g} to {hu_zyx.max():g}: is it a chest CT in Hounsfield units?"
        )
    field = np.zeros_like(body)
    field[window] = rounded(lungs, spacing_zyx) & ~airway
    return expand(field, steps, hu_zyx.shape)


def lung_field_from_labels(seg_lungs: Numbers, spacing_mm: Sequence[float]) -> Mask:
    """Compute the lung field from a lung mask as in seg-lungs-LUNA16, by closing and filling.

    These masks exclude nodules on the pleura. All lung voxels of the mask are in the lung field.

    Args:
        seg_lungs: (Z, Y, X), 3 in the left lung, 4 in the right one, 5 in the trachea.
        spacing_mm: along x, y, z.

    Returns:
        (Z, Y, X), True in the lung field; False in the trachea.

    Raises:
        NoLungsError: when no voxel has label 3 or 4.
        ValueError: for another shape, or spacing that is not above 0.
    """
    steps = steps_for(seg_lungs, spacing_mm, WORK_MM)
    lungs = np.isin(seg_lungs, LUNG_LABELS)
    if not lungs.any():
        values = np.unique(seg_lungs).tolist()[:10]
        raise NoLungsError(f"seg_lungs: must hold 3 (left) or 4 (right lung), got only {values}")
    pooled = pool(lungs, steps) >= 0.5
    closed = rounded(pooled, np.array(spacing_mm[::-1], np.float64) * steps.astype(np.float64))
    return np.asarray((lungs | expand(closed, steps, lungs.shape)) & (seg_lungs != 5))


class LungFieldd(MapTransform):
    """Add the lung field of a CT under its own key.

    Args:
        keys: the CT, (1, X, Y, Z) in HU, oriented LPS (``Orientationd(axcodes="LPS")`` before).
        lung_key: key of the result: (1, X, Y, Z), uint8 0 or 1, with the CT's affine.

    Raises:
        ValueError: for more than one key, another shape or orientation, or a CT without lungs;
            the message starts with the file's name if it is known.
    """

    def __init__(self, keys: KeysCollection, *, lung_key: str = "lung") -> None:
        super().__init__(keys)
        if len(self.keys) != 1:
            raise ValueError(f"keys: must be one key, the CT, got {self.keys}")
        self.lung_key = lung_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the lung field added."""
        result = dict(data)
        image = result[self.keys[0]]
        name = _name(image)
        _check_lps(image, name)
        spacing_mm = np.linalg.norm(np.asarray(image.affine)[:3, :3], axis=0)
        try:
            field = lung_field(np.asarray(image[0]).transpose(2, 1, 0), spacing_mm.tolist())
        except NoLungsError as error:
            raise NoLungsError(f"{name}: {error}") from error
        lung = torch.from_numpy(reverse_axes(field, np.uint8))[None]
        result[self.lung_key] = MetaTensor(
            lung, meta={**image.meta, "affine": image.affine.clone()}
        )
        return result


def _name(image: Any) -> str:
    """Return the file name in an image's metadata, else 'image'."""
    return str(getattr(image, "meta", {}).get(ImageMetaKey.FILENAME_OR_OBJ, "image"))


def _check_lps(image: Any, name: str) -> None:
    """Check that an image is a (1, X, Y, Z) MetaTensor with axes to the left, back and head."""
    if not isinstance(image, MetaTensor) or image.ndim != 4 or image.shape[0] != 1:
        got = f"{type(image).__name__} {tuple(getattr(image, 'shape', ()))}"
        raise ValueError(f"{name}: must be a (1, X, Y, Z) MetaTensor, got {got}")
    directions = np.diag(np.asarray(image.affine)[:3, :3])  # MONAI's world coordinates are RAS
    axes = np.abs(np.asarray(image.affine)[:3, :3])
    if not (
        (axes.argmax(axis=0) == [0, 1, 2]).all() and (np.sign(directions) == [-1, -1, 1]).all()
    ):
        raise ValueError(f"{name}: axes must run LPS; put Orientationd(axcodes='LPS') before")


def _largest(mask: Mask) -> Mask:
    """Keep the largest component: the body, without the table."""
    labels, count = ndimage.label(mask)
    if not count:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def _around(body: Mask, spacing_zyx: NDArray[np.float64]) -> tuple[slice, ...]:
    """Return slices of the body's rows and columns, with a margin for the closing of the lungs."""
    reach = np.ceil(CLOSING_MM / spacing_zyx).astype(int) + 2  # in voxels
    occupied = (np.flatnonzero(body.any(axis=(0, 3 - axis))) for axis in (1, 2))
    ranges = (
        slice(max(0, int(index[0]) - r), int(index[-1]) + 1 + r) if len(index) else slice(None)
        for index, r in zip(occupied, reach[1:], strict=True)
    )
    return (slice(None), *ranges)


def _grown(mask: Mask) -> Mask:
    """Dilate a mask by one voxel, the wall of a lumen."""
    return np.asarray(ndimage.binary_dilation(mask))


def _airway(work: NDArray[np.float32], body: Mask, spacing_zyx: NDArray[np.float64]) -> Mask:
    """Segment the lumen of trachea and main bronchi; empty if not distinguishable from lung."""
    if not body.any():
        return np.zeros_like(body)
    midline = float(np.flatnonzero(body.any(axis=(0, 1)))[[0, -1]].mean())
    for threshold in AIRWAY_HU:
        labels, _ = ndimage.label(body & (work < threshold))
        sizes_ml = np.bincount(labels.ravel()) * spacing_zyx.prod() / 1000
        boxes = ndimage.find_objects(labels)
        for number in np.argsort(-sizes_ml[1:]) + 1:
            if sizes_ml[number] < AIRWAY_ML[0]:
                break
            box = boxes[number - 1]
            part = labels[box] == number
            if sizes_ml[number] <= AIRWAY_ML[1] and _is_tube(part, box, midline, spacing_zyx):
                return np.asarray(labels == number)
    return np.zeros_like(body)


def _followed(lumen: Mask, air: Mask, spacing_zyx: NDArray[np.float64]) -> Mask:
    """Complete the lumen within slices and follow it downwards while tissue surrounds it.

    Streaks and partial volumes interrupt the lumen at any threshold. A small area of air in a slice
    that overlaps the lumen, or the airway in the slice above, belongs to the airway as a whole.
    Branches inside the lungs, thinner than about 8 mm, are not included.
    """
    labels, count = ndimage.label(air, structure=IN_SLICE)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    small = sizes <= AIRWAY_AREA_MM2 / (spacing_zyx[1] * spacing_zyx[2])
    small[0] = False
    airway = lumen.copy()
    for k in range(len(air) - 1, -1, -1):
        above = airway[k] if k + 1 == len(air) else airway[k] | airway[k + 1]
        met = np.zeros(count + 1, bool)
        met[labels[k][above]] = True
        airway[k] |= (met & small)[labels[k]]
    return np.asarray(ndimage.binary_opening(airway, structure=IN_SLICE, iterations=2))


def _is_tube(
    part: Mask, box: tuple[slice, ...], midline: float, spacing_zyx: NDArray[np.float64]
) -> bool:
    """Whether the upper end of a component is a single tube near the body's midline."""
    if part.shape[0] * spacing_zyx[0] < AIRWAY_LENGTH_MM:
        return False
    upper = part[-max(1, round(15 / spacing_zyx[0])) :]
    areas_mm2 = upper.sum(axis=(1, 2)) * spacing_zyx[1] * spacing_zyx[2]
    column = float(np.nonzero(upper)[2].mean()) + box[2].start
    off_mm = abs(column - midline) * spacing_zyx[2]
    if areas_mm2.max() > AIRWAY_AREA_MM2 or off_mm > AIRWAY_OFF_MIDLINE_MM:
        return False
    boxes = [np.ptp(np.argwhere(patch), axis=0) + 1 for patch in upper]
    shares = [patch.sum() / sides.prod() for patch, sides in zip(upper, boxes, strict=True)]
    return bool(np.median(shares) >= AIRWAY_SHARE_OF_BOX)


def _lungs(work: NDArray[np.float32], air: Mask, spacing_zyx: NDArray[np.float64]) -> Mask:
    """Keep the components of air that can be lungs: large enough and not pure gas."""
    labels, count = ndimage.label(air)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    kept: list[int] = []
    boxes = ndimage.find_objects(labels)
    for number in np.argsort(-sizes)[:count]:
        if kept and sizes[number] < SMALLEST_SHARE * sizes[kept[0]]:
            break
        box = boxes[number - 1]
        part = labels[box] == number
        area_mm2 = part.sum(axis=(1, 2)).max() * spacing_zyx[1] * spacing_zyx[2]
        if area_mm2 >= SMALLEST_AREA_MM2 and np.median(work[box][part]) > GAS_HU:
            kept.append(int(number))
    return np.isin(labels, kept) if kept else np.zeros_like(air)
