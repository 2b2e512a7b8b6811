"""The DICOM images of one folder: pixels, and what their headers say about where they lie."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue

from scripts.storage.archive import ArchiveReader, File


@dataclass(frozen=True)
class Slice:
    """One image with what its header says about where it lies; None where it says nothing.

    Args:
        place: the file, for errors.
        name: its name in its folder.
        dataset: header and pixels.
        position: of the first voxel, LPS mm.
        orientation: cosines of the row axis, then of the column axis.
        spacing: mm between rows, between columns.
    """

    place: str
    name: str
    dataset: Dataset
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.dataset.Rows), int(self.dataset.Columns)


def read_slices(reader: ArchiveReader, files: Iterable[File]) -> list[Slice]:
    """Read the images of one folder, in no order; all of one size and orientation.

    Raises:
        ValueError: naming the file that is no DICOM image or differs from the others; or when
            there is none.
    """
    slices = [_read_slice(reader, file) for file in files]
    if not slices:
        raise ValueError("images: there are none")
    check_alike(slices, "the size", lambda s: s.shape)
    placed = "a position"
    check_alike(slices, f"having {placed}", lambda s: s.position is not None)
    check_alike(slices, "ImageOrientationPatient", lambda s: rounded(s.orientation))
    return slices


def _read_slice(reader: ArchiveReader, file: File) -> Slice:
    place = str(file.location)
    content = reader.read(file.location)
    try:
        dataset = pydicom.dcmread(io.BytesIO(content))
    except (InvalidDicomError, EOFError, ValueError, OSError) as error:
        raise ValueError(f"{place}: not a readable DICOM file: {error}") from error
    for keyword in ("Rows", "Columns", "PixelData"):
        if keyword not in dataset:
            raise ValueError(f"{place}: holds no image: {keyword} missing")
    frames = dataset.get("NumberOfFrames", 1) or 1
    if dataset.get("SamplesPerPixel", 1) != 1 or frames != 1:
        raise ValueError(f"{place}: must be one image with one value a pixel")
    photometric = dataset.get("PhotometricInterpretation", "MONOCHROME2")
    if photometric != "MONOCHROME2":
        raise ValueError(f"{place}: must be MONOCHROME2, where 0 is black, got {photometric!r}")
    position = numbers_of(dataset, "ImagePositionPatient", 3, place)
    orientation = numbers_of(dataset, "ImageOrientationPatient", 6, place)
    if (position is None) != (orientation is None):
        lacking = "ImageOrientationPatient" if orientation is None else "ImagePositionPatient"
        raise ValueError(f"{place}: {lacking} missing; one without the other places no voxel")
    spacing = numbers_of(dataset, "PixelSpacing", 2, place)
    return Slice(place, file.parts[-1], dataset, position, orientation, spacing)


def numbers_of(dataset: Dataset, keyword: str, count: int, place: str) -> tuple[float, ...] | None:
    """Return a header's numbers; None where the element is missing or empty.

    Raises:
        ValueError: when they are not ``count`` finite numbers.
    """
    try:
        value: Any = dataset.get(keyword)
        if value is None or value == "":
            return None
        numbers = tuple(float(n) for n in (value if isinstance(value, MultiValue) else [value]))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{place}: {keyword}: {error}") from error
    if len(numbers) != count or not all(math.isfinite(n) for n in numbers):
        raise ValueError(f"{place}: {keyword}: must be {count} finite numbers, got {numbers}")
    return numbers


def pixels_of(image: Slice) -> NDArray[Any]:
    """Return an image's stored values (rows, columns).

    Raises:
        ValueError: naming the file whose pixels are cut short or compressed in an unknown way.
    """
    try:
        pixels: NDArray[Any] = image.dataset.pixel_array
    except (ValueError, AttributeError, RuntimeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{image.place}: its pixels cannot be read: {reason}") from error
    return pixels


def check_alike(slices: Sequence[Slice], what: str, value: Callable[[Slice], object]) -> None:
    """Refuse images that differ in something all must share.

    Raises:
        ValueError: naming two that differ, and in what.
    """
    first = slices[0]
    for image in slices[1:]:
        if value(image) != value(first):
            raise ValueError(
                f"{image.place}: differs from {first.name} in {what}: "
                f"{value(image)} and {value(first)}"
            )


def rounded(numbers: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Round to what headers agree in: four decimals."""
    return None if numbers is None else tuple(round(n, 4) + 0.0 for n in numbers)
