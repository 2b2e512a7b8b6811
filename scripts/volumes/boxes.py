"""Bounding boxes of masks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Box = tuple[slice, ...]


def box_of(mask: npt.NDArray[np.bool_]) -> Box:
    """Return the bounding box of a mask, as one slice per axis.

    Raises:
        ValueError: when the mask is empty.

    Example:
        >>> import numpy as np
        >>> box_of(np.array([[0, 0, 0], [0, 1, 1]], bool))
        (slice(1, 2, None), slice(1, 3, None))
    """
    if not mask.any():
        raise ValueError(f"mask: must not be empty, got {mask.shape} without a True voxel")
    box: list[slice] = []
    for axis in range(mask.ndim):  # along each axis only in what those before leave
        others = tuple(other for other in range(mask.ndim) if other != axis)
        hit = np.flatnonzero(mask[tuple(box)].any(axis=others))
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)


def grow_box(
    box: Box, *, margin_mm: float, spacing_mm: Sequence[float], shape: Sequence[int]
) -> Box:
    """Grow a box on every side by the voxels whose centres are within a margin, inside an array.

    Args:
        box: one slice per axis.
        margin_mm: margin in mm, at least 0.
        spacing_mm: distance between voxel centres along each axis.
        shape: shape of the array that contains the box.

    Example:
        >>> grow_box((slice(4, 6),), margin_mm=5, spacing_mm=(2.0,), shape=(7,))
        (slice(2, 7, None),)
    """
    return tuple(
        slice(max(0, part.start - by), min(size, part.stop + by))
        for part, size, by in zip(
            box, shape, (math.floor(margin_mm / mm + 1e-9) for mm in spacing_mm), strict=True
        )
    )
