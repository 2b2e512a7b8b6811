"""An RTSTRUCT whose contours, filled again, give the mask."""

from __future__ import annotations

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, ImplicitVRLittleEndian
from skimage.draw import polygon2mask

from scripts.datasets.segment_classes import meaning_of
from scripts.datasets.segment_colours import rgb_of
from scripts.datasets.segments.label_values import paint
from scripts.datasets.segments.open_file import open_segments
from scripts.datasets.segments.segment_file import CtGrid
from scripts.datasets.segments.segment_names import choose
from scripts.prediction.dicom.segmentation_object import write_segmentation
from scripts.prediction.dicom.structure_set import write_structure_set
from scripts.prediction.result import Segment
from scripts.prediction.writing.colours import colours_of
from scripts.volumes.dicom.series_volume import read_series
from scripts.volumes.geometry import world_to_index
from tests.scripts.prediction.dicom_source import (
    ORIENTATIONS,
    SHAPE,
    content_of,
    errors_of,
    predicted,
    two_organs,
    write_series,
)

KINDS = ("liver", "bone", "kidney_left", "lung nodule", "liver tumour")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_series(tmp_path_factory.mktemp("source") / "ct")


def written(result, tmp_path):
    path = tmp_path / "rtstruct.dcm"
    write_structure_set(content_of(result), path)
    return path


def filled(path, result):
    """Fill the contours of an RTSTRUCT on the slices that they refer to."""
    data = pydicom.dcmread(path)
    slices = {each.header.SOPInstanceUID: k for k, each in enumerate(result.dicom_slices)}
    mask = np.zeros(result.mask.shape, result.mask.dtype)
    for structure in data.ROIContourSequence:
        for contour in structure.get("ContourSequence", []):
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints
            index = world_to_index(points, result.affine)
            k = slices[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            np.testing.assert_allclose(index[:, 2], k, atol=1e-3)
            inside = polygon2mask(mask.shape[1:], index[:, 1::-1])
            mask[k][inside] = structure.ReferencedROINumber
    return mask


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("descending", [False, True], ids=["upwards", "downwards"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_structures_filled_then_the_mask_in_its_place(tmp_path, orientation, descending):
    folder = write_series(tmp_path / "ct", orientation=orientation)
    mask = two_organs()  # with a hole
    mask[4, 2:5, 2:6] = mask[4, 7, 1:20] = 1  # two components, one of them a voxel wide
    result = predicted(folder, mask, descending=descending)
    path = written(result, tmp_path)
    found = filled(path, result)
    for number in (1, 2):
        assert dice(found == number, result.mask == number) >= 0.99
    np.testing.assert_array_equal(found[2], result.mask[2])
    assert not errors_of(path)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_objects_read_as_labels_then_the_mask_voxel_for_voxel(tmp_path, orientation):
    folder = write_series(tmp_path / "ct", orientation=orientation)
    mask = np.random.default_rng(4).integers(0, 3, SHAPE).astype(np.uint8)  # full of holes
    result = predicted(folder, mask)
    ct = CtGrid.of_series(read_series(folder))
    write_segmentation(content_of(result, form="binary"), tmp_path / "binary.dcm")
    write_segmentation(content_of(result, form="labelmap"), tmp_path / "labelmap.dcm")
    for path in (written(result, tmp_path), tmp_path / "binary.dcm", tmp_path / "labelmap.dcm"):
        file = open_segments(path)
        found = choose(file, ["liver", "bone"], {}, join=False).segments
        label, _ = paint(file, {1: found["liver"], 2: found["bone"]}, ct)
        np.testing.assert_array_equal(label, mask)


def test_structures_then_named_coloured_coded_and_unapproved(folder, tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    segments = [Segment(n, kind, f"{kind} x") for n, kind in enumerate(KINDS, start=1)]
    for segment in segments:
        mask[segment.number, 2, 2:5] = segment.number
    result = predicted(folder, mask, segments)
    path, colours = written(result, tmp_path), colours_of(result)
    data = pydicom.dcmread(path)
    rows = zip(
        segments,
        data.StructureSetROISequence,
        data.ROIContourSequence,
        data.RTROIObservationsSequence,
        strict=True,
    )
    for segment, roi, contours, observation in rows:
        code = meaning_of(segment.kind)
        assert roi.ROINumber == contours.ReferencedROINumber == observation.ReferencedROINumber
        assert roi.ROIGenerationAlgorithm == "AUTOMATIC"
        assert tuple(contours.ROIDisplayColor) == rgb_of(colours[segment.number])
        assert observation.RTROIIdentificationCodeSequence[0].CodeValue == code.type.value
        assert observation.RTROIInterpretedType == ("ORGAN" if code.region is None else "")
        assert observation.ROIInterpreter == ""
    assert data.ApprovalStatus == "UNAPPROVED"
    assert not errors_of(path)


def test_structures_then_names_and_colours_of_the_segmentation(folder, tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[1, 2, 2:5], mask[2, 4, 3:9], mask[3, 8:11, 4:8] = 1, 2, 3
    segments = [Segment(n, "nodule", f"nodule {n}", lesion=True) for n in (1, 2)]
    content = content_of(predicted(folder, mask, [*segments, Segment(3, "liver", "liver")]))
    write_structure_set(content, tmp_path / "rtstruct.dcm")
    write_segmentation(content, tmp_path / "segmentation.dcm")
    structures = pydicom.dcmread(tmp_path / "rtstruct.dcm")
    names = [roi.ROIName for roi in structures.StructureSetROISequence]
    colours = [tuple(roi.ROIDisplayColor) for roi in structures.ROIContourSequence]
    described = pydicom.dcmread(tmp_path / "segmentation.dcm").SegmentSequence
    assert names == [item.SegmentLabel for item in described]
    assert len(set(colours)) == 3
    for colour, item in zip(colours, described, strict=True):
        lab = highdicom.color.CIELabColor.from_dicom_value(item.RecommendedDisplayCIELabValue)
        np.testing.assert_allclose(lab.to_rgb(clip=True), colour, atol=1)


def test_structures_then_keep_the_study_and_refer_to_every_instance(folder, tmp_path):
    data = pydicom.dcmread(written(predicted(folder, two_organs()), tmp_path))
    source = pydicom.dcmread(folder / "file90")
    kept = ["PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "StudyDate"]
    kept += ["AccessionNumber", "FrameOfReferenceUID", "ReferringPhysicianName"]
    assert {k: data[k].value for k in kept} == {k: source[k].value for k in kept}
    assert {str(e.value) for e in data.iterall() if e.VR == "PN"} == {
        "Known^Somebody", "House^Gregory", "",
    }  # fmt: skip
    (frame,) = data.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert study.ReferencedSOPInstanceUID == source.StudyInstanceUID
    assert series.SeriesInstanceUID == source.SeriesInstanceUID != data.SeriesInstanceUID
    told = [item.ReferencedSOPInstanceUID for item in series.ContourImageSequence]
    assert told == [f"1.2.3.1.4.{k + 1}" for k in range(6)]
    assert UID(data.SOPInstanceUID).is_valid


@pytest.mark.parametrize(
    ("segments", "names"),
    [
        ([Segment(1, "liver", "liver")], ["liver (not found)"]),
        ((), ["nodule (none found)"]),
    ],
    ids=["organ", "nodules"],
)
def test_nothing_found_then_a_structure_without_contours(folder, tmp_path, segments, names):
    facts = {"looked_for": ["nodule"], "lesion_kinds": ["nodule"]}
    path = written(predicted(folder, np.zeros(SHAPE, np.uint8), segments, facts=facts), tmp_path)
    data = pydicom.dcmread(path)
    assert [roi.ROIName for roi in data.StructureSetROISequence] == names
    assert "ContourSequence" not in data.ROIContourSequence[0]
    assert not errors_of(path)


def test_contour_of_more_than_64_kb_then_whole(tmp_path):
    size = 50
    folder = write_series(
        tmp_path / "ct", slices=2, Rows=size, Columns=size, PixelData=bytes(2 * size * size)
    )
    mask = np.zeros((2, size, size), np.uint8)
    mask[1] = 1
    mask[1, 1:-1:2, 1:-1:2] = 0
    result = predicted(folder, mask, [Segment(1, "bone", "bone")])
    path = written(result, tmp_path)
    data = pydicom.dcmread(path)
    assert data.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    (contour,) = data.ROIContourSequence[0].ContourSequence
    assert len("\\".join(map(str, contour.ContourData))) > 65534
    np.testing.assert_array_equal(filled(path, result), mask)


def test_source_without_what_may_be_missing_then_still_valid(tmp_path):
    lacking = ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge"]
    lacking += ["StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"]
    lacking += ["FrameOfReferenceUID", "PositionReferenceIndicator", "SliceThickness"]
    folder = write_series(tmp_path / "ct", **dict.fromkeys(lacking))
    path = written(predicted(folder, two_organs()), tmp_path)
    assert not errors_of(path)


def test_validator_when_something_is_missing_then_finds_it(folder, tmp_path):
    path = written(predicted(folder, two_organs()), tmp_path)
    data = pydicom.dcmread(path)
    del data.StructureSetLabel
    data.save_as(path)
    assert any("StructureSetLabel" in error for error in errors_of(path))


def test_source_that_is_refused_then_nothing_written(folder, tmp_path):
    result = predicted(folder, two_organs(), [Segment(1, "liver", "a"), Segment(2, "x", "b")])
    with pytest.raises(ValueError, match="class 'x': no SNOMED CT code is known"):
        write_structure_set(content_of(result), tmp_path / "rtstruct.dcm")
    assert not list(tmp_path.iterdir())
