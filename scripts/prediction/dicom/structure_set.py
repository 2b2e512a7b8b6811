"""A prediction as a DICOM RT Structure Set (RTSTRUCT), for planning systems without SEG support.

Closed planar contours on the slices of the source; holes are cut out through a keyhole (see
:mod:`scripts.prediction.dicom.contours`). Contours cut corners of voxels; only the SEG is exact.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid
from scipy import ndimage

from scripts.datasets.segment_colours import rgb_of
from scripts.prediction.dicom.algorithm import Algorithm
from scripts.prediction.dicom.content import DescribedSegment, DicomContent
from scripts.prediction.dicom.contours import closed_contours
from scripts.prediction.dicom.source_series import quiet
from scripts.prediction.result import Prediction
from scripts.prediction.writing.limits import MOST_CONTOURS, check_limit
from scripts.storage.files import atomic_path
from scripts.volumes.dicom.slice import SliceFile
from scripts.volumes.geometry import Floats

SERIES_NUMBER = 9002
# SOP class UID that the standard requires in references to a study.
DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
# RTROIInterpretedType has no term for lesions
ORGANS = (codes.SCT.AnatomicalStructure, codes.SCT.Tissue)


def write_structure_set(content: DicomContent, path: Path) -> None:
    """Write a prediction as RTSTRUCT, whole or not at all.

    Patient, study, frame of reference and references are as in
    :func:`~scripts.prediction.dicom.segmentation_object.write_segmentation`. A segment that was not
    found is a structure without contours. The approval status is UNAPPROVED.

    Args:
        content: of a prediction on a DICOM source.
        path: the file.

    Raises:
        ValueError: as ``write_segmentation``.
    """
    with quiet():
        structures = _structure_set(content)
        with atomic_path(path) as file:
            structures.save_as(file, enforce_file_format=True)


def _structure_set(content: DicomContent) -> Dataset:
    """Make the object."""
    prediction, segments, algorithm = content.prediction, content.segments, content.algorithm
    source = content.source
    structures = _empty_object(source[0], content)
    frame = source[0].FrameOfReferenceUID
    references = [
        _image_reference(image, each)
        for image, each in zip(source, prediction.dicom_slices, strict=True)
    ]
    structures.ReferencedFrameOfReferenceSequence = [_frame_reference(source[0], references)]
    structures.StructureSetROISequence = [
        _structure(segment, frame, algorithm) for segment in segments
    ]
    mask = prediction.mask_on_slices()
    boxes = dict(enumerate(ndimage.find_objects(mask, len(segments)), start=1))
    contours: list[Dataset] = []
    count = 0
    for segment in segments:
        contours.append(_contours(prediction, mask, segment, boxes[segment.number], references))
        count += len(contours[-1].get("ContourSequence", ()))
        check_limit("outlines", count, MOST_CONTOURS)
    structures.ROIContourSequence = contours
    structures.RTROIObservationsSequence = [_observation(segment) for segment in segments]
    return structures


def _empty_object(source: Dataset, content: DicomContent) -> Dataset:
    """Make an object without contours: patient, study, new series, equipment and label.

    Implicit VR, as contours of more than 64 kB do not fit explicit VR (PS3.5, 7.1.2).
    """
    now, algorithm = datetime.datetime.now(), content.algorithm
    structures = highdicom.SOPClass(
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=generate_uid(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        sop_class_uid=RTStructureSetStorage,
        instance_number=1,
        modality="RTSTRUCT",
        **algorithm.equipment,
        transfer_syntax_uid=ImplicitVRLittleEndian,
        patient_id=source.PatientID,
        patient_name=source.PatientName,
        patient_birth_date=source.PatientBirthDate,
        patient_sex=source.PatientSex,
        study_id=source.StudyID,
        accession_number=source.AccessionNumber,
        study_date=source.StudyDate,
        study_time=source.StudyTime,
        referring_physician_name=source.ReferringPhysicianName,
        series_description=algorithm.series_description("RTSTRUCT"),
        specific_character_set=source.SpecificCharacterSet,
    )
    structures.copy_patient_and_study_information(source)
    structures.OperatorsName = ""  # there is no human author
    structures.FrameOfReferenceUID = source.FrameOfReferenceUID
    structures.PositionReferenceIndicator = source.PositionReferenceIndicator
    structures.StructureSetLabel = "SEGMENTATION"
    structures.StructureSetDescription = (
        f"{content.notice}. {algorithm.name}, version {algorithm.version}"
    )
    structures.StructureSetDate = now.strftime("%Y%m%d")
    structures.StructureSetTime = now.strftime("%H%M%S")
    structures.ApprovalStatus = "UNAPPROVED"
    result: Dataset = structures
    return result


def _frame_reference(source: Dataset, references: Sequence[Dataset]) -> Dataset:
    """Return the references to frame of reference, study, series and instances."""
    series = Dataset()
    series.SeriesInstanceUID = source.SeriesInstanceUID
    series.ContourImageSequence = list(references)
    study = Dataset()
    study.ReferencedSOPClassUID = DETACHED_STUDY
    study.ReferencedSOPInstanceUID = source.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = source.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _image_reference(image: Dataset, each: SliceFile) -> Dataset:
    reference = Dataset()
    if each.frame:
        reference.ReferencedFrameNumber = each.frame
    reference.ReferencedSOPClassUID = image.SOPClassUID
    reference.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return reference


def _structure(segment: DescribedSegment, frame: str, algorithm: Algorithm) -> Dataset:
    structure = Dataset()
    structure.ROINumber = segment.number
    structure.ReferencedFrameOfReferenceUID = frame
    structure.ROIName = segment.label
    structure.ROIGenerationAlgorithm = algorithm.type
    return structure


def _contours(
    prediction: Prediction,
    mask: NDArray[Any],
    segment: DescribedSegment,
    box: tuple[slice, ...] | None,
    references: Sequence[Dataset],
) -> Dataset:
    """Return the contours of a segment, slice by slice; box: None for one without a voxel."""
    contours = []
    for k in range(box[0].start, box[0].stop) if box else ():
        for polygon in closed_contours(mask[k] == segment.number):
            points = prediction.on_slice(k, polygon)
            contour = Dataset()
            contour.ContourImageSequence = [references[k]]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.add(_contour_data(points))
            contours.append(contour)
        check_limit("outlines", len(contours), MOST_CONTOURS)
    structure = Dataset()
    structure.ReferencedROINumber = segment.number
    structure.ROIDisplayColor = list(rgb_of(segment.colour))
    if contours:
        structure.ContourSequence = contours
    return structure


def _contour_data(points: Floats) -> DataElement:
    """Return the coordinates as one text, as pydicom's list of numbers takes 30 times as much."""
    text = "\\".join(f"{value:.4f}" for value in points.ravel().tolist())
    return DataElement("ContourData", "DS", text, already_converted=True)


def _observation(segment: DescribedSegment) -> Dataset:
    code = segment.meaning
    observation = Dataset()
    observation.ObservationNumber = segment.number
    observation.ReferencedROINumber = segment.number
    observation.RTROIInterpretedType = "ORGAN" if code.category in ORGANS else ""
    observation.ROIInterpreter = ""  # not reviewed
    identification = CodedConcept.from_code(code.type)
    observation.RTROIIdentificationCodeSequence = [identification]
    return observation
