"""An instance map as a NIfTI file on the grid of the scan that it belongs to."""

from __future__ import annotations

import nibabel
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from scripts.volumes.geometry import affine_of, to_lps
from scripts.volumes.nifti import nifti_of


def label_in_source_grid(instances: NDArray[np.uint8], image: sitk.Image) -> nibabel.Nifti1Image:
    """Return an LPS instance map as NIfTI on the grid of the scan as it lies on disk."""
    label = sitk.GetImageFromArray(instances)
    label.CopyInformation(to_lps(image))
    orient = sitk.DICOMOrientImageFilter
    code = orient.GetOrientationFromDirectionCosines(image.GetDirection())
    if code != "LPS":
        label = sitk.DICOMOrient(label, code)
    return nifti_of(sitk.GetArrayFromImage(label), affine_of(image))
