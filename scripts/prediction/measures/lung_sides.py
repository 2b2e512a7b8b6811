"""Place of a point in the lungs: left or right, and which third, by the lung field and LPS axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scripts.transforms.mask_closing import Mask, pool, steps_for
from scripts.volumes.geometry import Floats, index_to_world

LEFT, RIGHT, UNKNOWN = "left", "right", "unknown"
THIRDS = ("lower", "middle", "upper")
GRID_MM = 4.0  # spacing of the grid on which the lungs are separated
SMALLEST_SHARE = 0.1  # of the lung field: smaller components are not a lung
DEEPEST_EROSIONS = 5  # in voxels of the grid, to separate lungs that touch in front or behind
FARTHEST_MM = 15.0  # from the lung field: a point farther away is in neither lung
CLEARLY_APART_MM = 30.0  # least distance of the centroids of the two lungs along x
SMALLEST_SECTION = 0.05  # of a lung's largest axial section: less is a tip, or the windpipe


class LungSides:
    """The left and the right lung of one patient.

    The lungs are the large connected components of the field. If both form one component because
    the field closes the gap between them, it is eroded until they separate. Of two lungs the one
    further along x (LPS: to the left) is the left one. With a single component, such as when one
    lung is missing or outside the scan, the side is unknown.

    Args:
        lungs: (slice, row, column), axial, as :class:`.axial_view.AxialView` turns it.
        affine: (4, 4), (column, row, slice) to LPS mm.
    """

    def __init__(self, lungs: Mask, affine: Floats) -> None:
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        steps = steps_for(lungs, spacing.tolist(), GRID_MM)
        coarse = pool(lungs, steps) >= 0.5
        parts = _two_lungs(coarse)
        self._lungs: dict[str, Floats] = {}
        self._heights: dict[str, tuple[float, float] | None] = {}
        if parts is None:
            return
        lungs_found = [(_centres_of(part, steps, affine), part) for part in parts]
        lungs_found.sort(key=lambda lung: float(lung[0][:, 0].mean()))
        right, left = (points for points, _ in lungs_found)
        if left[:, 0].mean() - right[:, 0].mean() >= CLEARLY_APART_MM:
            self._lungs = {RIGHT: right, LEFT: left}
            self._heights = {
                side: _height_of(part, points[:, 2])
                for side, (points, part) in zip((RIGHT, LEFT), lungs_found, strict=True)
            }

    def side_of(self, point_lps_mm: Floats) -> str:
        """Return "left" or "right": the nearer lung; "unknown" if it is not clear."""
        if not self._lungs:
            return UNKNOWN
        distances = {
            side: float(np.linalg.norm(points - point_lps_mm, axis=1).min())
            for side, points in self._lungs.items()
        }
        nearer = min(distances, key=lambda side: distances[side])
        clear = distances[nearer] <= FARTHEST_MM and distances[LEFT] != distances[RIGHT]
        return nearer if clear else UNKNOWN

    def third_of(self, point_lps_mm: Floats) -> str:
        """Return "upper", "middle" or "lower": thirds of the height of the lung it lies in.

        These are zones, not lobes. "unknown" if the side is, or if the scan cuts that lung off
        above or below.
        """
        height = self._heights.get(self.side_of(point_lps_mm))
        if height is None:
            return UNKNOWN
        low, high = height
        share = (float(point_lps_mm[2]) - low) / (high - low)
        return THIRDS[min(2, max(0, int(np.floor(3 * share))))]


def _two_lungs(lungs: Mask) -> tuple[Mask, Mask] | None:
    """Return the two lungs of a coarse field; None if there are not two."""
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


def _height_of(part: Mask, heights_mm: Floats) -> tuple[float, float] | None:
    """Return the lowest and highest z of a lung in mm; None if the scan cuts it off.

    Args:
        part: (slice, row, column), the lung on the coarse grid.
        heights_mm: z of its voxels, in the order of ``np.argwhere``.
    """
    sections = part.sum(axis=(1, 2))
    whole = sections >= SMALLEST_SECTION * sections.max()
    if whole[0] or whole[-1]:
        return None
    inside = heights_mm[whole[np.argwhere(part)[:, 0]]]
    return float(inside.min()), float(inside.max())


def _centres_of(part: Mask, steps: NDArray[np.int64], affine: Floats) -> Floats:
    """Return (N, 3) LPS mm: centres of the voxels of a coarse component."""
    fine = np.argwhere(part) * steps + (steps - 1) / 2
    return index_to_world(fine[:, ::-1], affine)
