"""A prediction as a DICOM Segmentation (SEG), which viewers overlay on the source series.

Type BINARY or LABELMAP (see :mod:`scripts.prediction.dicom.segmentation_form`), in the rows,
columns and positions of the source. Frames without a voxel are omitted. If nothing was found, one
empty frame is written, as an object without pixels is not allowed; all instances that were examined
are referenced. A segment that was not found is described, but no frame refers to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom
import numpy as np
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

from scripts.prediction.dicom.algorithm import SOFTWARE, Algorithm
from scripts.prediction.dicom.content import DescribedSegment, DicomContent
from scripts.prediction.dicom.segmentation_form import SegmentationForm
from scripts.prediction.dicom.source_series import frames_of, quiet
from scripts.prediction.result import Segment
from scripts.prediction.writing.limits import MOST_FRAME_BYTES, check_limit
from scripts.storage.files import atomic_path

SERIES_NUMBER = 9001  # far from the series numbers of scanners


def write_segmentation(content: DicomContent, path: Path) -> None:
    """Write a prediction as DICOM SEG, whole or not at all.

    Patient, study and frame of reference are those of the source, and all its instances are
    referenced; series and instance are new, with UIDs under pydicom's root, as this project has
    none. The creator's name is empty.

    Args:
        content: of a prediction on a DICOM source.
        path: the file.

    Raises:
        ValueError: for a source that is not DICOM or lacks a required entry (see
            :func:`~scripts.prediction.dicom.source_series.read_source`).
        LimitError: for more frames than can be written in the memory there is.
    """
    with quiet():
        segmentation = _segmentation(content)
        with atomic_path(path) as file:
            segmentation.save_as(file, enforce_file_format=True)


def _segmentation(content: DicomContent) -> Dataset:
    """Make the object."""
    source, order = frames_of(content.source, content.prediction.dicom_slices)
    mask, form, algorithm = _pixels(content, order), content.form, content.algorithm
    empty = not mask.any()
    if empty:
        mask[len(mask) // 2, 0, 0] = 1  # its frame is emptied below
    segmentation: Dataset = highdicom.seg.Segmentation(
        source_images=source,
        pixel_array=mask,
        segmentation_type=form.type,
        segment_descriptions=[_description(each, algorithm) for each in content.segments],
        series_instance_uid=generate_uid(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        **algorithm.equipment,
        content_label="SEGMENTATION",
        content_description=content.notice,
        series_description=algorithm.series_description("SEG"),
        # most of a label map is 0: run lengths take a fiftieth, and every reader of DICOM has them
        transfer_syntax_uid=RLELossless if form.labelmap and not empty else ExplicitVRLittleEndian,
        omit_empty_frames=True,
    )
    segmentation.ContentCreatorName = ""  # required; there is no human author
    if form.labelmap:
        _describe_background_last(segmentation)
    if empty:
        segmentation.PixelData = bytes(len(segmentation.PixelData))
    elif not form.labelmap:
        _end_with_zero(segmentation)
    return segmentation


def _pixels(content: DicomContent, order: list[int]) -> NDArray[Any]:
    """Return the numbers of segments on the frames of the source.

    Raises:
        LimitError: for more frames than can be written in the memory there is.
    """
    mask = content.prediction.mask_on_slices()[order]
    kind = np.uint8 if len(content.segments) < 256 else np.uint16
    bytes_each = _frame_bytes(mask[0], content.form, np.dtype(kind).itemsize)
    most = MOST_FRAME_BYTES // max(1, bytes_each)
    check_limit(f"frames of {bytes_each:,} bytes", content.form.frames, most)
    return mask.astype(kind)


def _frame_bytes(frame: NDArray[Any], form: SegmentationForm, bytes_of_pixel: int) -> int:
    return frame.size * bytes_of_pixel if form.labelmap else frame.size // 8


def _describe_background_last(segmentation: Dataset) -> None:
    """Move the description of the background, number 0, behind those of the segments, in place.

    The standard asks for it but for no order (PS3.3, C.8.20.2). Viewers that take a segment by its
    place in the sequence, such as OHIF 3.13, would give every segment the colour of the one before.
    """
    background, *segments = segmentation.SegmentSequence
    segmentation.SegmentSequence = [*segments, background]


def _end_with_zero(segmentation: Dataset) -> None:
    """Set the padding byte after an odd number of pixel bytes to 0 (PS3.5, 6.2), in place.

    highdicom 0.28.2 pads with the character "0".
    """
    bits = int(segmentation.Rows) * int(segmentation.Columns) * int(segmentation.NumberOfFrames)
    used = -(-bits // 8)
    content = bytes(segmentation.PixelData)
    segmentation.PixelData = content[:used] + bytes(len(content) - used)


def _description(described: DescribedSegment, algorithm: Algorithm) -> Dataset:
    """Describe one segment: codes, label, colour, algorithm and place."""
    code, segment = described.meaning, described.segment
    region, side = described.site
    description: Dataset = highdicom.seg.SegmentDescription(
        segment_number=described.number,
        segment_label=described.label,
        segmented_property_category=code.category,
        segmented_property_type=code.type,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues(algorithm.type),
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=algorithm.name,
            family=codes.cid7162.ArtificialIntelligence,
            version=algorithm.version,
            source=SOFTWARE,
        ),
        tracking_uid=described.tracking_uid,
        tracking_id=segment.name,
        anatomic_regions=None if region is None else [region],
        display_color=highdicom.color.CIELabColor.from_string(described.colour),
    )
    if segment.probability is not None:
        description.SegmentDescription = _confidence(segment)
    _add_side(description, side)
    return description


def _confidence(segment: Segment) -> str:
    """Describe the confidence of a lesion; of the second stage, there is no mean."""
    if segment.mean_probability is None:
        return f"Confidence of the second network {segment.probability:.4f}; not a risk of disease"
    return (
        f"Confidence of the network {segment.probability:.4f} (highest probability inside), "
        f"mean {segment.mean_probability:.4f}; not a risk of disease"
    )


def _add_side(description: Dataset, side: Code | None) -> None:
    """Say left or right: of the organ that a lesion lies in, else of the property itself."""
    if side is None:
        return
    modifier = DicomSequence([CodedConcept.from_code(side)])
    if "AnatomicRegionSequence" in description:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = modifier
    else:
        concept = description.SegmentedPropertyTypeCodeSequence[0]
        concept.SegmentedPropertyTypeModifierCodeSequence = modifier
