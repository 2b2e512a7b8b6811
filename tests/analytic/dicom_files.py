"""The analytic chest as DICOM files, written by pydicom alone."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
)

from tests.analytic.phantom import Grid

UID = "1.2.826.0.1.3680043.8.498.13"
GDCM = {JPEGLosslessSV1: "JPEG", JPEG2000Lossless: "JPEG2000"}  # that pydicom cannot encode here


@dataclass(frozen=True)
class Encoding:
    """How HU are stored.

    Attributes:
        syntax: transfer syntax UID.
        bits: BitsStored, of 16 allocated.
        high_bit: the highest bit used; by default the values begin at the lowest.
        signed: PixelRepresentation 1.
        slope: RescaleSlope, or one for each slice.
        intercept: RescaleIntercept, or one for each slice.
    """

    syntax: str = ExplicitVRLittleEndian
    bits: int = 16
    high_bit: int | None = None
    signed: bool = True
    slope: float | Sequence[float] = 1
    intercept: float | Sequence[float] = 0

    def factors(self, k: int) -> tuple[float, float]:
        """Slope and intercept of a slice."""
        slope, intercept = (
            value if isinstance(value, (int, float)) else value[k]
            for value in (self.slope, self.intercept)
        )
        return slope, intercept

    def stored(self, hu: NDArray[np.int16], k: int) -> NDArray[Any]:
        """(rows, columns): stored values, within the bits.

        Raises:
            ValueError: for HU that the bits cannot hold.
        """
        slope, intercept = self.factors(k)
        values = ((hu - intercept) / slope).round().astype(np.int64)
        low = -(1 << self.bits - 1) if self.signed else 0
        if values.min() < low or values.max() >= low + (1 << self.bits):
            raise ValueError(f"{self.bits} bits cannot hold {values.min()} to {values.max()}")
        shift = 0 if self.high_bit is None else self.high_bit + 1 - self.bits
        raw = (values & (1 << self.bits) - 1) << shift
        if not self.high_bit and self.signed:
            raw = values & 0xFFFF  # the sign fills the word, as scanners write it
        return raw.astype(np.uint16)


def slice_header(grid: Grid, k: int, *, series: str = "1") -> dict[str, Any]:
    """The elements of one slice, without its pixels."""
    axes = grid.affine[:3, :3] / grid.spacing
    position = grid.affine[:3, 3] + k * grid.affine[:3, 2]
    return {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"{UID}.1.{series}.{k + 1}",
        "StudyInstanceUID": f"{UID}.1",
        "SeriesInstanceUID": f"{UID}.1.{series}",
        "FrameOfReferenceUID": f"{UID}.2",
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "PatientName": "Analytic^Chest",
        "PatientID": "A-1",
        "PatientBirthDate": "",
        "PatientSex": "O",
        "StudyDate": "20200102",
        "StudyTime": "101112",
        "StudyID": "1",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "Manufacturer": "",
        "PositionReferenceIndicator": "",
        "SeriesNumber": int(series),
        "InstanceNumber": k + 1,
        "ImagePositionPatient": [_decimal(value) for value in position],
        "ImageOrientationPatient": [_decimal(value) for value in axes[:, :2].T.ravel()],
        "PixelSpacing": [_decimal(grid.spacing[1]), _decimal(grid.spacing[0])],
        "SliceThickness": _decimal(grid.spacing[2]),
        "Rows": grid.shape[1],
        "Columns": grid.shape[2],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "RescaleType": "HU",
    }


def write_series(
    folder: Path,
    grid: Grid,
    encoding: Encoding = Encoding(),
    *,
    series: str = "1",
    names: Callable[[int], str | bytes] = lambda k: f"slice{(k * 37) % 101:03d}.dcm",
    **changes: Any,
) -> list[Path]:
    """Write one file for each slice; return their paths in the grid's order.

    Args:
        folder: made if it does not exist.
        grid: where the chest is sampled.
        encoding: of the pixels.
        series: number of the series, part of its UID.
        names: file name of slice k; by default without order.
        changes: elements by keyword: a value, None to leave it out, or a function of k.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hu = grid.hu()
    paths = []
    for k in range(grid.shape[0]):
        data = slice_dataset(grid, k, hu[k], encoding, series=series)
        for keyword, value in changes.items():
            chosen = value(k) if callable(value) else value
            if chosen is None:
                data.pop(keyword, None)
            else:
                setattr(data, keyword, chosen)
        paths.append(save(data, folder, names(k)))
    return paths


def slice_dataset(
    grid: Grid, k: int, hu: NDArray[np.int16], encoding: Encoding, *, series: str = "1"
) -> Dataset:
    """One slice in memory, its pixels encoded."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    for keyword, value in slice_header(grid, k, series=series).items():
        setattr(data, keyword, value)
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.RescaleSlope, data.RescaleIntercept = map(_decimal, encoding.factors(k))
    data.BitsAllocated, data.BitsStored = 16, encoding.bits
    data.HighBit = encoding.bits - 1 if encoding.high_bit is None else encoding.high_bit
    data.PixelRepresentation = int(encoding.signed)
    _set_pixels(data, encoding.stored(hu, k), encoding.syntax)
    return data


def save(data: Dataset, folder: Path, name: str | bytes) -> Path:
    """Write a data set under a name, which may be bytes that are not UTF-8."""
    path = folder / (name if isinstance(name, str) else name.decode("utf-8", "surrogateescape"))
    data.save_as(path, enforce_file_format=True)
    return path


def shuffled(count: int, seed: int = 3) -> list[int]:
    """The numbers from 0 to ``count`` in no order."""
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    return numbers


def _decimal(value: float) -> str:
    """A number as a DS of at most 16 characters."""
    return str(pydicom.valuerep.DSfloat(float(value) + 0.0, auto_format=True))


def _set_pixels(data: Dataset, stored: NDArray[np.uint16], syntax: str) -> None:
    data.PixelData = stored.astype("<u2").tobytes()
    if syntax in GDCM:
        data.PixelData = _by_gdcm(
            stored.view(np.int16) if data.PixelRepresentation else stored, GDCM[syntax]
        )
        data["PixelData"].is_undefined_length = True
        data.file_meta.TransferSyntaxUID = syntax
    elif pydicom.uid.UID(syntax).is_encapsulated:
        data.compress(syntax, generate_instance_uid=False)
    else:
        data.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            data.PixelData = stored.astype(">u2").tobytes()


def _by_gdcm(values: NDArray[Any], compressor: str) -> bytes:
    """The encapsulated pixels of a file that GDCM wrote."""
    with tempfile.TemporaryDirectory() as folder:
        writer = sitk.ImageFileWriter()
        writer.SetFileName(f"{folder}/slice.dcm")
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        writer.Execute(sitk.GetImageFromArray(values[None]))
        return bytes(pydicom.dcmread(f"{folder}/slice.dcm").PixelData)
