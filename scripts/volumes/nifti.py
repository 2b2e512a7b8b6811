"""Conversion of arrays to NIfTI with qform and sform equal, so that all readers agree."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from scripts.volumes.geometry import lps_to_ras


def nifti_of(array: NDArray[Any], affine_lps: NDArray[np.float64]) -> nibabel.Nifti1Image:
    """Convert an array to a NIfTI image.

    nibabel writes it, because ITK's NIfTI writer does not report a full disk.

    Args:
        array: (Z, Y, X), int16 HU or uint8 labels.
        affine_lps: (4, 4), index (i, j, k) to LPS mm.
    """
    nifti = nibabel.Nifti1Image(array.transpose(2, 1, 0), lps_to_ras(affine_lps))
    nifti.header.set_xyzt_units("mm")
    nifti.set_qform(nifti.affine, code="scanner")
    nifti.set_sform(nifti.affine, code="scanner")
    return nifti
