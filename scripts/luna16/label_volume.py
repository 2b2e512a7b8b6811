"""An instance map as a NIfTI file on the grid of the scan that it belongs to."""

from __future__ import annotations

import nibabel
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from scripts.geometry import affine_of, lps_to_ras, to_lps


def label_in_source_grid(instances: NDArray[np.uint8], image: sitk.Image) -> nibabel.Nifti1Image:
    """Return an LPS instance map as NIfTI on the grid of the scan as it lies on disk.

    Written by nibabel, because ITK's NIfTI writer does not tell of a full disk.
    """
    label = sitk.GetImageFromArray(instances)
    label.CopyInformation(to_lps(image))
    orient = sitk.DICOMOrientImageFilter
    code = orient.GetOrientationFromDirectionCosines(image.GetDirection())
    if code != "LPS":
        label = sitk.DICOMOrient(label, code)
    array = sitk.GetArrayFromImage(label).transpose(2, 1, 0)
    nifti = nibabel.Nifti1Image(array, lps_to_ras(affine_of(image)))
    nifti.header.set_xyzt_units("mm")
    nifti.set_qform(nifti.affine, code="scanner")
    nifti.set_sform(nifti.affine, code="scanner")
    return nifti
