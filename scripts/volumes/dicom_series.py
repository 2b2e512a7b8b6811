"""A folder of DICOM files to one CT volume in HU, refused where that would need guessing.

Order and geometry come from ImagePositionPatient and ImageOrientationPatient alone (DICOM PS3.3,
C.7.6.2.1.1), never from file names or InstanceNumber, which run against the positions in many
archives. Nothing that names the patient is kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import SimpleITK as sitk
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.misc import is_dicom

from scripts.volumes.geometry import set_affine
from scripts.volumes.slice_stack import order_of, stack_affine

TAGS = [
    "BitsAllocated",
    "Columns",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "Modality",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PixelData",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "Rows",
    "SamplesPerPixel",
    "SeriesInstanceUID",
]
# What every slice of a volume must have, and have alike, and why there is no going on without.
NEEDED = {
    "ImagePositionPatient": "slices could not be put in order",
    "ImageOrientationPatient": "slices could not be placed",
    "PixelSpacing": "sizes in mm would be made up",
    "RescaleSlope": "stored values would pass for HU",
    "RescaleIntercept": "stored values would pass for HU",
    "Rows": "it is no image",
    "Columns": "it is no image",
}
_DECIMALS = 4  # headers of one series may differ in later digits
_NAMED = 5  # files named in an error


@dataclass(frozen=True)
class SliceFile:
    """One DICOM file and those of its entries that :data:`TAGS` lists, without the pixels."""

    path: Path
    header: pydicom.Dataset

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """Return an entry's values as numbers, rounded so that one series has one value.

        Raises:
            ValueError: with the file's name, when the entry is missing or no number.
        """
        value = self.header.get(keyword)
        several = value if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
        try:
            return tuple(round(float(v), _DECIMALS) for v in several)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path}: {keyword} must be there and numbers, got {value!r}; "
                f"without it {NEEDED.get(keyword, 'the file cannot be read')}"
            ) from error


def read_series(folder: str | Path, *, series_uid: str | None = None) -> sitk.Image:
    """Read the CT series that a folder directly holds.

    Args:
        folder: with DICOM files of any name; other files, and DICOM files of another modality than
            CT, are skipped.
        series_uid: which series; needed when there are several.

    Returns:
        3D image in HU (int16 where it fits), slices ascending along their normal.

    Raises:
        ValueError: naming folder and files: no CT, several series or not the one asked for, missing
            entries (rescale, positions, spacing), slices that differ in size, orientation, spacing
            or rescale, missing, doubled, unevenly spaced or tilted slices, files cut short.
    """
    place = Path(folder)
    slices = _choose(place, list_series(place), series_uid)
    for keyword, harm in NEEDED.items():
        lacking = [s.path for s in slices if s.header.get(keyword) is None]
        if lacking:
            told = _names(lacking)
            raise ValueError(f"{place}: {keyword} is missing in {told}; without it {harm}")
        if keyword != "ImagePositionPatient":
            _check_alike(place, slices, keyword)
    for each in slices:
        _check_single_frame(each)
        _check_pixel_bytes(each)
    return _read_sorted(place, slices)


def slice_paths(folder: str | Path, *, series_uid: str | None = None) -> list[Path]:
    """Return the files of a series in the order of :func:`read_series`' slices.

    Raises:
        ValueError: as :func:`read_series`, as far as the headers tell.
    """
    place = Path(folder)
    slices = _choose(place, list_series(place), series_uid)
    positions = [each.numbers("ImagePositionPatient") for each in slices]
    order, _ = order_of(positions, slices[0].numbers("ImageOrientationPatient"))
    return [slices[i].path for i in order]


def list_series(folder: Path) -> dict[str, list[SliceFile]]:
    """Return the CT files a folder directly holds, by SeriesInstanceUID.

    Raises:
        ValueError: when there is none, saying what there is; for a file that cannot be read.
    """
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and is_dicom(path)]
    series: dict[str, list[SliceFile]] = defaultdict(list)
    others: Counter[str] = Counter()
    for path in files:
        try:
            header = pydicom.dcmread(path, specific_tags=TAGS, defer_size=1024)
        except (InvalidDicomError, EOFError, OSError, ValueError, AttributeError) as error:
            raise ValueError(f"{path}: damaged DICOM file: {error}") from error
        if header.get("Modality") == "CT":
            series[str(header.get("SeriesInstanceUID", ""))].append(SliceFile(path, header))
        else:
            others[str(header.get("Modality", "none"))] += 1
    if not series:
        told = ", ".join(f"{n} of modality {name}" for name, n in others.items())
        folders = sum(path.is_dir() for path in folder.iterdir())
        raise ValueError(
            f"{folder}: no DICOM CT files directly in this folder; there are "
            f"{told or 'no DICOM files'} and {folders} folders"
        )
    return dict(series)


def _choose(
    folder: Path, series: dict[str, list[SliceFile]], series_uid: str | None
) -> list[SliceFile]:
    """Return the files of the series asked for, or of the only one."""
    listing = "".join(f"\n  {uid}: {len(files)} files" for uid, files in sorted(series.items()))
    if series_uid is not None:
        if series_uid not in series:
            raise ValueError(f"{folder}: series_uid {series_uid} is not among its series:{listing}")
        return series[series_uid]
    if len(series) > 1:
        raise ValueError(
            f"{folder}: holds {len(series)} CT series; give series_uid, one of:{listing}"
        )
    return next(iter(series.values()))


def _check_alike(folder: Path, slices: Sequence[SliceFile], keyword: str) -> None:
    """Refuse slices that differ in an entry, naming those of the smaller groups."""
    groups: dict[tuple[float, ...], list[Path]] = defaultdict(list)
    for each in slices:
        groups[each.numbers(keyword)].append(each.path)
    if len(groups) > 1:
        usual = max(groups, key=lambda value: len(groups[value]))
        odd = {value: paths for value, paths in groups.items() if value != usual}
        told = "; ".join(f"{value} in {_names(paths)}" for value, paths in odd.items())
        raise ValueError(
            f"{folder}: {keyword} must be the same in every slice: {usual} in most, but {told}"
        )


def _names(paths: Sequence[Path]) -> str:
    """Name the first few files of a list."""
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(path.name for path in paths[:_NAMED]) + more


def _check_single_frame(slice_file: SliceFile) -> None:
    """Refuse enhanced (multi-frame), colour and inverted images."""
    header = slice_file.header
    for keyword, wanted in (
        ("NumberOfFrames", 1),
        ("SamplesPerPixel", 1),
        ("PhotometricInterpretation", "MONOCHROME2"),
    ):
        found = header.get(keyword)
        if found not in (None, "", wanted):
            raise ValueError(
                f"{slice_file.path}: {keyword} must be {wanted} (one grey slice a file), "
                f"got {found}"
            )


def _check_pixel_bytes(slice_file: SliceFile) -> None:
    """Refuse a file without pixels, or with fewer bytes of them than its header asks for."""
    element: Any = slice_file.header.get_item("PixelData")
    if element is None:
        raise ValueError(f"{slice_file.path}: has no pixel data")
    syntax = slice_file.header.file_meta.get("TransferSyntaxUID")
    if syntax is None or syntax.is_compressed:
        return  # the decoder finds out
    rows, columns = slice_file.numbers("Rows"), slice_file.numbers("Columns")
    wanted = int(rows[0] * columns[0] * slice_file.numbers("BitsAllocated")[0]) // 8
    found = len(element.value or b"")
    if isinstance(element, RawDataElement) and element.value is None:  # left on the disk
        found = min(element.length, slice_file.path.stat().st_size - element.value_tell)
    if found < wanted:
        raise ValueError(
            f"{slice_file.path}: cut short: {wanted} bytes of pixels asked for, {found} found; "
            "copy or download it again"
        )


def _read_sorted(folder: Path, slices: Sequence[SliceFile]) -> sitk.Image:
    """Sort slices along their normal and read them as one volume."""
    positions = [s.header.ImagePositionPatient for s in slices]
    orientation = slices[0].header.ImageOrientationPatient
    try:
        order, _ = order_of(positions, orientation)
        affine = stack_affine(
            [positions[i] for i in order],
            orientation,
            [float(v) for v in slices[0].header.PixelSpacing],
            names=[slices[i].path.name for i in order],
        )
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(slices[i].path) for i in order])
    try:
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"{folder}: SimpleITK cannot read the pixels: {reason}") from error
    return set_affine(_narrowed(image), affine)


def _narrowed(image: sitk.Image) -> sitk.Image:
    """Give whole numbers that fit 16 bits, half the memory; ITK makes 32 of stored 16."""
    if image.GetPixelID() not in (sitk.sitkInt32, sitk.sitkUInt16, sitk.sitkUInt32):
        return image
    extremes = sitk.MinimumMaximumImageFilter()
    extremes.Execute(image)
    fits = extremes.GetMinimum() >= -32768 and extremes.GetMaximum() <= 32767
    return sitk.Cast(image, sitk.sitkInt16) if fits else image
