"""A patient's CT in HU and its masks, matched slice by slice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.ircadb.patients import natural_key
from scripts.storage.archive import ArchiveReader, File
from scripts.volumes.dicom_pixels import read_volume_of, stored_values
from scripts.volumes.dicom_series import Series, check_alike, check_images
from scripts.volumes.dicom_slice import SliceFile, read_slice
from scripts.volumes.slice_stack import SAME_PLACE_VOXELS, Floats

AIR_HU = -300  # every CT of an abdomen holds air: a minimum above this is no HU
MASK_VALUES = ({0, 255}, {0, 1})


@dataclass(frozen=True)
class CT:
    """A CT volume in the order of its slices along their normal.

    Args:
        hu: int16 (K, J, I).
        affine: (4, 4), 0-based index (i, j, k) to LPS mm.
        slices: one for each k, without pixels.
        notes: what had to be assumed.
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

    Slices are sorted by position along their normal; where no image has a position, by name
    (image_2 before image_10), and a note says so.

    Raises:
        ValueError: naming the file: not DICOM, not CT, of several series or sizes, without
            spacing; slices missing, doubled, uneven or tilted; values that are no HU.
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
            "no image has a position: sorted by name and taken to run from the feet to the head, "
            "rows to the left, columns to the back"
        )
    hu, note = _hounsfield(series)
    without_pixels = tuple(replace(each, content=None) for each in series.slices)
    return CT(hu, series.affine_lps, without_pixels, (*notes, *note))


def read_mask(reader: ArchiveReader, files: Iterable[File], ct: CT) -> NDArray[np.bool_]:
    """Read the mask of one structure, matched to the CT slice by slice.

    Returns:
        bool (K, J, I), voxel by voxel on the CT's.

    Raises:
        ValueError: naming the file: not DICOM, another size or geometry than the CT, slices
            missing, doubled or elsewhere; values other than 0 and 255 (or 0 and 1).
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
    """Read the images of one folder, in no order; all of one size and orientation.

    Raises:
        ValueError: naming the file that is no DICOM image or differs from the others; or when
            there is none.
    """
    slices = []
    for file in files:
        each = read_slice(reader, file.location, keep=True)
        if each is None:
            raise ValueError(f"{file.location}: not a readable DICOM file")
        slices.append(each)
    if not slices:
        raise ValueError("images: there are none")
    for each in slices:
        placed, turned = _has_position(each), each.numbers("ImageOrientationPatient") is not None
        if placed != turned:
            lacking = "ImageOrientationPatient" if placed else "ImagePositionPatient"
            raise ValueError(
                f"{each.place}: {lacking} missing; one without the other places no voxel"
            )
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
    modality = each.header.get("Modality")
    if modality != "CT":
        raise ValueError(f"{each.place}: must be a CT image, its modality is {modality!r}")
    if "LOCALIZER" in (each.header.get("ImageType") or ()):
        raise ValueError(f"{each.place}: is a scout view (ImageType LOCALIZER), not a slice")
    if each.numbers("PixelSpacing") is None:
        raise ValueError(f"{each.place}: PixelSpacing missing; sizes in mm would be made up")


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
    raise ValueError(f"{first.place}: neither positions nor a distance between slices")


def _hounsfield(series: Series) -> tuple[NDArray[np.int16], list[str]]:
    """Read whole HU, and say what had to be assumed."""
    values: NDArray[Any] = read_volume_of(series).hu
    if values.dtype.kind == "f":
        np.rint(values, out=values)
    limits = np.iinfo(np.int16)
    if values.min() < limits.min or values.max() > limits.max:
        k = int(np.abs(values).max(axis=(1, 2)).argmax())
        highest = float(np.abs(values[k]).max())
        raise ValueError(f"{series.slices[k].place}: values beyond 16 bits are no HU: {highest:g}")
    return _checked(values.astype(np.int16), series)


def _checked(hu: NDArray[np.int16], series: Series) -> tuple[NDArray[np.int16], list[str]]:
    first, lowest = series.slices[0], float(hu.min())
    scaled = _has_intercept(first)
    if lowest > AIR_HU:
        missing = "" if scaled else f" and {first.place} has no RescaleIntercept"
        raise ValueError(
            f"values: cannot be HU: the lowest is {lowest:g}, where air has -1000{missing}; take "
            "the series as the scanner wrote it"
        )
    if scaled:
        return hu, []
    return hu, [
        f"the images have no RescaleIntercept; their values reach down to {lowest:g} and are "
        "taken to be HU"
    ]


# --- masks against the CT -------------------------------------------------------------------------


def _match(slices: list[SliceFile], ct: CT) -> list[SliceFile]:
    """Return the mask's images in the order of the CT's slices."""
    first, reference = slices[0], ct.slices[0]
    if first.shape != reference.shape:
        raise ValueError(
            f"{first.place}: its size {first.shape} differs from the CT's {reference.shape}"
        )
    placed = _has_position(first)
    if placed != _has_position(reference):
        have, lack = ("it", "the CT") if placed else ("the CT", "it")
        raise ValueError(
            f"{first.place}: {have} has positions and {lack} has none; they cannot be matched"
        )
    for what in ("ImageOrientationPatient", "PixelSpacing"):
        mine, theirs = first.numbers(what), reference.numbers(what)
        if mine is not None and theirs is not None and not np.allclose(mine, theirs, atol=1e-3):
            raise ValueError(f"{first.place}: {what} {mine} differs from the CT's {theirs}")
    return _match_positions(slices, ct) if placed else _match_names(slices, ct)


def _match_names(slices: list[SliceFile], ct: CT) -> list[SliceFile]:
    ordered = sorted(slices, key=lambda image: natural_key(image.name))
    mine, theirs = [s.name for s in ordered], [s.name for s in ct.slices]
    if mine != theirs:
        odd = sorted(set(mine) ^ set(theirs), key=natural_key)[:3] or mine[:3]
        raise ValueError(
            f"{slices[0].place}: without positions, images and masks must have the same names; "
            f"differing: {', '.join(odd)}"
        )
    return ordered


def _match_positions(slices: list[SliceFile], ct: CT) -> list[SliceFile]:
    near = SAME_PLACE_VOXELS * float(np.linalg.norm(ct.affine[:3, :3], axis=0).min())
    places = np.array([s.numbers("ImagePositionPatient") for s in ct.slices])
    found: dict[int, SliceFile] = {}
    for image in slices:
        apart = np.linalg.norm(places - np.array(image.numbers("ImagePositionPatient")), axis=1)
        k = int(apart.argmin())
        if apart[k] > near:
            raise ValueError(
                f"{image.place}: lies on no slice of the CT, the nearest ({ct.slices[k].name}) "
                f"{apart[k]:.3f} mm away"
            )
        if k in found:
            raise ValueError(f"{image.place}: lies in one place with {found[k].name}; keep one")
        found[k] = image
    if len(found) < len(places):
        lacking = [ct.slices[k].name for k in range(len(places)) if k not in found]
        told = ", ".join(lacking[:3]) + (" ..." if len(lacking) > 3 else "")
        raise ValueError(
            f"{slices[0].place}: {len(lacking)} of {len(places)} slices of the CT have no mask "
            f"image: {told}"
        )
    return [found[k] for k in range(len(places))]
