"""A DICOM CT series: every header read once, slices in order, refused where that would be guessing.

Order and geometry come from ImagePositionPatient and ImageOrientationPatient alone (DICOM PS3.3,
C.7.6.2.1.1), never from file names or InstanceNumber, which run against the positions in many
archives. Files are read from folders and from zips alike; pixels are read by
:mod:`scripts.volumes.dicom_pixels`.
"""

from __future__ import annotations

import io
import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import data_element_generator
from pydicom.multival import MultiValue
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.slice_stack import Floats, order_of, stack_affine

# What every slice of a CT series must have, and why there is no volume without it.
NEEDED = {
    "ImagePositionPatient": "slices could not be put in order",
    "ImageOrientationPatient": "slices could not be placed",
    "PixelSpacing": "sizes in mm would be made up",
    "RescaleSlope": "stored values would pass for HU",
    "RescaleIntercept": "stored values would pass for HU",
    "Rows": "it is no image",
    "Columns": "it is no image",
}
PIXEL_DATA = 0x7FE00010
NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
# What pydicom raises for files that are cut short or damaged.
DAMAGE = (
    *(InvalidDicomError, EOFError, OSError, ValueError, AttributeError, KeyError, zlib.error),
)
_COUNTS = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
_DECIMALS = 4  # headers of one series may differ in later digits
_NAMED = 5  # files named in an error
_PREAMBLE = 132  # bytes: 128 of anything, then DICM


class DamagedFileError(ValueError):
    """A DICOM file that is cut short or damaged."""


@dataclass(frozen=True)
class SliceFile:
    """One DICOM file: its header, and where its pixels are.

    Args:
        place: folder and name of the file, for errors.
        location: where to read it.
        header: everything before the pixels except private elements.
        pixels_at: offset of the pixel data element in the file.
        pixel_bytes: how many bytes of pixels the file holds; None where they are compressed.
        content: the whole file, where it was kept when the header was read.
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
        """Return an element's values; None where it is missing or empty.

        Raises:
            ValueError: when they are not as many finite numbers as the element has.
        """
        try:
            value: Any = self.header.get(keyword)
            if value is None or value == "":
                return None
            several = value if isinstance(value, (list, MultiValue)) else [value]
            numbers = tuple(float(n) for n in several)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.place}: {keyword} must be numbers: {error}") from error
        count = _COUNTS.get(keyword, 1)
        if len(numbers) != count or not all(math.isfinite(n) for n in numbers):
            raise ValueError(
                f"{self.place}: {keyword} must be {count} finite numbers, got {numbers}"
            )
        return numbers

    def required(self, keyword: str) -> tuple[float, ...]:
        """Return an element's values as :meth:`numbers` does; refuse a file without them."""
        numbers = self.numbers(keyword)
        if numbers is None:
            raise ValueError(
                f"{self.place}: {keyword} is missing; without it "
                f"{NEEDED.get(keyword, 'the file cannot be read')}"
            )
        return numbers

    def number(self, keyword: str, default: float) -> float:
        """Return the value of an element that has one, or ``default`` where it is missing."""
        return (self.numbers(keyword) or (default,))[0]


@dataclass(frozen=True)
class Series:
    """The slices of one volume, ascending along their normal.

    Args:
        place: the folder, for errors.
        slices: one for each k.
        affine_lps: (4, 4), 0-based index (i, j, k) to LPS mm.
    """

    place: str
    slices: tuple[SliceFile, ...]
    affine_lps: Floats

    @classmethod
    def of(cls, slices: Sequence[SliceFile], place: str) -> Series:
        """Sort the slices of one CT series that all have a position.

        Raises:
            ValueError: naming folder and files: see :func:`check_images`; slices that differ in
                spacing; missing, doubled, unevenly spaced or tilted slices.
        """
        check_images(slices, place)
        check_alike(slices, "PixelSpacing", place)
        first = slices[0]
        positions = [each.required("ImagePositionPatient") for each in slices]
        orientation = first.required("ImageOrientationPatient")
        try:
            order, _ = order_of(positions, orientation)
            affine = stack_affine(
                [positions[i] for i in order],
                orientation,
                first.required("PixelSpacing"),
                names=[slices[i].name for i in order],
            )
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        return cls(place, tuple(slices[i] for i in order), affine)

    @classmethod
    def of_ct(cls, slices: Sequence[SliceFile], place: str) -> Series:
        """Sort the slices of one CT series whose values can be turned into HU.

        Raises:
            ValueError: see :meth:`of`; for elements of :data:`NEEDED` that are missing, and rescale
                factors that differ between slices.
        """
        for keyword, harm in NEEDED.items():
            if lacking := [each for each in slices if each.header.get(keyword) is None]:
                named = _names(lacking)
                raise ValueError(f"{place}: {keyword} is missing in {named}; without it {harm}")
        for keyword in ("RescaleSlope", "RescaleIntercept"):
            check_alike(slices, keyword, place)
        return cls.of(slices, place)


# --- reading headers ------------------------------------------------------------------------------


def read_slice(
    reader: ArchiveReader, location: Location, *, keep: bool = False
) -> SliceFile | None:
    """Read one file's header; its only opening before its pixels are read.

    Args:
        reader: of zips.
        location: the file.
        keep: hold the whole content, so that the pixels are read from memory.

    Returns:
        None for what is no DICOM file.

    Raises:
        DamagedFileError: for a DICOM file that is cut short or damaged.
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
        at = file.tell()
        found = _pixel_bytes(file, header)
    except DAMAGE as error:
        raise DamagedFileError(f"{location}: damaged DICOM file: {error}") from error
    header.filename = header.buffer = None  # nothing may keep the file, or its content, alive
    for tag in [tag for tag in header.keys() if tag.is_private]:  # noqa: SIM118
        del header[tag]
    return SliceFile(str(location), location, header, at, found, content)


def _pixel_bytes(file: BinaryIO, header: pydicom.FileDataset) -> int | None:
    """Return how many bytes of pixels follow; None where only decoding tells."""
    if header.file_meta.get("TransferSyntaxUID") not in NATIVE:
        return None
    implicit, little = header.original_encoding
    elements = data_element_generator(file, bool(implicit), bool(little), defer_size=0)
    element: Any = next(elements, None)
    if element is None or element.tag != PIXEL_DATA:
        return 0
    start = element.value_tell
    return max(0, min(int(element.length), file.seek(0, io.SEEK_END) - int(start)))


def list_series(folder: Path) -> dict[str, list[SliceFile]]:
    """Return the CT files a folder directly holds, by SeriesInstanceUID.

    Raises:
        ValueError: when there is none, saying what there is; for a file that cannot be read.
    """
    series: dict[str, list[SliceFile]] = defaultdict(list)
    others: Counter[str] = Counter()
    with ArchiveReader() as reader:
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            each = read_slice(reader, Location(path))
            if each is None:
                continue
            if each.header.get("Modality") == "CT":
                series[str(each.header.get("SeriesInstanceUID", ""))].append(each)
            else:
                others[str(each.header.get("Modality", "none"))] += 1
    if not series:
        listed = ", ".join(f"{n} of modality {name}" for name, n in others.items())
        folders = sum(path.is_dir() for path in folder.iterdir())
        raise ValueError(
            f"{folder}: no DICOM CT files directly in this folder; there are "
            f"{listed or 'no DICOM files'} and {folders} folders"
        )
    return dict(series)


def read_series(folder: str | Path, *, series_uid: str | None = None) -> Series:
    """Read the headers of the CT series that a folder directly holds.

    Args:
        folder: with DICOM files of any name; other files, and DICOM files of another modality than
            CT, are skipped.
        series_uid: which series; needed when there are several.

    Raises:
        ValueError: naming folder and files: no CT, several series or not the one asked for, and
            what :meth:`Series.of_ct` refuses.
    """
    place = Path(folder)
    series = list_series(place)
    listing = "".join(f"\n  {uid}: {len(files)} files" for uid, files in sorted(series.items()))
    if series_uid is None and len(series) > 1:
        raise ValueError(
            f"{place}: holds {len(series)} CT series; give series_uid, one of:{listing}"
        )
    uid = next(iter(series)) if series_uid is None else series_uid
    if uid not in series:
        raise ValueError(f"{place}: series_uid {series_uid} is not among its series:{listing}")
    return Series.of_ct(series[uid], str(place))


# --- rules ----------------------------------------------------------------------------------------


def check_images(slices: Sequence[SliceFile], place: str) -> None:
    """Refuse files that are not grey images of one size and orientation, with all their pixels.

    Raises:
        ValueError: naming the file: enhanced (multi-frame), colour or inverted images, no pixels or
            fewer than the header asks for; naming those that differ from most.
    """
    for each in slices:
        _check_image(each)
    for keyword in ("Rows", "Columns", "ImageOrientationPatient"):
        check_alike(slices, keyword, place)
    for each in slices:
        _check_pixel_bytes(each)


def _check_image(each: SliceFile) -> None:
    for keyword in ("Rows", "Columns"):
        if each.header.get(keyword) is None:
            raise ValueError(f"{each.place}: holds no image: {keyword} missing")
    for keyword, wanted in (
        ("NumberOfFrames", 1),
        ("SamplesPerPixel", 1),
        ("PhotometricInterpretation", "MONOCHROME2"),
    ):
        value = each.header.get(keyword)
        if value not in (None, "", wanted):
            raise ValueError(
                f"{each.place}: {keyword} must be {wanted} (one grey slice a file), got {value}"
            )


def _check_pixel_bytes(each: SliceFile) -> None:
    if each.pixel_bytes is None:
        return  # the decoder finds out
    if not each.pixel_bytes:
        raise ValueError(f"{each.place}: holds no image: PixelData missing")
    rows, columns = each.shape
    wanted = int(rows * columns * each.number("BitsAllocated", 16)) // 8
    if each.pixel_bytes < wanted:
        raise ValueError(
            f"{each.place}: cut short: {wanted} bytes of pixels asked for, {each.pixel_bytes} "
            "found; copy or download it again"
        )


def check_alike(
    slices: Sequence[SliceFile],
    what: str,
    place: str,
    value: Callable[[SliceFile], object] | None = None,
) -> None:
    """Refuse slices that differ in something all must share, naming those of the smaller groups.

    Args:
        slices: at least one.
        what: an element of numbers, compared to four decimals; or what ``value`` returns, in words.
        place: the folder.
        value: what to compare instead of the element's numbers; hashable.

    Raises:
        ValueError: naming the files that differ from most.
    """
    groups: dict[object, list[SliceFile]] = defaultdict(list)
    for each in slices:
        groups[_rounded(each.numbers(what)) if value is None else value(each)].append(each)
    if len(groups) > 1:
        usual = max(groups, key=lambda key: len(groups[key]))
        odd = [f"{_shown(k)} in {_names(files)}" for k, files in groups.items() if k != usual]
        raise ValueError(
            f"{place}: {what} must be the same in every slice: {_shown(usual)} in most, but "
            f"{'; '.join(odd)}"
        )


def _rounded(numbers: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return None if numbers is None else tuple(round(n, _DECIMALS) + 0.0 for n in numbers)


def _shown(value: object) -> str:
    """Write a value of :func:`check_alike` for an error."""
    if isinstance(value, tuple):
        return ", ".join(f"{number:g}" for number in value)
    return "none" if value is None else str(value)


def _names(slices: Iterable[SliceFile]) -> str:
    """Name the first few files of a list."""
    names = [each.name for each in slices]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
