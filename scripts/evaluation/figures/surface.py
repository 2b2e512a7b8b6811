"""Distances between the surfaces of two masks, in mm."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.utils import get_edge_surface_distance

from scripts.evaluation.figures.confusion import Mask
from scripts.volumes.boxes import box_of


@dataclass(frozen=True)
class SurfaceDistance:
    """Average symmetric surface distance and 95 % Hausdorff distance in mm; NaN if undefined.

    ``assd_mm`` is the mean over the surface voxels of both masks of the distance to the other
    surface; ``hd95_mm`` the larger of the two directed 95th percentiles. Both are undefined if one
    of the masks is empty, as for a missed nodule. ``kind`` is ``"3d"``, ``"in_plane"`` (a single
    slice) or ``"undefined"``.
    """

    assd_mm: float = math.nan
    hd95_mm: float = math.nan
    kind: str = "undefined"


def surface_distance(
    prediction: Mask, annotation: Mask, *, spacing_mm: Sequence[float]
) -> SurfaceDistance:
    """Compute the surface distances of two masks (Y, X) or (Z, Y, X) of one shape, with MONAI.

    Args:
        prediction: mask of the network.
        annotation: mask of the reader.
        spacing_mm: distance between voxel centres along each axis of the arrays.

    Raises:
        ValueError: when the shapes differ, or there is not one spacing per axis, each above 0.

    Example:
        >>> import numpy as np
        >>> one, other = np.zeros((2, 9, 9), bool)
        >>> one[4, 2], other[4, 5] = True, True
        >>> surface_distance(one, other, spacing_mm=(2.0, 0.5)).hd95_mm
        1.5
    """
    if prediction.shape != annotation.shape:
        raise ValueError(
            f"prediction, annotation: must have one shape, got {prediction.shape} "
            f"and {annotation.shape}"
        )
    if len(spacing_mm) != prediction.ndim or min(spacing_mm) <= 0:
        raise ValueError(
            f"spacing_mm: must be {prediction.ndim} numbers above 0 for masks of shape "
            f"{prediction.shape}, got {tuple(spacing_mm)}"
        )
    if not prediction.any() or not annotation.any():
        return SurfaceDistance()
    box = box_of(prediction | annotation)
    with warnings.catch_warnings():
        # MONAI 1.6.1 calls its own function with a deprecated argument
        warnings.filterwarnings(
            "ignore", message=".*always_return_as_numpy", category=FutureWarning
        )
        _, distances, _ = get_edge_surface_distance(
            torch.from_numpy(prediction[box]),
            torch.from_numpy(annotation[box]),
            spacing=list(spacing_mm),
            symmetric=True,
        )
    forth, back = (distance.numpy().astype(np.float64) for distance in distances)
    hd95 = max(np.percentile(forth, 95), np.percentile(back, 95))
    kind = "3d" if prediction.ndim == 3 else "in_plane"
    return SurfaceDistance(float(np.concatenate([forth, back]).mean()), float(hd95), kind)
