"""DICOM files of CT and mask slices, and zips of them, with reproducible bytes."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

NAMESPACE = uuid.UUID("b2f5b1c2-5a1e-4f0e-8a70-6c3f0d1f4e55")
IMPLEMENTATION = UID(f"2.25.{NAMESPACE.int}")
DATE, TIME = "20000101", "120000"
ZIP_DATE = (2000, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class SliceGeometry:
    """Position of the slices of a volume: axis-aligned, rows to the left, columns to the back.

    Args:
        offset_mm: LPS position (x, y, z) of the first voxel of the lowest slice.
        spacing_mm: voxel size (x, y, z).
        descending: whether ``image_0`` is the highest slice.
    """

    offset_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]
    descending: bool

    def position(self, row: int) -> list[float]:
        """Return ImagePositionPatient of a slice, counted from the lowest."""
        x, y, z = self.offset_mm
        return [x, y, round(z + row * self.spacing_mm[2], 4)]

    def number(self, row: int, count: int) -> int:
        """Return K of ``image_K`` for a slice, counted from the lowest."""
        return count - 1 - row if self.descending else row


def uid(name: str) -> UID:
    """Return a valid DICOM UID under 2.25, derived from a name.

    >>> uid("a") == uid("a") != uid("b")
    True
    """
    return UID(f"2.25.{uuid.uuid5(NAMESPACE, name).int}")


def series_dataset(patient: str, series: str, geometry: SliceGeometry) -> Dataset:
    """Return the elements that all slices of a series share.

    Args:
        patient: id of the fictitious patient.
        series: name of the series within the patient, ``ct`` or a structure's name.
        geometry: position and size of the voxels.
    """
    x, y, z = (f"{step:.9g}" for step in geometry.spacing_mm)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = IMPLEMENTATION
    kind = ["ORIGINAL", "PRIMARY", "AXIAL"] if series == "ct" else ["DERIVED", "SECONDARY", "AXIAL"]
    elements = {
        "ImageType": kind, "SOPClassUID": CTImageStorage, "Modality": "CT",
        "StudyDate": DATE, "SeriesDate": DATE, "StudyTime": TIME,
        "AccessionNumber": "", "ReferringPhysicianName": "", "Manufacturer": "SYNTHETIC PHANTOM",
        "SeriesDescription": series, "PatientName": f"{patient}^SYNTHETIC",
        "PatientID": patient, "PatientBirthDate": "", "PatientSex": "O",
        "PatientIdentityRemoved": "YES", "DeidentificationMethod": "never a person: drawn",
        "KVP": "120", "PatientPosition": "HFS", "SliceThickness": z, "SpacingBetweenSlices": z,
        "StudyInstanceUID": uid(f"{patient}/study"),
        "SeriesInstanceUID": uid(f"{patient}/{series}"),
        "FrameOfReferenceUID": uid(f"{patient}/frame"), "PositionReferenceIndicator": "",
        "StudyID": "1", "SeriesNumber": "1", "AcquisitionNumber": "1",
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [y, x],
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "RescaleSlope": "1", "RescaleType": "HU" if series == "ct" else "US",
    }  # fmt: skip
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def slice_files(
    volume: NDArray[np.generic],
    patient: str,
    series: str,
    geometry: SliceGeometry,
    *,
    intercept: int = 0,
) -> Iterator[tuple[str, bytes]]:
    """Yield names ``image_K`` and contents of the DICOM files of a volume, in the order of K.

    Args:
        volume: (Z, Y, X) from the lowest slice: 8-bit masks, or HU in 16 bits.
        patient: as for :func:`series_dataset`; globally unique, the UIDs are derived from it.
        series: as for :func:`series_dataset`.
        geometry: position and size of the voxels.
        intercept: RescaleIntercept; unless 0, values are stored as unsigned.
    """
    stored = volume.astype("<u2" if intercept else volume.dtype.newbyteorder("<"), copy=False)
    if intercept:
        stored = (volume.astype(np.int32) - intercept).astype("<u2")
    dataset = series_dataset(patient, series, geometry)
    bits = stored.dtype.itemsize * 8
    dataset.RescaleIntercept = str(intercept)
    dataset.Rows, dataset.Columns = stored.shape[1:]
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, int(stored.dtype.kind == "i")
    rows = sorted(range(len(stored)), key=lambda row: geometry.number(row, len(stored)))
    for number, row in enumerate(rows):
        instance = uid(f"{patient}/{series}/{number}")
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = instance
        dataset.InstanceNumber = str(number)
        dataset.ImagePositionPatient = geometry.position(row)
        dataset.PixelData = padded(stored[row].tobytes())
        dataset["PixelData"].VR = "OW" if bits == 16 else "OB"
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        yield f"image_{number}", buffer.getvalue()


def padded(content: bytes) -> bytes:
    """Pad to an even number of bytes, as DICOM requires."""
    return content + b"\0" * (len(content) % 2)


def zip_bytes(files: Mapping[str, bytes], *, compressed: bool = True) -> bytes:
    """Return a zip of files, with fixed dates, in the given order, with members for folders."""
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    seen: set[str] = set()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            parents = name.split("/")[:-1]
            for depth in range(1, len(parents) + 1):
                folder = "/".join(parents[:depth]) + "/"
                if folder not in seen:
                    archive.writestr(zip_member(folder), b"")
                seen.add(folder)
            archive.writestr(zip_member(name), content, method, compresslevel=4)
    return buffer.getvalue()


def zip_member(name: str) -> zipfile.ZipInfo:
    """Return a zip member that does not depend on machine or time."""
    info = zipfile.ZipInfo(name, ZIP_DATE)
    info.create_system = 3
    info.external_attr = (0o40755 << 16 | 0x10) if name.endswith("/") else 0o100644 << 16
    return info
