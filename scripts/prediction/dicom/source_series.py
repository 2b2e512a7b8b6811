"""Headers of the DICOM source, made fit for objects that are derived from them.

What a DICOM SEG or RTSTRUCT has to take over from its source: the patient and the study, which
instances there are and where they lie. Entries that the standard lets be empty are emptied where
the source lacks them or has them in a form that nobody could read; one that it does not is refused.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pydicom.valuerep import DA, DS, TM

from scripts.prediction.result import Prediction
from scripts.volumes.dicom_slice import SliceFile
from scripts.volumes.geometry import index_to_world, spacing_of
from scripts.volumes.slice_stack import SAME_PLACE_VOXELS

logger = logging.getLogger(__name__)

# Type 1: without a value, references or positions would have to be made up.
REQUIRED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Rows",
    "Columns",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
)
# Type 2: present, empty where unknown.
EMPTY_WHERE_UNKNOWN = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
ALIKE = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID")
SEXES = ("M", "F", "O", "")
UTF_8 = "ISO_IR 192"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom and highdicom from quoting a study's names and dates in warnings.

    What they would warn of is taken over as the source has it, or emptied with a word that quotes
    nothing: warnings end in logs and records that are nobody's place for a name.
    """
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def read_source(prediction: Prediction) -> list[Dataset]:
    """Return the headers of a prediction's DICOM source, fit for objects derived from it.

    Returns:
        One data set per slice of the mask, in the mask's order, without pixels. Orientation and
        pixel spacing are the first slice's in all; a series without a frame of reference gets a UID
        made from its own, the same each time. Text is in UTF-8, whatever it was in.

    Raises:
        ValueError: naming the file: a source that is not DICOM, a required entry missing, slices
            of several patients, studies or series, an instance that is there twice, or slices that
            do not lie where the prediction's affine says, so that the mask would be misplaced.
    """
    if not prediction.dicom_slices:
        raise ValueError(
            f"prediction: {prediction.study} was not read from DICOM files, so that there is no "
            "study that a DICOM object could belong to; its mask.nii.gz holds the same"
        )
    images = [_header_of(each) for each in prediction.dicom_slices]
    _check_one_series(images, prediction.dicom_slices)
    _check_places(images, prediction)
    step = float(prediction.spacing_mm[2])
    for image in images:
        _fit(image, images[0], step)
    return images


def _header_of(each: SliceFile) -> Dataset:
    """Copy a slice's header; refuse it where a required entry is missing."""
    header: Dataset = deepcopy(each.header)
    missing = [keyword for keyword in REQUIRED if header.get(keyword) in (None, "")]
    if missing:
        raise ValueError(
            f"{each.place}: {', '.join(missing)} missing; DICOM objects made from it must carry it"
        )
    return header


def _check_one_series(images: Sequence[Dataset], slices: Sequence[SliceFile]) -> None:
    """Refuse a mixture, and references that would be ambiguous."""
    for keyword in ALIKE:
        for image, each in zip(images, slices, strict=True):
            if image.get(keyword) != images[0].get(keyword):
                raise ValueError(
                    f"{each.place}: its {keyword} is not that of {slices[0].name}; the slices of "
                    "one prediction must be of one patient and series"
                )
    seen: dict[str, SliceFile] = {}
    for image, each in zip(images, slices, strict=True):
        if (twin := seen.setdefault(str(image.SOPInstanceUID), each)) is not each:
            raise ValueError(
                f"{each.place}: has the SOPInstanceUID of {twin.name}; references to it would be "
                "ambiguous"
            )


def _check_places(images: Sequence[Dataset], prediction: Prediction) -> None:
    """Refuse a prediction whose voxels are not the files' pixels."""
    _, rows, columns = prediction.mask.shape
    allowed = SAME_PLACE_VOXELS * float(spacing_of(prediction.affine).min())
    corners = np.array([[0, 0], [columns - 1, 0], [0, rows - 1]], float)
    for k, (image, each) in enumerate(zip(images, prediction.dicom_slices, strict=True)):
        if (image.Rows, image.Columns) != (rows, columns):
            raise ValueError(
                f"{each.place}: has {image.Rows} x {image.Columns} pixels, the mask "
                f"{rows} x {columns}"
            )
        axes = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        steps = axes * np.array(image.PixelSpacing, float)[::-1, None]
        theirs = np.array(image.ImagePositionPatient, float) + corners @ steps
        ours = index_to_world(np.c_[corners, np.full(3, k)], prediction.affine)
        apart = float(np.linalg.norm(theirs - ours, axis=1).max())
        if apart > allowed:
            raise ValueError(
                f"{each.place}: lies up to {apart:.3f} mm from slice {k} of the mask; dicom_slices "
                "must be in the order of the mask's slices, and the mask in the source's own "
                "geometry"
            )


def _fit(image: Dataset, first: Dataset, step_mm: float) -> None:
    """Complete a header, in place."""
    _to_unicode(image)
    for keyword in EMPTY_WHERE_UNKNOWN:
        if image.get(keyword) is None:
            setattr(image, keyword, "")
    for keyword, reads in (
        ("PatientBirthDate", DA),
        ("StudyDate", DA),
        ("StudyTime", TM),
        ("PatientSex", _sex),
    ):
        try:
            reads(image.get(keyword))
        except ValueError:
            if image is first:
                logger.warning("%s of the source is not valid DICOM; left empty", keyword)
            setattr(image, keyword, "")
    if image.get("FrameOfReferenceUID") in (None, ""):
        if image is first:
            logger.warning("the source has no FrameOfReferenceUID; one made from its series' UID")
        image.FrameOfReferenceUID = generate_uid(
            entropy_srcs=[str(image.SeriesInstanceUID), "frame of reference"]
        )
    if not image.get("SliceThickness"):
        image.SliceThickness = DS(step_mm, auto_format=True)
    # the reader allows for other digits from slice to slice, highdicom does not
    for keyword in ("ImageOrientationPatient", "PixelSpacing"):
        setattr(image, keyword, [DS(float(v), auto_format=True) for v in first[keyword].value])


def _to_unicode(image: Dataset) -> None:
    """Change a header's character set, in place; highdicom does not know all that DICOM has."""
    image.decode()
    for element in image.iterall():
        if element.VR == "PN":  # keeps the bytes it was read from
            several = element.VM > 1
            element.value = [str(v) for v in element.value] if several else str(element.value)
    image.SpecificCharacterSet = UTF_8


def _sex(value: str) -> None:
    if value not in SEXES:
        raise ValueError(f"PatientSex: must be M, F, O or empty, got {value!r}")
