"""One DICOM slice: its header, read once, and where its pixels are in the file.

Files are read from folders and from zips alike; pixels are read by
:mod:`scripts.volumes.dicom_pixels`.
"""

from __future__ import annotations

import io
import math
import zlib
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import data_element_generator
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from scripts.storage.archive import ArchiveReader, Location

# The elements that every slice of a CT series must have, and what goes wrong without them.
NEEDED = {
    "ImagePositionPatient": "slices could not be put in order",
    "ImageOrientationPatient": "slices could not be placed",
    "PixelSpacing": "sizes in mm would be made up",
    "RescaleSlope": "stored values would pass for HU",
    "RescaleIntercept": "stored values would pass for HU",
    "Rows": "the file is not an image",
    "Columns": "the file is not an image",
}
PIXEL_DATA = 0x7FE00010
NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
# Errors that pydicom raises for truncated or damaged files.
DAMAGE = (
    *(InvalidDicomError, EOFError, OSError, ValueError, AttributeError, KeyError, zlib.error),
)
_COUNTS = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
_PREAMBLE = 132  # bytes: 128 of anything, then DICM


class DamagedFileError(ValueError):
    """A DICOM file that is truncated or damaged."""


@dataclass(frozen=True)
class SliceFile:
    """One DICOM file: its header, and where its pixels are.

    Args:
        place: path of the file, for errors.
        location: where to read it.
        header: everything before the pixels except private elements.
        pixels_at: offset of the pixel data element in the file.
        pixel_bytes: number of pixel bytes in the file; None for compressed pixels.
        content: the whole file, if it was kept when the header was read.
    """

    place: str
    location: Location
    header: Dataset = field(repr=False)
    pixels_at: int
    pixel_bytes: int | None
    content: bytes | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.place.replace("\\", "/").rpartition("/")[2]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.header.Rows), int(self.header.Columns)

    def numbers(self, keyword: str) -> tuple[float, ...] | None:
        """Return an element's values; None if it is missing or empty.

        Raises:
            ValueError: for values that are not finite numbers, or not as many as the element has.
        """
        try:
            value: Any = self.header.get(keyword)
            if value is None or value == "":
                return None
            values = value if isinstance(value, (list, MultiValue)) else [value]
            numbers = tuple(float(n) for n in values)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.place}: {keyword} must be numbers: {error}") from error
        count = _COUNTS.get(keyword, 1)
        if len(numbers) != count or not all(math.isfinite(n) for n in numbers):
            raise ValueError(
                f"{self.place}: {keyword} must be {count} finite numbers, got {numbers}"
            )
        return numbers

    def required(self, keyword: str) -> tuple[float, ...]:
        """Return an element's values.

        Raises:
            ValueError: see :meth:`numbers`; for an element that is missing or empty.
        """
        numbers = self.numbers(keyword)
        if numbers is None:
            raise ValueError(
                f"{self.place}: {keyword} is missing; without it "
                f"{NEEDED.get(keyword, 'the file cannot be read')}"
            )
        return numbers

    def number(self, keyword: str, default: float) -> float:
        """Return the value of an element with one value, or ``default`` if it is missing.

        Raises:
            ValueError: see :meth:`numbers`.
        """
        return (self.numbers(keyword) or (default,))[0]


def read_slice(
    reader: ArchiveReader, location: Location, *, keep: bool = False
) -> SliceFile | None:
    """Read the header of one file.

    Args:
        reader: reads files inside zips.
        location: the file.
        keep: keep the whole file in memory, so that the pixels are read from there.

    Returns:
        None for a file that is not DICOM.

    Raises:
        DamagedFileError: for a DICOM file that is truncated or damaged.
        ValueError, OSError: for a file that cannot be read at all.
    """
    if not location.inside and not keep:
        with location.path.open("rb") as file:
            return _read_header(file, location, None)
    content = reader.read(location)
    return _read_header(io.BytesIO(content), location, content if keep else None)


def _read_header(file: BinaryIO, location: Location, content: bytes | None) -> SliceFile | None:
    if file.read(_PREAMBLE)[-4:] != b"DICM":
        return None
    file.seek(0)
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True)
        pixels_at = file.tell()
        pixel_bytes = _pixel_bytes(file, header)
    except DAMAGE as error:
        raise DamagedFileError(f"{location}: damaged DICOM file: {error}") from error
    header.filename = header.buffer = None  # references that would keep file or content in memory
    for tag in [tag for tag in header.keys() if tag.is_private]:  # noqa: SIM118
        del header[tag]
    return SliceFile(str(location), location, header, pixels_at, pixel_bytes, content)


def _pixel_bytes(file: BinaryIO, header: pydicom.FileDataset) -> int | None:
    """Return the number of pixel bytes that follow; None if only decoding shows it."""
    if header.file_meta.get("TransferSyntaxUID") not in NATIVE:
        return None
    implicit, little = header.original_encoding
    elements = data_element_generator(file, bool(implicit), bool(little), defer_size=0)
    element: Any = next(elements, None)
    if element is None or element.tag != PIXEL_DATA:
        return 0
    start = element.value_tell
    return max(0, min(int(element.length), file.seek(0, io.SEEK_END) - int(start)))
