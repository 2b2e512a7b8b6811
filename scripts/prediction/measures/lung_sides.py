"""Left or right lung, from the lung field and the LPS axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scripts.transforms.mask_closing import Mask, pool, steps_for
from scripts.volumes.geometry import Floats, index_to_world

LEFT, RIGHT, UNKNOWN = "left", "right", "unknown"
GRID_MM = 4.0  # on which the lungs are told apart
SMALLEST_SHARE = 0.1  # of the lung field: smaller components are no lung of their own
DEEPEST_EROSIONS = 5  # voxels of the grid taken off, to part lungs that touch in front or behind
FARTHEST_MM = 15.0  # from the lung field: beyond, something lies in no lung
CLEARLY_APART_MM = 30.0  # between the middles of a right lung and a left one, from side to side


class LungSides:
    """The left and the right lung of one patient.

    The lungs are the large connected parts of the field; where both are one part because the
    field closes the gap between them, it is eroded until they part. Of two lungs the one further
    along the patient's x (LPS: to the left) is the left one. A single part, such as one lung that
    was cut out of the scan or one that is missing, tells no side.

    Args:
        lungs: (slice, row, column), turned by :class:`scripts.prediction.axial_view.AxialView`.
        affine: (4, 4), (column, row, slice) to LPS mm.
    """

    def __init__(self, lungs: Mask, affine: Floats) -> None:
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        steps = steps_for(lungs, spacing.tolist(), GRID_MM)
        coarse = pool(lungs, steps) >= 0.5
        parts = _two_lungs(coarse)
        self._places: dict[str, Floats] = {}
        if parts is None:
            return
        places = [_places_of(part, steps, affine) for part in parts]
        places.sort(key=lambda lung: float(lung[:, 0].mean()))
        if places[1][:, 0].mean() - places[0][:, 0].mean() >= CLEARLY_APART_MM:
            self._places = dict(zip((RIGHT, LEFT), places, strict=True))

    def side_of(self, point_lps_mm: Floats) -> str:
        """Return "left" or "right": the nearer lung; "unknown" where it cannot be told."""
        if not self._places:
            return UNKNOWN
        far = {
            side: float(np.linalg.norm(places - point_lps_mm, axis=1).min())
            for side, places in self._places.items()
        }
        nearer = min(far, key=lambda side: far[side])
        return nearer if far[nearer] <= FARTHEST_MM and far[LEFT] != far[RIGHT] else UNKNOWN


def _two_lungs(lungs: Mask) -> tuple[Mask, Mask] | None:
    """Return the two lungs of a coarse field, None where there are not two."""
    for depth in range(DEEPEST_EROSIONS + 1):
        # outside the volume counts as lung: a lung cut off by its end is not thinned there
        core = ndimage.binary_erosion(lungs, iterations=depth, border_value=1) if depth else lungs
        labels, count = ndimage.label(core)
        sizes = np.bincount(labels.ravel(), minlength=count + 1)
        sizes[0] = 0
        largest = np.argsort(-sizes, kind="stable")[:2]
        if count > 1 and sizes[largest[1]] >= SMALLEST_SHARE * sizes.sum():
            return _grown_back(lungs, labels == largest[0], labels == largest[1])
    return None


def _grown_back(lungs: Mask, one: Mask, other: Mask) -> tuple[Mask, Mask]:
    """Give each voxel of the field to the nearer of two cores."""
    to_one = ndimage.distance_transform_edt(~one)
    to_other = ndimage.distance_transform_edt(~other)
    return lungs & (to_one < to_other), lungs & (to_other < to_one)


def _places_of(part: Mask, steps: NDArray[np.int64], affine: Floats) -> Floats:
    """Return (N, 3) LPS mm: the middles of a coarse part's voxels."""
    fine = np.argwhere(part) * steps + (steps - 1) / 2
    return index_to_world(fine[:, ::-1], affine)
