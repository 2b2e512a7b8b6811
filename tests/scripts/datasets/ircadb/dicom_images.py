"""A tiny patient as DICOM files in memory: 6 slices of 8 x 10, 0.8 x 0.7 x 2 mm."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from tests.scripts.datasets.ircadb.zips import zip_bytes

SHAPE = (6, 8, 10)
STEP_MM = 2.0
ORIGIN = (-30.0, -20.0, 100.0)
SERIES = "1.2.3.4"


def hu_volume(seed: int = 0) -> np.ndarray:
    """Values by which every voxel can be told from every other slice's; air in the first row."""
    hu = np.random.default_rng(seed).integers(-200, 400, SHAPE).astype(np.int16)
    hu[:, 0] = -1000
    return hu


def dicom_bytes(pixels: np.ndarray, **elements: Any) -> bytes:
    """One DICOM file; an element given as None is left out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    eight = pixels.dtype == np.uint8
    standard = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": "1.2.3",
        "SeriesInstanceUID": SERIES,
        "Modality": "CT",
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.8, 0.7],
        "SliceThickness": STEP_MM,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 8 if eight else 16,
        "BitsStored": 8 if eight else 16,
        "HighBit": 7 if eight else 15,
        "PixelRepresentation": 0 if pixels.dtype.kind == "u" else 1,
        "RescaleIntercept": 0,
        "RescaleSlope": 1,
    }
    for keyword, value in {**standard, **elements}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = pixels.tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def images(
    volume: np.ndarray, *, descending: bool = False, placed: bool = True, **elements: Any
) -> dict[str, bytes]:
    """image_0, image_1 ...: slices by rising z, or by falling z as some patients are numbered."""
    files = {}
    for k, pixels in enumerate(volume):
        number = len(volume) - 1 - k if descending else k
        where: dict[str, Any] = {"ImageOrientationPatient": None}
        if placed:
            where = {"ImagePositionPatient": [*ORIGIN[:2], ORIGIN[2] + STEP_MM * k]}
        files[f"image_{number}"] = dicom_bytes(pixels, **{**where, **elements})
    return files


def block(*where: slice) -> np.ndarray:
    """A mask of 0 and 255 with a block of foreground."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[where] = 255
    return mask


def masks() -> dict[str, np.ndarray]:
    """A liver with a tumour, bone, both kidneys, skin."""
    every = slice(None)
    return {
        "liver": block(slice(1, 5), slice(2, 6), slice(1, 5)),
        "livertumor01": block(slice(2, 4), slice(3, 5), slice(2, 4)),
        "bone": block(every, slice(6, 8), slice(4, 6)),
        "leftkidney": block(slice(0, 3), slice(4, 7), slice(8, 10)),
        "right_Kidney": block(slice(0, 3), slice(6, 8), slice(0, 2)),
        "skin": block(every, slice(1, 8), every),
    }


def patient_files(
    number: int,
    *,
    ct: Mapping[str, bytes] | None = None,
    structures: Mapping[str, np.ndarray] | None = None,
    **mask_elements: Any,
) -> dict[str, bytes]:
    """A patient's folder with its zips; ``mask_elements`` go to :func:`images`."""
    ct = images(hu_volume(number)) if ct is None else ct
    drawn = masks() if structures is None else structures
    outlined = {
        f"MASKS_DICOM/{name}/{image}": content
        for name, mask in drawn.items()
        for image, content in images(mask, **mask_elements).items()
    }
    return {
        f"3Dircadb1.{number}/PATIENT_DICOM.zip": zip_bytes(
            {f"PATIENT_DICOM/{name}": content for name, content in ct.items()}
        ),
        f"3Dircadb1.{number}/MASKS_DICOM.zip": zip_bytes(outlined),
    }


def write_cohort(root: Path, count: int, **arguments: Any) -> Path:
    """Patients 1 to count on the disk."""
    for number in range(1, count + 1):
        for name, content in patient_files(number, **arguments).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return root
