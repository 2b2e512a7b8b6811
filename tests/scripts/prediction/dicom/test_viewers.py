"""What viewers need of the DICOM objects beyond the standard (docs/prediction.md, "Viewers")."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest

from scripts.prediction.dicom.segmentation_object import write_segmentation
from scripts.prediction.dicom.structure_set import write_structure_set
from scripts.prediction.result import Segment
from tests.scripts.prediction.dicom_source import (
    SEGMENTS,
    SHAPE,
    content_of,
    predicted,
    two_organs,
    write_series,
)


def nodules():
    """Three lesions on slices that do not adjoin, two of them on one slice."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[0, 3:6, 4:9], mask[3:5, 8:11, 4:8], mask[4, 2:4, 14:18] = 1, 2, 3
    return mask, tuple(Segment(n, "nodule", f"nodule {n}", lesion=True) for n in (1, 2, 3))


CASES = {
    "lesions": nodules(),
    "organs": (two_organs(), SEGMENTS),
    "one organ not found": (np.where(two_organs() == 2, 0, two_organs()), SEGMENTS),
    "no organ found": (np.zeros(SHAPE, np.uint8), SEGMENTS),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_series(tmp_path_factory.mktemp("viewers") / "ct")


@pytest.fixture(scope="module", params=CASES)
def result(source, request):
    mask, segments = CASES[request.param]
    return predicted(source, mask, segments)


@pytest.fixture(scope="module", params=["binary", "labelmap"])
def seg(result, request, tmp_path_factory):
    path = tmp_path_factory.mktemp("seg") / "segmentation.dcm"
    write_segmentation(content_of(result, form=request.param), path)
    return pydicom.dcmread(path)


def headers_of(result):
    return [each.header for each in result.dicom_slices]


def test_segments_then_numbered_without_a_gap_from_the_first_item(seg):
    """OHIF takes a segment by its place in the sequence; a LABELMAP must describe background."""
    numbers = [item.SegmentNumber for item in seg.SegmentSequence]
    if seg.SegmentationType == "LABELMAP":
        assert numbers.pop() == 0
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 1


def test_segments_then_each_with_a_colour_a_label_and_an_algorithm(seg):
    """OHIF stops at a segment without colour; 3D Slicer shows the name of the algorithm."""
    for item in seg.SegmentSequence:
        assert len(item.RecommendedDisplayCIELabValue) == 3
        assert item.SegmentLabel
        assert item.SegmentAlgorithmType == "AUTOMATIC"
        assert item.SegmentAlgorithmName
        for codes in ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"):
            (code,) = item[codes].value
            assert code.CodingSchemeDesignator in ("SCT", "DCM")
    assert seg.SegmentsOverlap == "NO"
    assert seg.ContentLabel


def test_frames_then_each_derived_from_the_slice_at_its_place(seg, result):
    """Weasis and OHIF put a frame on the image it is derived from, dcmqi at its position."""
    sources = {header.SOPInstanceUID: header for header in headers_of(result)}
    for frame in seg.PerFrameFunctionalGroupsSequence:
        (derivation,) = frame.DerivationImageSequence
        (image,) = derivation.SourceImageSequence
        slice_ = sources[image.ReferencedSOPInstanceUID]
        (place,) = frame.PlanePositionSequence
        assert list(place.ImagePositionPatient) == list(slice_.ImagePositionPatient)
        assert image.ReferencedSOPClassUID == slice_.SOPClassUID


def test_frames_then_the_segment_in_each_of_a_binary_one(seg):
    """dcmjs, in OHIF, reads it from the frames; a LABELMAP has it in the pixels."""
    numbers = [
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        for frame in seg.PerFrameFunctionalGroupsSequence
        if "SegmentIdentificationSequence" in frame
    ]
    if seg.SegmentationType == "LABELMAP":
        assert not numbers
        assert "SegmentIdentificationSequence" not in seg.SharedFunctionalGroupsSequence[0]
    else:
        assert len(numbers) == seg.NumberOfFrames
        assert numbers == sorted(numbers)


def test_frames_then_their_plane_and_spacing_shared(seg, result):
    """dcmqi and OHIF read orientation and spacing once for all frames."""
    (shared,) = seg.SharedFunctionalGroupsSequence
    header = headers_of(result)[0]
    (plane,), (measures,) = shared.PlaneOrientationSequence, shared.PixelMeasuresSequence
    assert list(plane.ImageOrientationPatient) == list(header.ImageOrientationPatient)
    assert list(measures.PixelSpacing) == list(header.PixelSpacing)
    assert float(measures.SpacingBetweenSlices) == pytest.approx(2.5)
    assert (seg.Rows, seg.Columns) == (header.Rows, header.Columns)


def test_dimensions_then_an_index_for_each_in_every_frame(seg):
    """3D Slicer's and Weasis's readers sort frames by these indices, which count from 1."""
    dimensions = len(seg.DimensionIndexSequence)
    indices = [
        np.atleast_1d(frame.FrameContentSequence[0].DimensionIndexValues).tolist()
        for frame in seg.PerFrameFunctionalGroupsSequence
    ]
    assert all(len(index) == dimensions and min(index) >= 1 for index in indices)
    assert indices == sorted(indices)
    assert len({tuple(index) for index in indices}) == len(indices)


def test_references_then_one_series_in_its_frame_of_reference(seg, result):
    """OHIF finds the images of a SEG by the one referenced series, not by those of its frames."""
    header = headers_of(result)[0]
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == header.SeriesInstanceUID
    listed = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    assert listed == {each.SOPInstanceUID for each in headers_of(result)}
    assert seg.FrameOfReferenceUID == header.FrameOfReferenceUID
    assert seg.StudyInstanceUID == header.StudyInstanceUID


def test_pixels_then_in_a_form_that_browsers_decode(seg):
    """Explicit little endian, or run lengths in 8 bits: neither needs a codec library."""
    syntax = seg.file_meta.TransferSyntaxUID.name
    if seg.SegmentationType == "LABELMAP":
        assert syntax in ("RLE Lossless", "Explicit VR Little Endian")
        assert seg.BitsAllocated == 8
    else:
        assert syntax == "Explicit VR Little Endian"
        assert seg.BitsAllocated == 1


def test_contours_then_each_closed_on_an_image_of_the_listed_series(result, tmp_path):
    """OHIF and Weasis draw a contour on its image; plastimatch takes its points."""
    path = tmp_path / "rtstruct.dcm"
    write_structure_set(content_of(result), path)
    structures = pydicom.dcmread(path)
    (frame,) = structures.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    header = headers_of(result)[0]
    assert series.SeriesInstanceUID == header.SeriesInstanceUID
    listed = {item.ReferencedSOPInstanceUID for item in series.ContourImageSequence}
    rois = {roi.ROINumber: roi for roi in structures.StructureSetROISequence}
    assert list(rois) == list(range(1, len(rois) + 1))
    for structure in structures.ROIContourSequence:
        assert len(structure.ROIDisplayColor) == 3
        assert rois[structure.ReferencedROINumber].ReferencedFrameOfReferenceUID == (
            header.FrameOfReferenceUID
        )
        for contour in structure.get("ContourSequence", ()):
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID in listed
            assert len(contour.ContourData) == 3 * contour.NumberOfContourPoints
