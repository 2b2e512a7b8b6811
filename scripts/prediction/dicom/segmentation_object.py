"""A prediction as a DICOM Segmentation (SEG), which viewers overlay on the source series.

Type BINARY, which every reader of SEG supports: one frame per slice and segment, one bit per pixel,
in the rows, columns and positions of the source. Frames without a voxel are omitted. If all frames
are empty, all are written, as an object without pixels is not allowed; this also states that every
slice was examined. A segment that was not found is described, but no frame refers to it.
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
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy import ndimage

from scripts.datasets.segment_classes import SegmentClass
from scripts.prediction.dicom.algorithm import SOFTWARE, Algorithm, long_string
from scripts.prediction.dicom.source_series import quiet, read_frames
from scripts.prediction.limits import MOST_FRAME_BYTES, check_limit
from scripts.prediction.result import Prediction, Segment
from scripts.storage.files import atomic_path

SERIES_NUMBER = 9001  # far from the series numbers of scanners
DESCRIPTION = "Made by software, for research only, not for diagnosis"
_MOST_SEGMENTS = 65535  # SegmentNumber has 16 bits


def write_segmentation(prediction: Prediction, path: Path) -> None:
    """Write a prediction as DICOM SEG, whole or not at all.

    Patient, study and frame of reference are those of the source, and all its instances are
    referenced; series and instance are new, with UIDs under pydicom's root, as this project has
    none. The creator's name is empty.

    Args:
        prediction: of a DICOM source; the segments' numbers become the SEG's.
        path: the file.

    Raises:
        ValueError: for a source that is not DICOM or lacks a required entry (see
            :func:`~scripts.prediction.dicom.source_series.read_source`), a kind without codes,
            segments that are not numbered 1, 2, 3 ..., or no segment.
    """
    segments = described_segments(prediction)
    with quiet():
        segmentation = _segmentation(prediction, segments)
        with atomic_path(path) as file:
            segmentation.save_as(file, enforce_file_format=True)


def _segmentation(prediction: Prediction, segments: tuple[Segment, ...]) -> Dataset:
    """Make the object."""
    source, order = read_frames(prediction)
    mask = prediction.mask_on_slices()[order]
    _check_frames(mask, len(segments))
    algorithm = Algorithm.of(prediction.facts)
    kind = np.uint8 if len(segments) < 256 else np.uint16
    segmentation: Dataset = highdicom.seg.Segmentation(
        source_images=source,
        pixel_array=mask.astype(kind),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(segment, prediction.meaning_of(segment.kind), algorithm)
            for segment in segments
        ],
        series_instance_uid=generate_uid(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=SOFTWARE,
        manufacturer_model_name=algorithm.name,
        software_versions=algorithm.software_version,
        device_serial_number=algorithm.weights,
        content_label="SEGMENTATION",
        content_description=DESCRIPTION,
        series_description=long_string(f"Segmentation: {algorithm.name}"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        omit_empty_frames=bool(mask.any()),
    )
    segmentation.ContentCreatorName = ""  # required; there is no human author
    _end_with_zero(segmentation)
    return segmentation


def _check_frames(mask: NDArray[Any], count: int) -> None:
    """Refuse more frames, one per slice and segment, than can be written in the memory there is."""
    boxes = [box for box in ndimage.find_objects(mask, count) if box]
    frames = sum(box[0].stop - box[0].start for box in boxes)
    bytes_each = mask.shape[1] * mask.shape[2] // 8
    check_limit(f"frames of {bytes_each:,} bytes", frames, MOST_FRAME_BYTES // max(1, bytes_each))


def described_segments(prediction: Prediction) -> tuple[Segment, ...]:
    """Return the segments that a DICOM object describes: at least one, numbered 1, 2, 3 ...

    If nothing was found, the classes of the model (``facts["looked_for"]``) are described, without
    a voxel: this distinguishes "none found" from "not searched for".

    Raises:
        ValueError: when there is nothing to describe, or the numbers have gaps, which DICOM PS3.3
            C.8.20.4 does not allow.
    """
    segments = prediction.segments or tuple(
        Segment(number, kind, f"{kind} (none found)")
        for number, kind in enumerate(prediction.facts.get("looked_for", ()), start=1)
    )
    if not segments:
        raise ValueError(
            "prediction: has no segment, and a DICOM object must describe at least one; give the "
            'classes of the model as facts["looked_for"], such as ["nodule"]'
        )
    if len(segments) > _MOST_SEGMENTS:
        raise ValueError(f"segments: DICOM allows at most {_MOST_SEGMENTS}, got {len(segments)}")
    numbers = [segment.number for segment in segments]
    if numbers != list(range(1, len(segments) + 1)):
        raise ValueError(
            f"segments: must be numbered from 1 without a gap, got {numbers[:8]}; renumber the mask"
        )
    return segments


def _end_with_zero(segmentation: Dataset) -> None:
    """Set the padding byte after an odd number of pixel bytes to 0 (PS3.5, 6.2), in place.

    highdicom 0.28.2 pads with the character "0".
    """
    bits = int(segmentation.Rows) * int(segmentation.Columns) * int(segmentation.NumberOfFrames)
    used = -(-bits // 8)
    content = bytes(segmentation.PixelData)
    segmentation.PixelData = content[:used] + bytes(len(content) - used)


def _description(segment: Segment, code: SegmentClass, algorithm: Algorithm) -> Dataset:
    """Describe one segment: codes, label and algorithm."""
    description: Dataset = highdicom.seg.SegmentDescription(
        segment_number=segment.number,
        segment_label=long_string(segment.name),
        segmented_property_category=code.category,
        segmented_property_type=code.type,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues(algorithm.type),
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=algorithm.name,
            family=codes.cid7162.ArtificialIntelligence,
            version=algorithm.version,
            source=SOFTWARE,
        ),
        anatomic_regions=None if code.region is None else [code.region],
        display_color=highdicom.color.CIELabColor.from_string(code.colour),
    )
    if segment.probability is not None:
        description.SegmentDescription = _confidence(segment)
    _add_side(description, code)
    return description


def _confidence(segment: Segment) -> str:
    """Describe the confidence of a lesion; of the second stage, there is no mean."""
    if segment.mean_probability is None:
        return f"Confidence of the second network {segment.probability:.4f}; not a risk of disease"
    return (
        f"Confidence of the network {segment.probability:.4f} (highest probability inside), "
        f"mean {segment.mean_probability:.4f}; not a risk of disease"
    )


def _add_side(description: Dataset, code: SegmentClass) -> None:
    """Say left or right: of the organ that a lesion lies in, else of the property itself."""
    if code.side is None:
        return
    side = DicomSequence([CodedConcept.from_code(code.side)])
    if code.region is None:
        concept = description.SegmentedPropertyTypeCodeSequence[0]
        concept.SegmentedPropertyTypeModifierCodeSequence = side
    else:
        description.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = side
