"""Reading of a patient's CT in HU, and of its masks, matched slice by slice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.ircadb.patients import natural_key
from scripts.running.reasons import listed
from scripts.storage.archive import ArchiveReader, File
from scripts.volumes.dicom.kind import modality_of
from scripts.volumes.dicom.pixels import read_volume_of, stored_values
from scripts.volumes.dicom.quantity import check_quantity, notes_on
from scripts.volumes.dicom.series_volume import Series, check_alike, check_images
from scripts.volumes.dicom.slice import SliceFile, read_slice
from scripts.volumes.hounsfield import why_not_hounsfield
from scripts.volumes.slice_stack import SAME_PLACE_VOXELS, Floats

MASK_VALUES = ({0, 255}, {0, 1})


@dataclass(frozen=True)
class CT:
    """A CT volume in the order of its slices along their normal.

    Args:
        hu: int16 (K, J, I).
        affine: (4, 4), 0-based index (i, j, k) to LPS mm.
        slices: one for each k, without pixels.
        notes: assumptions made.
    """

    hu: NDArray[np.int16]
    affine: Floats
    slices: tuple[SliceFile, ...]
    notes: tuple[str, ...]

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in mL."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000


def read_ct(reader: ArchiveReader, files: Iterable[File]) -> CT:
    """Read and check the images of a CT.

    Slices are sorted by position along their normal; if no image has a position, by name (image_2
    before image_10), with a note.

    Raises:
        ValueError: naming the file: not DICOM, not CT, of several series or sizes, without
            spacing; missing, duplicate, unevenly spaced or tilted slices; values that are not HU.
        OSError: for a file that cannot be read.
    """
    slices = _read_slices(reader, files)
    place = _folder_of(slices)
    for each in slices:
        _check_is_ct(each)
    check_alike(slices, "SeriesInstanceUID", place, lambda s: s.header.get("SeriesInstanceUID"))
    check_alike(slices, "presence of RescaleIntercept", place, _has_intercept)
    notes: list[str] = []
    if _has_position(slices[0]):
        series = Series.of(slices, place)
    else:
        check_alike(slices, "PixelSpacing", place)
        series = _sorted_by_name(slices, place)
        notes.append(
            "no image has a position: sorted by name and assumed to run from the feet to the head, "
            "rows to the left, columns to the back"
        )
    hu, note = _hounsfield(series)
    without_pixels = tuple(replace(each, content=None) for each in series.slices)
    return CT(hu, series.affine_lps, without_pixels, (*notes, *note, *notes_on(series.slices)))


def read_mask(reader: ArchiveReader, files: Iterable[File], ct: CT) -> NDArray[np.bool_]:
    """Read the mask of one structure, matched to the CT slice by slice.

    Returns:
        bool (K, J, I) on the CT's grid.

    Raises:
        ValueError: naming the file: not DICOM, another size or geometry than the CT; missing,
            duplicate or misplaced slices; values other than 0 and 255 (or 0 and 1).
        OSError: for a file that cannot be read.
    """
    slices = _match(_read_slices(reader, files), ct)
    mask = np.zeros(ct.hu.shape, dtype=bool)
    values: set[int] = set()
    for k, each in enumerate(slices):
        pixels = stored_values(each, reader)
        values |= {int(value) for value in np.unique(pixels)}
        if not any(values <= valid for valid in MASK_VALUES):
            raise ValueError(
                f"{each.place}: a mask must hold 0 and 255 only, or 0 and 1, got {sorted(values)}"
            )
        mask[k] = pixels != 0
    return mask


def _read_slices(reader: ArchiveReader, files: Iterable[File]) -> list[SliceFile]:
    """Read the images of one folder, unsorted, all of one size and orientation.

    Raises:
        ValueError: naming a file that is not a DICOM image or differs from the others; for a
            folder without images.
    """
    slices = []
    for file in files:
        each = read_slice(reader, file.location, keep=True)
        if each is None:
            raise ValueError(f"{file.location}: not a readable DICOM file")
        slices.append(each)
    if not slices:
        raise ValueError("images: the folder holds none")
    for each in slices:
        positioned = _has_position(each)
        oriented = each.numbers("ImageOrientationPatient") is not None
        if positioned != oriented:
            lacking = "ImageOrientationPatient" if positioned else "ImagePositionPatient"
            raise ValueError(f"{each.place}: {lacking} missing; a position needs an orientation")
    check_alike(slices, "presence of a position", _folder_of(slices), _has_position)
    check_images(slices, _folder_of(slices))
    return slices


def _folder_of(slices: Sequence[SliceFile]) -> str:
    return slices[0].place.rpartition("/")[0]


def _has_position(each: SliceFile) -> bool:
    return each.numbers("ImagePositionPatient") is not None


def _has_intercept(each: SliceFile) -> bool:
    return each.header.get("RescaleIntercept") is not None


# --- the CT ---------------------------------------------------------------------------------------


def _check_is_ct(each: SliceFile) -> None:
    if modality_of(each.header) != "CT":
        modality = each.header.get("Modality")
        raise ValueError(f"{each.place}: must be a CT image, its modality is {modality!r}")
    check_quantity(each)
    if "LOCALIZER" in (each.header.get("ImageType") or ()):
        raise ValueError(f"{each.place}: is a scout view (ImageType LOCALIZER), not a slice")
    if each.numbers("PixelSpacing") is None:
        raise ValueError(f"{each.place}: PixelSpacing missing; sizes in mm would be unknown")


def _sorted_by_name(slices: Sequence[SliceFile], place: str) -> Series:
    """Order slices that have no position."""
    ordered = sorted(slices, key=lambda each: natural_key(each.name))
    first = ordered[0]
    rows_mm, columns_mm = first.numbers("PixelSpacing") or (0.0, 0.0)
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        distance = first.number(keyword, 0.0)
        if distance > 0:
            affine = np.diag([columns_mm, rows_mm, distance, 1.0])
            return Series(place, tuple(ordered), affine)
    raise ValueError(f"{first.place}: has neither a position nor a distance between slices")


def _hounsfield(series: Series) -> tuple[NDArray[np.int16], list[str]]:
    """Return whole HU, and the assumptions made.

    Raises:
        ValueError: for values that cannot be HU.
    """
    volume = read_volume_of(series)
    values: NDArray[Any] = volume.hu
    if values.dtype.kind == "f":
        np.rint(values, out=values)
    limits = np.iinfo(np.int16)
    if values.min() < limits.min or values.max() > limits.max:
        k = int(np.abs(values).max(axis=(1, 2)).argmax())
        highest = float(np.abs(values[k]).max())
        raise ValueError(f"{series.slices[k].place}: HU must fit into 16 bits, got {highest:g}")
    hu, notes = _checked(values.astype(np.int16), series)
    return hu, [*volume.notes, *notes]


def _checked(hu: NDArray[np.int16], series: Series) -> tuple[NDArray[np.int16], list[str]]:
    """Accept stored values without RescaleIntercept only if they can be HU themselves."""
    first = series.slices[0]
    if _has_intercept(first):
        return hu, []
    if reason := why_not_hounsfield(hu):
        raise ValueError(
            f"values: must be HU, {reason}; and {first.place} has no RescaleIntercept; use the "
            "original series of the scanner"
        )
    return hu, [
        f"the images have no RescaleIntercept; their lowest value is {hu.min():g}, so they are "
        "assumed to be HU"
    ]


# --- masks against the CT -------------------------------------------------------------------------


def _match(slices: list[SliceFile], ct: CT) -> list[SliceFile]:
    """Return the mask's images in the order of the CT's slices."""
    first, reference = slices[0], ct.slices[0]
    if first.shape != reference.shape:
        raise ValueError(
            f"{first.place}: its size {first.shape} differs from the CT's {reference.shape}"
        )
    positioned = _has_position(first)
    if positioned != _has_position(reference):
        have, lack = ("it", "the CT") if positioned else ("the CT", "it")
        raise ValueError(
            f"{first.place}: {have} has positions and {lack} has none; they cannot be matched"
        )
    for keyword in ("ImageOrientationPatient", "PixelSpacing"):
        of_mask, of_ct = first.numbers(keyword), reference.numbers(keyword)
        if of_mask is not None and of_ct is not None and not np.allclose(of_mask, of_ct, atol=1e-3):
            raise ValueError(f"{first.place}: {keyword} {of_mask} differs from the CT's {of_ct}")
    return _match_positions(slices, ct) if positioned else _match_names(slices, ct)


def _match_names(slices: list[SliceFile], ct: CT) -> list[SliceFile]:
    ordered = sorted(slices, key=lambda image: natural_key(image.name))
    of_mask, of_ct = [s.name for s in ordered], [s.name for s in ct.slices]
    if of_mask != of_ct:
        odd = sorted(set(of_mask) ^ set(of_ct), key=natural_key)[:3] or of_mask[:3]
        raise ValueError(
            f"{slices[0].place}: without positions, images and masks must have the same names; "
            f"differing: {', '.join(odd)}"
        )
    return ordered


def _match_positions(slices: list[SliceFile], ct: CT) -> list[SliceFile]:
    tolerance_mm = SAME_PLACE_VOXELS * float(np.linalg.norm(ct.affine[:3, :3], axis=0).min())
    positions = np.array([s.numbers("ImagePositionPatient") for s in ct.slices])
    matched: dict[int, SliceFile] = {}
    for image in slices:
        position = np.array(image.numbers("ImagePositionPatient"))
        distance_mm = np.linalg.norm(positions - position, axis=1)
        k = int(distance_mm.argmin())
        if distance_mm[k] > tolerance_mm:
            raise ValueError(
                f"{image.place}: is on no slice of the CT, the nearest ({ct.slices[k].name}) is "
                f"{distance_mm[k]:.3f} mm away"
            )
        if k in matched:
            raise ValueError(
                f"{image.place}: has the same position as {matched[k].name}; keep one of them"
            )
        matched[k] = image
    if len(matched) < len(positions):
        lacking = [ct.slices[k].name for k in range(len(positions)) if k not in matched]
        raise ValueError(
            f"{slices[0].place}: {len(lacking)} of {len(positions)} slices of the CT have no mask "
            f"image: {listed(lacking, most=3)}"
        )
    return [matched[k] for k in range(len(positions))]
