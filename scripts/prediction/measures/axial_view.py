"""Axial slices in radiological orientation, for any voxel order of the source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scripts.volumes.geometry import Floats, check_affine, spacing_of

X, Y, Z = 0, 1, 2  # LPS: towards the left, the back, the head


@dataclass(frozen=True)
class AxialView:
    """Permutation and flips that turn a volume for display; see :func:`axial_view`.

    Attributes:
        axes: the array's axes that become slice, row and column.
        flips: whether rows and columns are reversed. Slices never are, so that they keep the
            numbers of the source.
        affine: (4, 4), turned index (column, row, slice) to LPS mm.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool]
    affine: Floats

    def turn(self, volume: NDArray[Any]) -> NDArray[Any]:
        """Return (slice, row, column): rows run to posterior, columns to the patient's left.

        A view of the volume, not a copy. Drawn with row 0 on top, the patient's right is on the
        left of the picture.
        """
        steps = [slice(None), *(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return volume.transpose(self.axes)[tuple(steps)]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of voxel centres along slice, row and column."""
        column, row, across = spacing_of(self.affine).tolist()
        return across, row, column

    @property
    def rises_to_head(self) -> bool:
        """Whether slice numbers grow towards the head."""
        return bool(self.affine[Z, 2] > 0)


def axial_view(affine: ArrayLike, shape: tuple[int, ...]) -> AxialView:
    """Return how to turn a volume so that its axial slices are in radiological orientation.

    Nothing is interpolated: obliqueness of up to 15 degrees remains.

    Args:
        affine: (4, 4), index (i, j, k) along the array's axes 2, 1, 0 to LPS mm.
        shape: of the array.

    Raises:
        ValueError: for geometry that :func:`scripts.volumes.geometry.check_affine` refuses.

    Example:
        >>> view = axial_view(np.diag([-1.0, 1.0, 2.0, 1.0]), (3, 4, 5))
        >>> view.axes, view.flips, view.spacing_mm
        ((0, 1, 2), (False, True), (2.0, 1.0, 1.0))
    """
    matrix = check_affine(affine)
    nearest = np.abs(matrix[:3, :3] / spacing_of(matrix)).argmax(axis=0).tolist()
    indices = [nearest.index(body) for body in (X, Y, Z)]  # affine columns along left, back, head
    flips = [matrix[body, indices[body]] < 0 for body in (X, Y)]
    turned = np.eye(4)
    turned[:3, :3] = matrix[:3, indices]
    turned[:3, 3] = matrix[:3, 3]
    for body, flip in zip((X, Y), flips, strict=True):
        if flip:
            last = shape[2 - indices[body]] - 1
            turned[:3, 3] += last * turned[:3, body]
            turned[:3, body] *= -1
    axes = (2 - indices[Z], 2 - indices[Y], 2 - indices[X])
    return AxialView(axes, (bool(flips[Y]), bool(flips[X])), turned + 0.0)
