"""One DICOM slice: its header, read once, and where its pixels are in the file.

Files are read from folders and from zips alike; pixels are read by
:mod:`scripts.volumes.dicom.pixels`.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from scripts.running.reasons import one_line
from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.dicom.extent import PixelExtent, find_pixels
from scripts.volumes.dicom.stream import HEAD, data_set_stream, is_dicom

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
# Elements that are read for every slice; one that cannot be converted is damage.
_READ = (
    *NEEDED,
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID"),
    *("Modality", "ImageType", "FrameOfReferenceUID", "InstanceNumber", "NumberOfFrames"),
    *("SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
)
_COUNTS = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
_MOST_EDGE = 1 << 14  # rows or columns: CT has 256 to 4096
_MOST_NESTED = 32  # sequences in sequences: real headers have up to 5


class DamagedFileError(ValueError):
    """A DICOM file that is truncated or damaged."""


@dataclass(frozen=True)
class SliceFile:
    """One DICOM slice: its header, and the file in which its pixels are.

    Args:
        place: path of the file, for errors.
        location: where to read it.
        header: everything before the pixels except private elements.
        pixels: where they are in the file, and whether they are whole.
        content: the whole file, if it was kept when the header was read.
        frame: 1-based number of the frame of a multi-frame file; 0 for a file of one slice.
        frame_of: that file, if this is one of its frames; ``pixels`` are those of all frames.
    """

    place: str
    location: Location
    header: Dataset = field(repr=False)
    pixels: PixelExtent
    content: bytes | None = field(default=None, repr=False)
    frame: int = 0
    frame_of: SliceFile | None = field(default=None, repr=False)

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
        None for a file that is not DICOM; pixels that are not whole are described in
        :attr:`SliceFile.pixels`.

    Raises:
        DamagedFileError: for a DICOM file whose header is truncated or damaged.
        ValueError, OSError: for a file that cannot be read at all.
    """
    if not location.inside and not keep:
        with location.path.open("rb") as file:
            head = file.read(HEAD)
            file.seek(0)
            return _read_header(file, location, None) if is_dicom(head) else None
    if not is_dicom(reader.head(location, HEAD)):
        return None
    content = reader.read(location)
    return _read_header(io.BytesIO(content), location, content if keep else None)


@contextmanager
def open_data_set(each: SliceFile, reader: ArchiveReader) -> Iterator[BinaryIO]:
    """Open a slice for reading at the offsets of :attr:`SliceFile.pixels`.

    Raises:
        ValueError, OSError: for a file that cannot be read.
    """
    if each.content is None and not each.location.inside:
        with each.location.path.open("rb") as file:
            yield data_set_stream(file)[0]
    else:
        content = reader.read(each.location) if each.content is None else each.content
        yield data_set_stream(io.BytesIO(content))[0]


def _read_header(file: BinaryIO, location: Location, content: bytes | None) -> SliceFile:
    try:
        # pydicom's warnings quote values of the header, which may name the patient
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header, pixels = _parsed(file)
    except RecursionError as error:
        raise DamagedFileError(
            f"{location}: damaged DICOM file: its sequences are nested too deeply"
        ) from error
    except Exception as error:  # damaged bytes lead the parser to almost any exception
        raise DamagedFileError(f"{location}: damaged DICOM file: {one_line(error)}") from error
    return SliceFile(str(location), location, header, pixels, content)


def _parsed(file: BinaryIO) -> tuple[Dataset, PixelExtent]:
    stream, meta = data_set_stream(file)
    header = pydicom.dcmread(stream, stop_before_pixels=True, force=True)
    header.file_meta = _file_meta(header, meta)
    pixels = find_pixels(stream, header)
    header.filename = header.buffer = None  # references that would keep file or content in memory
    for tag in [tag for tag in header.keys() if tag.is_private]:  # noqa: SIM118
        del header[tag]
    _check_values(header)
    return header, pixels


def _file_meta(header: Dataset, meta: FileMetaDataset | None) -> FileMetaDataset:
    """Return the file meta information; without a transfer syntax, the one found by pydicom."""
    meta = header.file_meta if meta is None else meta
    if "TransferSyntaxUID" not in meta:
        implicit, little = header.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return meta


def _check_values(header: Dataset) -> None:
    """Convert the elements that are used, and refuse absurd ones before anything is allocated.

    Raises:
        ValueError: naming the element.
    """
    for keyword in _READ:
        try:
            header.get(keyword)
        except Exception as error:
            raise ValueError(f"{keyword} cannot be read: {error}") from error
    for keyword in ("Rows", "Columns"):
        value = header.get(keyword)
        if value is not None and not (isinstance(value, int) and 0 < value <= _MOST_EDGE):
            raise ValueError(f"{keyword} must be 1 to {_MOST_EDGE}, got {value}")
    if _depth(header) > _MOST_NESTED:
        raise ValueError(f"its sequences are nested more than {_MOST_NESTED} deep")


def _depth(items: Dataset, above: int = 0) -> int:
    """Return how deep sequences are nested; those that the parser left unread count as one."""
    if above > _MOST_NESTED:
        return above
    depths = [above]
    for element in items.elements():
        if isinstance(value := element.value, Sequence):
            depths += [_depth(item, above + 1) for item in value]
    return max(depths)
