"""A CT volume: Hounsfield units, and the affine from voxel index to patient coordinates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from scripts.volumes.geometry import affine_of, set_affine, spacing_of, to_lps


@dataclass(frozen=True)
class Volume:
    """HU with their affine, as a reader returns them.

    Args:
        hu: (Z, Y, X), int16 if the values are whole numbers in range.
        affine_lps: (4, 4), 0-based index (i, j, k) = (x, y, z) to LPS mm.
        notes: assumptions made in reading, one line each.
    """

    hu: NDArray[np.int16]
    affine_lps: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    @classmethod
    def from_image(cls, image: sitk.Image) -> Volume:
        """Convert a SimpleITK volume, in its own orientation."""
        return cls(sitk.GetArrayFromImage(image), affine_of(image))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along x, y, z in mm."""
        x, y, z = spacing_of(self.affine_lps).tolist()
        return x, y, z

    @property
    def size(self) -> tuple[int, int, int]:
        """Voxels along x, y, z: the reverse of the array's shape."""
        z, y, x = self.hu.shape
        return x, y, z

    def to_image(self) -> sitk.Image:
        """Convert to a SimpleITK image.

        Raises:
            ValueError: see :func:`~scripts.volumes.geometry.check_affine`.
        """
        return set_affine(sitk.GetImageFromArray(self.hu), self.affine_lps)

    def in_lps(self) -> Volume:
        """Permute and flip the axes to LPS index order; nothing is interpolated."""
        return Volume.from_image(to_lps(self.to_image()))


def turned(
    array: NDArray[Any], affine_lps: ArrayLike, like_affine_lps: ArrayLike | None = None
) -> NDArray[Any]:
    """Permute and flip an array to LPS index order, or to that of another affine.

    Args:
        array: (Z, Y, X).
        affine_lps: (4, 4), its index (i, j, k) to LPS mm.
        like_affine_lps: (4, 4), the affine with the wanted index order; None for LPS.
    """
    image = set_affine(sitk.GetImageFromArray(array), affine_lps)
    if like_affine_lps is None:
        return np.asarray(sitk.GetArrayFromImage(to_lps(image)))
    wanted = set_affine(sitk.Image(1, 1, 1, sitk.sitkUInt8), like_affine_lps)
    order = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(wanted.GetDirection())
    return np.asarray(sitk.GetArrayFromImage(sitk.DICOMOrient(image, order)))


def hash_of_voxels(hu: NDArray[np.int16]) -> str:
    """Return a hash by which a scan is known in any file, under any name.

    Args:
        hu: (Z, Y, X) in LPS order.
    """
    digest = hashlib.sha256(repr(hu.shape).encode())
    digest.update(np.ascontiguousarray(hu).data)
    return digest.hexdigest()
