"""Closing and filling masks in millimetres, on coarse grids for speed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Numbers = NDArray[Any]
Steps = NDArray[np.int64]

CLOSING_GRID_MM = 3.2  # grid on which masks are closed
CLOSING_MM = 12.0  # radius of the closing: spans the mouth of a 24 mm notch in the pleura
LARGEST_HOLE_MM2 = 2500.0  # larger holes in a slice are heart and mediastinum, not nodules
IN_SLICE = ndimage.generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]


def steps_for(volume: Numbers, spacing_mm: Sequence[float], grid_mm: float) -> Steps:
    """Return (3,): numbers of voxels along z, y, x in a block of about ``grid_mm``.

    Raises:
        ValueError: for an empty volume or one that is not 3D, or spacing that is not above 0.
    """
    if volume.ndim != 3 or min(volume.shape) < 1:
        raise ValueError(f"volume: must be (Z, Y, X) and not empty, got shape {volume.shape}")
    spacing = np.array(spacing_mm, float)
    if spacing.shape != (3,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise ValueError(f"spacing_mm: must be three numbers above 0, got {list(spacing_mm)}")
    return np.asarray(np.maximum(1, np.rint(grid_mm / spacing[::-1])), np.int64)


def pool(volume: Numbers, steps: Steps) -> NDArray[np.float32]:
    """Average blocks of ``steps`` voxels; HU are clipped, to exclude padding values and metal."""
    short = -np.array(volume.shape) % steps
    if short.any():
        volume = np.pad(volume, [(0, int(n)) for n in short], mode="edge")
    total: NDArray[np.float32] | float = 0.0
    for k, j, i in np.ndindex(*steps):  # each part in the order of the volume in memory
        part = volume[k :: steps[0], j :: steps[1], i :: steps[2]].astype(np.float32)
        total = np.clip(part, -1024, 400, out=part) + total
    return np.ascontiguousarray(total / np.float32(steps.prod()), np.float32)


def expand(mask: Mask, steps: Steps, shape: tuple[int, ...]) -> Mask:
    """Repeat voxels back to the full grid."""
    for axis, step in enumerate(steps):
        if step > 1:
            mask = mask.repeat(step, axis=axis)
    return np.ascontiguousarray(mask[tuple(slice(n) for n in shape)])


def fill(mask: Mask, largest: float = np.inf) -> Mask:
    """Fill the holes of a mask slice by slice, up to ``largest`` voxels per hole."""
    labels, count = ndimage.label(~mask, structure=IN_SLICE)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    hole = sizes <= largest
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        hole[np.unique(edge)] = False  # open to the outside
    hole[0] = False
    return np.asarray(mask | hole[labels])


def rounded(lungs: Mask, spacing_zyx: NDArray[np.float64]) -> Mask:
    """Close notches of a lung mask, fill its holes and add one voxel for the pleura.

    The result contains the mask. A nodule on the pleura is as dense as the chest wall behind it,
    and readers include its rim, which the threshold assigns to the wall: without the added voxel
    it would be cut off.
    """
    box = ndimage.find_objects(lungs.astype(np.uint8))[0]
    reach = np.ceil(CLOSING_MM / spacing_zyx).astype(int) + 1  # in voxels
    window = tuple(
        slice(max(0, part.start - r), part.stop + r) for part, r in zip(box, reach, strict=True)
    )
    near = lungs[window]
    steps = steps_for(near, spacing_zyx[::-1].tolist(), CLOSING_GRID_MM)
    coarse = pool(near, steps) >= 0.5
    beyond = int(reach[0])  # a lung cut off by the volume's end continues there
    longer = np.pad(coarse, [(beyond, beyond), (0, 0), (0, 0)], mode="edge")
    closed = close(longer, spacing_zyx * steps)[beyond:-beyond]
    result = lungs.copy()
    result[window] |= expand(closed, steps, near.shape)
    filled = fill(result, LARGEST_HOLE_MM2 / (spacing_zyx[1] * spacing_zyx[2]))
    return widen(filled)


def widen(mask: Mask) -> Mask:
    """Add the neighbours within the slice, along y and x, of every voxel of a mask (Z, Y, X).

    Example:
        >>> widen(np.array([[[1, 0, 0, 0], [0, 0, 0, 0]]], dtype=bool)).astype(int).tolist()
        [[[1, 1, 0, 0], [1, 0, 0, 0]]]
    """
    wider = mask.copy()
    wider[:, 1:] |= mask[:, :-1]
    wider[:, :-1] |= mask[:, 1:]
    wider[:, :, 1:] |= mask[:, :, :-1]
    wider[:, :, :-1] |= mask[:, :, 1:]
    return wider


def close(mask: Mask, spacing_zyx: NDArray[np.float64]) -> Mask:
    """Close a mask with a ball of radius :data:`CLOSING_MM`."""
    if not mask.any():
        return mask
    dilated = ndimage.distance_transform_edt(~mask, sampling=spacing_zyx) <= CLOSING_MM
    if dilated.all():
        return np.ones_like(mask)
    return np.asarray(ndimage.distance_transform_edt(dilated, sampling=spacing_zyx) > CLOSING_MM)
