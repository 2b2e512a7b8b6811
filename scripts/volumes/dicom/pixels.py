"""Decoding of DICOM pixels: stored values, and HU computed from them."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    CTImageStorage,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    generate_uid,
)

from scripts.storage.archive import ArchiveReader, Limits
from scripts.volumes.dicom.extent import NATIVE, coded_size
from scripts.volumes.dicom.series_volume import Series
from scripts.volumes.dicom.slice import SliceFile, open_data_set
from scripts.volumes.resampling import regular_grid, to_grid
from scripts.volumes.volume import Volume

# the elements that a decoder needs
_DECODER_ELEMENTS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "NumberOfFrames"),
)
PADDING_ASSUMED = (
    "have one value in their corners that cannot be HU in unsigned pixels, and no "
    "PixelPaddingValue; it is read as a negative number, padding around the image"
)
_INT16 = np.iinfo(np.int16)
DECODERS = min(4, os.cpu_count() or 1)  # threads


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
    # in the order of the files, so that each zip is opened once
    numbered = sorted(enumerate(series.slices), key=lambda pair: str(pair[1].location))
    assumed = 0
    with ArchiveReader(limits) as reader, _quiet():
        in_turn = _all_stored([each for _, each in numbered], reader)
        for (k, each), stored in zip(numbered, in_turn, strict=True):
            assumed += undeclared_padding(stored, each) is not None
            values = hounsfield_of(each, stored)
            if not _fits_int16(values):
                hu = hu.astype(np.result_type(hu, values), copy=False)
            hu[k] = values
    if series.stack is not None:
        hu = to_grid(hu, series.stack, regular_grid(series.stack))
    notes = (f"{assumed} slices {PADDING_ASSUMED}",) if assumed else ()
    return Volume(hu, series.affine_lps, notes)


def _all_stored(slices: Sequence[SliceFile], reader: ArchiveReader) -> Iterator[NDArray[Any]]:
    """Yield the stored values of each slice, in order; JPEG 2000 is decoded by several threads.

    Its decoder takes five times as long as others, and lets other threads run meanwhile.
    """
    frames: dict[str, NDArray[Any]] = {}
    if not all(map(_is_decoded_beside, slices)):
        yield from (_stored(each, reader, frames) for each in slices)
        return
    waiting: deque[Future[NDArray[Any]]] = deque()
    with ThreadPoolExecutor(DECODERS) as threads:
        for each in slices:
            waiting.append(threads.submit(_values, each, reader))
            if len(waiting) > 2 * DECODERS:  # few at a time, for memory
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _is_decoded_beside(each: SliceFile) -> bool:
    """Whether threads may decode a slice: JPEG 2000, with no need of the reader of zips."""
    at_hand = each.content is not None or not each.location.inside
    syntax = each.header.file_meta.TransferSyntaxUID
    return at_hand and each.frame_of is None and syntax in (JPEG2000, JPEG2000Lossless)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings of decoders, of what is checked here; for all threads, so around them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _stored(
    each: SliceFile, reader: ArchiveReader, frames: dict[str, NDArray[Any]]
) -> NDArray[Any]:
    """Return a slice's stored values; all frames of a file are decoded with its first."""
    if each.frame_of is None:
        return _values(each, reader)
    file = str(each.location)
    if file not in frames:
        frames.clear()
        frames[file] = _values(each.frame_of, reader).reshape(-1, *each.shape)
    return np.asarray(frames[file][each.frame - 1])


def hounsfield_of(each: SliceFile, stored: NDArray[Any]) -> NDArray[Any]:
    """Return a slice's stored values after RescaleSlope and RescaleIntercept.

    A missing element counts as 1 or 0; callers that require it must check first.

    Returns:
        (rows, columns), int64 for whole-number factors, else float64.
    """
    slope, intercept = each.number("RescaleSlope", 1.0), each.number("RescaleIntercept", 0.0)
    stored = _without_wrapped_padding(stored, each)
    if slope.is_integer() and intercept.is_integer():
        return np.asarray(stored.astype(np.int64) * int(slope) + int(intercept))
    return np.asarray(stored * slope + intercept, np.float64)


def _without_wrapped_padding(stored: NDArray[Any], each: SliceFile) -> NDArray[Any]:
    """Read padding that a scanner wrote as a negative number into unsigned pixels.

    PixelPaddingValue 63536 is -2000 in 16 bits (PS3.3, C.7.5.1.1.2): air around the picture, not
    62512 HU.
    """
    padding = each.numbers("PixelPaddingValue")
    if padding is None:
        assumed = undeclared_padding(stored, each)
        padding = None if assumed is None else (assumed,)
    if padding is None or not _is_unsigned16(each):
        return stored
    limit = each.number("PixelPaddingRangeLimit", padding[0])
    low, high = sorted(int(value) & 0xFFFF for value in (padding[0], limit))
    if low < 0x8000:
        return stored
    values = stored.astype(np.int32)
    values[(stored >= low) & (stored <= high)] -= 0x10000
    return values


def undeclared_padding(stored: NDArray[Any], each: SliceFile) -> int | None:
    """Return the stored value of padding that the header does not name; None if there is none.

    It fills the four corners of an unsigned image, as outside the field of the reconstruction, is
    a negative number if read as signed, and cannot be HU; no other value is as high.
    """
    if not _is_unsigned16(each) or each.numbers("PixelPaddingValue") is not None:
        return None
    value = int(stored[0, 0])
    hu = value * each.number("RescaleSlope", 1.0) + each.number("RescaleIntercept", 0.0)
    if value < 0x8000 or hu <= _INT16.max:
        return None
    in_corners = bool((stored[:: len(stored) - 1 or 1, :: stored.shape[1] - 1 or 1] == value).all())
    return value if in_corners and not ((stored >= 0x8000) & (stored != value)).any() else None


def _is_unsigned16(each: SliceFile) -> bool:
    unsigned = each.number("PixelRepresentation", 0) == 0
    return unsigned and each.number("BitsAllocated", 16) == 16


def _fits_int16(values: NDArray[Any]) -> bool:
    """Return whether values are whole numbers that fit into signed 16 bits."""
    whole = values.dtype.kind in "iu"
    return bool(whole and values.min() >= _INT16.min and values.max() <= _INT16.max)


def stored_values(each: SliceFile, reader: ArchiveReader) -> NDArray[Any]:
    """Return the stored values of a file; bits outside BitsStored are ignored.

    Returns:
        (rows, columns), or (frames, rows, columns) of a multi-frame file.

    Raises:
        ValueError: naming the file whose pixels are truncated or compressed in an unsupported way.
    """
    with _quiet():
        return _values(each, reader)


def _values(each: SliceFile, reader: ArchiveReader) -> NDArray[Any]:
    if each.pixels.damage:
        raise ValueError(f"{each.place}: {each.pixels.damage}")
    try:
        with open_data_set(each, reader) as file:
            file.seek(each.pixels.start)
            image = _image_of(each, file.read(each.pixels.length))
        values = _decoded(image) if _has_decoder(image) else _decoded_by_gdcm(image)
    except Exception as error:  # damaged bytes lead decoders to almost any exception
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{each.place}: its pixels cannot be read: {reason}") from error
    count = int(each.header.get("NumberOfFrames") or 1)
    wanted = each.shape if count == 1 else (count, *each.shape)
    if values.shape != wanted:
        raise ValueError(
            f"{each.place}: must have {wanted} rows and columns by its header, its pixels "
            f"decode to {values.shape}"
        )
    return values


def _image_of(each: SliceFile, pixels: bytes) -> Dataset:
    """Return a data set with what a decoder needs."""
    if len(pixels) < each.pixels.length:
        raise ValueError(f"the file now ends after {len(pixels)} of {each.pixels.length} bytes")
    compressed = each.header.file_meta.TransferSyntaxUID not in NATIVE
    size = coded_size(pixels) if compressed else None
    if size not in (None, each.shape):
        raise ValueError(f"they have {size} rows and columns, by the header {each.shape}")
    image = Dataset()
    image.file_meta = each.header.file_meta
    image.set_original_encoding(*each.header.original_encoding)
    for keyword in _DECODER_ELEMENTS:
        if keyword in each.header:
            image[keyword] = each.header[keyword]
    image.PixelData = pixels
    image["PixelData"].VR = "OW" if image.BitsAllocated > 8 else "OB"
    image["PixelData"].is_undefined_length = compressed
    return image


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
    return values.reshape(values.shape[-2:]) if len(values) == 1 else values
