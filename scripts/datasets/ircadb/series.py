"""A patient's CT in HU and its masks, proved to match slice by slice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.ircadb.images import (
    Slice,
    check_alike,
    numbers_of,
    pixels_of,
    read_slices,
    rounded,
)
from scripts.datasets.ircadb.patients import natural_key
from scripts.storage.archive import ArchiveReader, File
from scripts.volumes.slice_stack import SAME_PLACE_VOXELS, Floats, order_of, stack_affine

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
    slices: tuple[Slice, ...]
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
    slices = read_slices(reader, files)
    for image in slices:
        _check_is_ct(image)
    check_alike(slices, "SeriesInstanceUID", lambda s: s.dataset.get("SeriesInstanceUID"))
    check_alike(slices, "PixelSpacing", lambda s: rounded(s.spacing))
    check_alike(slices, "having RescaleIntercept", _has_intercept)
    notes: list[str] = []
    if slices[0].position is None:
        slices.sort(key=lambda image: natural_key(image.name))
        affine = _assumed_affine(slices[0])
        notes.append(
            "no image has a position: sorted by name and taken to run from the feet to the head, "
            "rows to the left, columns to the back"
        )
    else:
        slices, affine = _sort(slices)
    hu, note = _hounsfield(slices)
    return CT(hu, affine, _withoutpixels_of(slices), (*notes, *note))


def read_mask(reader: ArchiveReader, files: Iterable[File], ct: CT) -> NDArray[np.bool_]:
    """Read the mask of one structure, matched to the CT slice by slice.

    Returns:
        bool (K, J, I), voxel by voxel on the CT's.

    Raises:
        ValueError: naming the file: not DICOM, another size or geometry than the CT, slices
            missing, doubled or elsewhere; values other than 0 and 255 (or 0 and 1).
    """
    slices = _match(read_slices(reader, files), ct)
    mask = np.zeros(ct.hu.shape, dtype=bool)
    values: set[int] = set()
    for k, image in enumerate(slices):
        pixels = pixels_of(image)
        values |= {int(value) for value in np.unique(pixels)}
        if not any(values <= valid for valid in MASK_VALUES):
            raise ValueError(
                f"{image.place}: a mask must hold 0 and 255 only, or 0 and 1, got {sorted(values)}"
            )
        mask[k] = pixels != 0
    return mask


# --- the CT ---------------------------------------------------------------------------------------


def _check_is_ct(image: Slice) -> None:
    modality = image.dataset.get("Modality")
    if modality != "CT":
        raise ValueError(f"{image.place}: must be a CT image, its modality is {modality!r}")
    if "LOCALIZER" in (image.dataset.get("ImageType") or ()):
        raise ValueError(f"{image.place}: is a scout view (ImageType LOCALIZER), not a slice")
    if image.spacing is None:
        raise ValueError(f"{image.place}: PixelSpacing missing; sizes in mm would be made up")


def _withoutpixels_of(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    for image in slices:
        del image.dataset.PixelData
    return tuple(slices)


def _sort(slices: Sequence[Slice]) -> tuple[list[Slice], Floats]:
    orientation, spacing = slices[0].orientation, slices[0].spacing
    order, _ = order_of([s.position for s in slices], orientation)  # type: ignore[arg-type]
    ordered = [slices[i] for i in order]
    affine = stack_affine(
        [s.position for s in ordered],  # type: ignore[arg-type]
        orientation,  # type: ignore[arg-type]
        spacing,  # type: ignore[arg-type]
        names=[s.name for s in ordered],
    )
    return ordered, affine


def _assumed_affine(image: Slice) -> Floats:
    for keyword in ("SpacingBetweenSlices", "SliceThickness"):
        distance = numbers_of(image.dataset, keyword, 1, image.place)
        if distance is not None and distance[0] > 0 and image.spacing is not None:
            return np.diag([image.spacing[1], image.spacing[0], distance[0], 1.0])
    raise ValueError(f"{image.place}: neither positions nor a distance between slices")


def _has_intercept(image: Slice) -> bool:
    return image.dataset.get("RescaleIntercept") is not None


def _hounsfield(slices: Sequence[Slice]) -> tuple[NDArray[np.int16], list[str]]:
    notes = []
    volume = np.empty((len(slices), *slices[0].shape), dtype=np.int16)
    limits = np.iinfo(np.int16)
    lowest = math.inf
    scaled = _has_intercept(slices[0])
    for k, image in enumerate(slices):
        slope = numbers_of(image.dataset, "RescaleSlope", 1, image.place) or (1.0,)
        intercept = numbers_of(image.dataset, "RescaleIntercept", 1, image.place) or (0.0,)
        values = np.rint(pixels_of(image) * slope[0] + intercept[0])
        if values.min() < limits.min or values.max() > limits.max:
            raise ValueError(f"{image.place}: values beyond 16 bits are no HU: {values.max():g}")
        volume[k] = values
        lowest = min(lowest, float(values.min()))
    if lowest > AIR_HU:
        missing = "" if scaled else f" and {slices[0].place} has no RescaleIntercept"
        raise ValueError(
            f"values: cannot be HU: the lowest is {lowest:g}, where air has -1000{missing}; take "
            "the series as the scanner wrote it"
        )
    if not scaled:
        notes.append(
            f"the images have no RescaleIntercept; their values reach down to {lowest:g} and are "
            "taken to be HU"
        )
    return volume, notes


# --- masks against the CT -------------------------------------------------------------------------


def _match(slices: list[Slice], ct: CT) -> list[Slice]:
    """Return the mask's images in the order of the CT's slices."""
    first, reference = slices[0], ct.slices[0]
    if first.shape != reference.shape:
        raise ValueError(
            f"{first.place}: its size {first.shape} differs from the CT's {reference.shape}"
        )
    if (first.position is None) != (reference.position is None):
        have, lack = ("the CT", "it") if first.position is None else ("it", "the CT")
        raise ValueError(
            f"{first.place}: {have} has positions and {lack} has none; they cannot be matched"
        )
    for what, mine, theirs in (
        ("ImageOrientationPatient", first.orientation, reference.orientation),
        ("PixelSpacing", first.spacing, reference.spacing),
    ):
        if mine is not None and theirs is not None and not np.allclose(mine, theirs, atol=1e-3):
            raise ValueError(f"{first.place}: {what} {mine} differs from the CT's {theirs}")
    if first.position is None:
        return _match_names(slices, ct)
    return _match_positions(slices, ct)


def _match_names(slices: list[Slice], ct: CT) -> list[Slice]:
    ordered = sorted(slices, key=lambda image: natural_key(image.name))
    mine, theirs = [s.name for s in ordered], [s.name for s in ct.slices]
    if mine != theirs:
        odd = sorted(set(mine) ^ set(theirs), key=natural_key)[:3] or mine[:3]
        raise ValueError(
            f"{slices[0].place}: without positions, images and masks must have the same names; "
            f"differing: {', '.join(odd)}"
        )
    return ordered


def _match_positions(slices: list[Slice], ct: CT) -> list[Slice]:
    near = SAME_PLACE_VOXELS * float(np.linalg.norm(ct.affine[:3, :3], axis=0).min())
    places = np.array([s.position for s in ct.slices])
    found: dict[int, Slice] = {}
    for image in slices:
        apart = np.linalg.norm(places - np.array(image.position), axis=1)
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
