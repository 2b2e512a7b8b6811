"""One CT in several files: other axis orders, other formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tests.scripts.datasets.ircadb.dicom_images import dicom_bytes


def write_dicom(image: sitk.Image, folder: Path) -> Path:
    """Write an int16 HU volume as a CT series, its files named against their positions."""
    folder.mkdir(parents=True)
    across, down, up = np.array(image.GetDirection()).reshape(3, 3).T
    spacing_mm, pixels = image.GetSpacing(), sitk.GetArrayFromImage(image)
    for k, plane in enumerate(pixels):
        position = np.array(image.GetOrigin()) + k * spacing_mm[2] * up
        data = dicom_bytes(
            plane,
            SOPInstanceUID=f"1.2.3.{k + 1}",
            ImageOrientationPatient=[*across, *down],
            ImagePositionPatient=[round(float(v), 5) for v in position],
            PixelSpacing=[spacing_mm[1], spacing_mm[0]],
            SliceThickness=spacing_mm[2],
        )
        (folder / f"{900 - k}.dcm").write_bytes(data)
    return folder


def write_forms(image: sitk.Image, folder: Path, plain: str, series: str) -> dict[str, Path]:
    """Write a CT as MetaImage, as NIfTI of another axis order and as DICOM.

    Args:
        image: int16 HU.
        folder: to write to.
        plain: name of the MetaImage file.
        series: folder of the DICOM series.

    Returns:
        Name -> what ``inferring`` takes.
    """
    files = {plain: folder / f"{plain}.mhd", "turned": folder / "turned.nii.gz"}
    sitk.WriteImage(image, files[plain])
    sitk.WriteImage(sitk.DICOMOrient(image, "SAR"), files["turned"])
    return {**files, series: write_dicom(image, folder / series)}


def assert_same_grid(mask: sitk.Image, image: sitk.Image) -> None:
    """A mask of bytes with size, spacing, origin and direction of its CT."""
    assert mask.GetSize() == image.GetSize()
    assert mask.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_allclose(mask.GetSpacing(), image.GetSpacing(), rtol=1e-5)
    np.testing.assert_allclose(mask.GetOrigin(), image.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(mask.GetDirection(), image.GetDirection(), atol=1e-6)


def is_flipped(path: Path) -> bool:
    """Say whether a volume's first axis runs to the right."""
    return bool(sitk.ReadImage(str(path)).GetDirection()[0] < 0)


def in_lps(image: sitk.Image) -> np.ndarray:
    """Voxels (Z, Y, X) with axes that run left, back and head, whatever the file's."""
    return sitk.GetArrayFromImage(sitk.DICOMOrient(image, "LPS"))
