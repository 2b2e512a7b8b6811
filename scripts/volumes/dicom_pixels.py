"""Decoding of DICOM pixels: stored values, and HU computed from them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import data_element_generator
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    JPEGExtended12Bit,
    generate_uid,
)

from scripts.storage.archive import ArchiveReader, Limits
from scripts.volumes.dicom_series import Series
from scripts.volumes.dicom_slice import DAMAGE, PIXEL_DATA, SliceFile
from scripts.volumes.resampling import regular_grid, to_grid
from scripts.volumes.volume import Volume

# the elements that a decoder needs
_DECODER_ELEMENTS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "NumberOfFrames"),
)
_INT16 = np.iinfo(np.int16)


def read_volume_of(series: Series, *, limits: Limits | None = None) -> Volume:
    """Read the pixels of a series, each file once.

    Args:
        series: slices in ascending order.
        limits: limits for reading from zips.

    Returns:
        HU: int16 if they are whole numbers in range, else int64 or float64; of a series with a
        stack, resampled to its regular grid.

    Raises:
        ValueError: naming the file whose pixels are missing, damaged, or compressed in an
            unsupported way.
        OSError: for a zip that cannot be read.
    """
    hu: NDArray[Any] = np.empty((len(series.slices), *series.slices[0].shape), np.int16)
    with ArchiveReader(limits) as reader:
        for k, each in enumerate(series.slices):
            values = hounsfield_of(each, reader)
            if not _fits_int16(values):
                hu = hu.astype(np.result_type(hu, values), copy=False)
            hu[k] = values
    if series.stack is not None:
        hu = to_grid(hu, series.stack, regular_grid(series.stack))
    return Volume(hu, series.affine_lps)


def hounsfield_of(each: SliceFile, reader: ArchiveReader) -> NDArray[Any]:
    """Return a slice's stored values after RescaleSlope and RescaleIntercept.

    A missing element counts as 1 or 0; callers that require it must check first.

    Returns:
        (rows, columns), int64 for whole-number factors, else float64.

    Raises:
        ValueError: see :func:`stored_values`.
    """
    slope, intercept = each.number("RescaleSlope", 1.0), each.number("RescaleIntercept", 0.0)
    stored = stored_values(each, reader)
    if slope.is_integer() and intercept.is_integer():
        return np.asarray(stored.astype(np.int64) * int(slope) + int(intercept))
    return np.asarray(stored * slope + intercept, np.float64)


def _fits_int16(values: NDArray[Any]) -> bool:
    """Return whether values are whole numbers that fit into signed 16 bits."""
    whole = values.dtype.kind in "iu"
    return bool(whole and values.min() >= _INT16.min and values.max() <= _INT16.max)


def stored_values(each: SliceFile, reader: ArchiveReader) -> NDArray[Any]:
    """Return a slice's stored values (rows, columns); bits outside BitsStored are ignored.

    Raises:
        ValueError: naming the file whose pixels are truncated or compressed in an unsupported way.
    """
    image = _without_pixels(each)
    try:
        with _opened(each, reader) as file:
            image[PIXEL_DATA] = _pixel_element(file, each)
        if not _has_decoder(image):
            return _decoded_by_gdcm(image)
        return _decoded(image)
    except (*DAMAGE, RuntimeError, NotImplementedError, StopIteration) as error:
        reason = (str(error) or "the file has none").splitlines()[0]
        raise ValueError(f"{each.place}: its pixels cannot be read: {reason}") from error


def _without_pixels(each: SliceFile) -> Dataset:
    """Return a data set with the elements that a decoder needs, except the pixels."""
    image = Dataset()
    image.file_meta = each.header.file_meta
    image.set_original_encoding(*each.header.original_encoding)
    for keyword in _DECODER_ELEMENTS:
        if keyword in each.header:
            image[keyword] = each.header[keyword]
    return image


@contextmanager
def _opened(each: SliceFile, reader: ArchiveReader) -> Iterator[BinaryIO]:
    if each.content is None and not each.location.inside:
        with each.location.path.open("rb") as file:
            yield file
    else:
        content = reader.read(each.location) if each.content is None else each.content
        yield io.BytesIO(content)


def _pixel_element(file: BinaryIO, each: SliceFile) -> Any:
    """Read the pixel data element, which begins where the header ended."""
    if each.header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return pydicom.dcmread(file)[PIXEL_DATA]  # pixels_at counts inflated bytes
    file.seek(each.pixels_at)
    implicit, little = each.header.original_encoding
    return next(data_element_generator(file, bool(implicit), bool(little)))


def _decoded(image: Dataset) -> NDArray[Any]:
    """Decode with pydicom, and shift values that do not end at the lowest bit (PS3.5, 8.1.1)."""
    unused_below = int(image.get("HighBit", image.BitsStored - 1)) + 1 - int(image.BitsStored)
    if unused_below <= 0:
        return image.pixel_array
    stored, allocated = int(image.BitsStored), int(image.BitsAllocated)
    image.BitsStored = allocated
    values = image.pixel_array.copy()
    values <<= allocated - stored - unused_below
    values >>= allocated - stored
    return values


def _has_decoder(image: Dataset) -> bool:
    """Return whether pydicom can decode an image; Pillow decodes 12-bit JPEG with 8 bits only."""
    syntax = UID(image.file_meta.TransferSyntaxUID)
    if syntax == JPEGExtended12Bit and image.BitsStored > 8:
        return False
    return not syntax.is_compressed or bool(get_decoder(syntax).is_available)


def _decoded_by_gdcm(image: Dataset) -> NDArray[Any]:
    """Decode with SimpleITK's GDCM, which reads files only: from a de-identified copy."""
    copy = Dataset(image)
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = image.file_meta.TransferSyntaxUID
    copy.SOPClassUID, copy.SOPInstanceUID = CTImageStorage, generate_uid(entropy_srcs=["slice"])
    copy.RescaleSlope, copy.RescaleIntercept = 1, 0
    with tempfile.TemporaryDirectory(prefix="slice-") as folder:
        path = Path(folder) / "slice.dcm"
        copy.save_as(path, enforce_file_format=True)
        values: NDArray[Any] = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return values.reshape(values.shape[-2:])
