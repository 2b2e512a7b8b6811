"""Headers of the DICOM source, completed for objects that are derived from it.

A DICOM SEG or RTSTRUCT takes patient, study, instances and positions from its source. Elements that
may be empty (type 2) are set empty if they are missing or invalid in the source; a missing required
element (type 1) is refused.
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
from scripts.volumes.dicom.slice import SliceFile
from scripts.volumes.geometry import spacing_of
from scripts.volumes.slice_stack import place_tolerance_mm

logger = logging.getLogger(__name__)

# Type 1: without a value, references or positions would have to be invented.
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
# Type 2: present, empty if unknown.
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
NO_FRAME = (
    "the source has no FrameOfReferenceUID; that of the DICOM objects is derived from its series"
)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings of pydicom and highdicom, which quote names and dates of a study.

    Warnings are stored in logs and records, which must not contain patient data. The values in
    question are copied unchanged, or set empty with a log message that does not quote them.
    """
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def read_source(prediction: Prediction) -> list[Dataset]:
    """Return the headers of a prediction's DICOM source, completed for derived objects.

    Returns:
        One data set per slice of the mask, in the same order, without pixels. All have orientation
        and pixel spacing of the first slice; a series without a frame of reference gets a UID
        derived from its own, the same each time. Text is converted to UTF-8.

    Raises:
        ValueError: naming the file: for a source that is not DICOM, a missing required element,
            slices of several patients, studies or series, a duplicate instance, or slices whose
            positions differ from the prediction's affine, so that the mask would be misplaced.
    """
    if not prediction.dicom_slices:
        raise ValueError(
            f"prediction: {prediction.study} was not read from DICOM files, so there is no study "
            "for a DICOM object; use its mask.nii.gz instead"
        )
    images = [_header_of(each) for each in prediction.dicom_slices]
    _check_one_series(images, prediction.dicom_slices)
    _check_positions(images, prediction)
    step = float(prediction.spacing_mm[2])
    for image in images:
        _fit(image, images[0], step)
    return images


def frames_of(
    images: Sequence[Dataset], slices: Sequence[SliceFile]
) -> tuple[list[Dataset], list[int]]:
    """Return the source as highdicom takes it: slices, or one multi-frame file.

    Args:
        images: of :func:`read_source`; they are not changed.
        slices: of the prediction.

    Returns:
        The headers, and for each of the source's frames the slice of the mask.

    Raises:
        ValueError: for slices of several multi-frame files.
    """
    if slices[0].frame_of is None:
        return list(images), list(range(len(images)))
    files = {str(image.SOPInstanceUID) for image in images}
    if len(files) > 1:
        raise ValueError(
            f"{slices[0].place}: the series has {len(files)} multi-frame files, a segmentation "
            "refers to frames of one"
        )
    order = sorted(range(len(slices)), key=lambda k: slices[k].frame)
    return [_multi_frame([images[k] for k in order])], order


def _multi_frame(images: Sequence[Dataset]) -> Dataset:
    """Make one header of those of all frames of a file, with the groups that highdicom reads."""
    header, shared = deepcopy(images[0]), Dataset()
    shared.PixelMeasuresSequence = [_items(header, "PixelSpacing", "SliceThickness")]
    shared.PlaneOrientationSequence = [_items(header, "ImageOrientationPatient")]
    header.SharedFunctionalGroupsSequence = [shared]
    header.PerFrameFunctionalGroupsSequence = []
    for image in images:
        item = Dataset()
        item.PlanePositionSequence = [_items(image, "ImagePositionPatient")]
        header.PerFrameFunctionalGroupsSequence.append(item)
    header.NumberOfFrames = len(images)
    return header


def _items(header: Dataset, *keywords: str) -> Dataset:
    item = Dataset()
    for keyword in keywords:
        item[keyword] = header[keyword]
    return item


def _header_of(each: SliceFile) -> Dataset:
    """Copy a slice's header; refuse one without a required element."""
    try:
        header: Dataset = deepcopy(each.header)
        header.decode()  # reads every sequence
    except RecursionError as error:
        raise ValueError(f"{each.place}: its header nests sequences too deep") from error
    missing = [keyword for keyword in REQUIRED if header.get(keyword) in (None, "")]
    if missing:
        raise ValueError(
            f"{each.place}: {', '.join(missing)} missing; a derived DICOM object requires it"
        )
    return header


def _check_one_series(images: Sequence[Dataset], slices: Sequence[SliceFile]) -> None:
    """Refuse slices of several series, and duplicate instances."""
    for keyword in ALIKE:
        for image, each in zip(images, slices, strict=True):
            if (image.get(keyword) or None) != (images[0].get(keyword) or None):
                raise ValueError(
                    f"{each.place}: its {keyword} differs from that of {slices[0].name}; the "
                    "slices of a prediction must be of one patient and series"
                )
    seen: dict[tuple[str, int], SliceFile] = {}
    for image, each in zip(images, slices, strict=True):
        if (twin := seen.setdefault((str(image.SOPInstanceUID), each.frame), each)) is not each:
            raise ValueError(
                f"{each.place}: has the SOPInstanceUID of {twin.name}; references to it would be "
                "ambiguous"
            )


def _check_positions(images: Sequence[Dataset], prediction: Prediction) -> None:
    """Refuse a prediction whose voxels do not coincide with the pixels of the files."""
    stack = prediction.stack
    rows, columns = prediction.mask.shape[1:] if stack is None else stack.shape
    allowed = place_tolerance_mm(*spacing_of(prediction.affine).tolist())
    corners = np.array([[0, 0], [columns - 1, 0], [0, rows - 1]], float)
    for k, (image, each) in enumerate(zip(images, prediction.dicom_slices, strict=True)):
        if (image.Rows, image.Columns) != (rows, columns):
            raise ValueError(
                f"{each.place}: has {image.Rows} x {image.Columns} pixels, the mask "
                f"{rows} x {columns}"
            )
        axes = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        steps = axes * np.array(image.PixelSpacing, float)[::-1, None]
        in_file = np.array(image.ImagePositionPatient, float) + corners @ steps
        in_mask = prediction.on_slice(k, corners)
        apart = float(np.linalg.norm(in_file - in_mask, axis=1).max())
        if apart > allowed:
            raise ValueError(
                f"{each.place}: lies up to {apart:.3f} mm from slice {k} of the mask; dicom_slices "
                "must be in the order of the mask's slices, and the mask in the geometry of the "
                "source"
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
            logger.warning(NO_FRAME)
        image.FrameOfReferenceUID = generate_uid(
            entropy_srcs=[str(image.SeriesInstanceUID), "frame of reference"]
        )
    if not image.get("SliceThickness"):
        image.SliceThickness = DS(step_mm, auto_format=True)
    # highdicom requires equal digits in all slices, our reader does not
    for keyword in ("ImageOrientationPatient", "PixelSpacing"):
        setattr(image, keyword, [DS(float(v), auto_format=True) for v in first[keyword].value])


def _to_unicode(image: Dataset) -> None:
    """Convert a header to UTF-8, in place; highdicom does not support every DICOM character set."""
    image.decode()
    for element in image.iterall():
        if element.VR == "PN":  # a PersonName keeps its original bytes
            multiple = element.VM > 1
            element.value = [str(v) for v in element.value] if multiple else str(element.value)
    image.SpecificCharacterSet = UTF_8


def _sex(value: str) -> None:
    if value not in SEXES:
        raise ValueError(f"PatientSex: must be M, F, O or empty, got {value!r}")
