"""A DICOM SEG holds the mask voxel for voxel in place, and who it belongs to."""

from __future__ import annotations

from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import UID

from scripts.datasets.segment_classes import meaning_of
from scripts.datasets.segment_colours import rgb_of
from scripts.prediction.dicom.segmentation_form import choose_form
from scripts.prediction.dicom.segmentation_object import write_segmentation
from scripts.prediction.result import Segment
from scripts.prediction.writing.colours import colours_of
from scripts.volumes.geometry import set_affine, world_to_index
from tests.scripts.prediction.dicom_source import (
    ORIENTATIONS,
    SHAPE,
    content_of,
    errors_of,
    predicted,
    two_organs,
    write_series,
)
from tests.scripts.prediction.shapes import chest
from tests.scripts.prediction.studies import write_series as write_study

KINDS = ("liver", "bone", "kidney_left", "lung nodule", "liver tumour")

NODULE = (Segment(1, "nodule", "nodule 1", lesion=True),)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_series(tmp_path_factory.mktemp("source") / "ct")


def written(result, tmp_path, *, form="auto"):
    path = tmp_path / "segmentation.dcm"
    write_segmentation(content_of(result, form=form), path)
    return path


def read_by_position(path, affine, shape):
    """Read with nothing but pydicom and the standard: bits, segment and position of each frame."""
    data = pydicom.dcmread(path)
    pixels = data.Rows * data.Columns
    bits = np.unpackbits(np.frombuffer(data.PixelData, np.uint8), bitorder="little")
    assert not bits[pixels * data.NumberOfFrames :].any()
    shared = data.SharedFunctionalGroupsSequence[0]
    mask = np.zeros(shape, np.uint16)
    for number, frame in enumerate(data.PerFrameFunctionalGroupsSequence):
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        index = world_to_index(np.array(place, float), affine)
        np.testing.assert_allclose(index, index.round(), atol=1e-3)
        i, j, k = index.round().astype(int)
        assert (i, j) == (0, 0)
        groups = frame if "SegmentIdentificationSequence" in frame else shared
        segment = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        here = bits[number * pixels : (number + 1) * pixels].reshape(data.Rows, data.Columns)
        assert not (mask[k][here == 1]).any()
        mask[k][here == 1] = segment
    return mask


def read_by_highdicom(path, result):
    """Read by the instances that the frames were derived from."""
    uids = [each.header.SOPInstanceUID for each in result.dicom_slices]
    return highdicom.seg.segread(path).get_pixels_by_source_instance(
        uids, combine_segments=True, assert_missing_frames_are_empty=True
    )


@pytest.mark.parametrize("descending", [False, True], ids=["upwards", "downwards"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_segmentation_read_back_then_the_mask_in_its_place(tmp_path, orientation, descending):
    folder = write_series(tmp_path / "ct", orientation=orientation)
    result = predicted(folder, two_organs(), descending=descending)
    path = written(result, tmp_path)
    np.testing.assert_array_equal(read_by_position(path, result.affine, SHAPE), result.mask)
    np.testing.assert_array_equal(read_by_highdicom(path, result), result.mask)
    assert not errors_of(path)


def test_segmentation_as_a_volume_then_voxels_where_the_nifti_has_them(folder, tmp_path):
    result = predicted(folder, two_organs())
    nifti = tmp_path / "mask.nii.gz"
    sitk.WriteImage(set_affine(sitk.GetImageFromArray(result.mask), result.affine), str(nifti))
    image = sitk.ReadImage(str(nifti))
    volume = highdicom.seg.segread(written(result, tmp_path)).get_volume(combine_segments=True)
    points = np.argwhere(volume.array >= 0)
    world = points @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    theirs = [image[image.TransformPhysicalPointToIndex(point)] for point in world.tolist()]
    assert np.count_nonzero(theirs) == np.count_nonzero(result.mask)
    np.testing.assert_array_equal(volume.array.ravel(), theirs)


@pytest.mark.parametrize("form", ["binary", "labelmap"])
@pytest.mark.parametrize("descending", [False, True], ids=["upwards", "downwards"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_segmentation_in_either_form_then_the_masks_voxels_as_a_volume(
    tmp_path, orientation, descending, form
):
    folder = write_series(tmp_path / "ct", orientation=orientation)
    result = predicted(folder, two_organs(), descending=descending)
    path = written(result, tmp_path, form=form)
    data = pydicom.dcmread(path)
    assert data.SegmentationType == form.upper()
    assert data.NumberOfFrames == (5 if form == "binary" else 4)  # slice 3 holds both organs
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    index = np.argwhere(volume.array)
    place = index @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    i, j, k = world_to_index(place, result.affine).round().astype(int).T
    found = np.zeros_like(result.mask)
    found[k, j, i] = volume.array[tuple(index.T)]
    np.testing.assert_array_equal(found, result.mask)


def test_label_map_then_described_as_the_binary_form_with_a_background(folder, tmp_path):
    result = predicted(folder, two_organs())
    binary = pydicom.dcmread(written(result, tmp_path, form="binary"))
    labelmap = pydicom.dcmread(written(result, tmp_path, form="labelmap"))
    assert labelmap.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7"
    *segments, background = labelmap.SegmentSequence
    assert (background.SegmentNumber, background.SegmentLabel) == (0, "Background")
    assert segments == list(binary.SegmentSequence)


def test_more_than_400_binary_frames_then_a_label_map(tmp_path):
    folder = write_series(tmp_path / "ct", slices=51, Rows=4, Columns=9, PixelData=bytes(72))
    mask = np.zeros((51, 4, 9), np.uint8)
    mask[:50, 2, :8] = np.arange(1, 9)
    organs = [Segment(n, "liver", f"liver {n}") for n in range(1, 9)]
    result = predicted(folder, mask, organs)
    data = pydicom.dcmread(written(result, tmp_path))
    assert (data.SegmentationType, data.NumberOfFrames) == ("BINARY", 400)
    result.mask[50, 2, 0] = 1
    path = written(result, tmp_path)
    data = pydicom.dcmread(path)
    assert (data.SegmentationType, data.NumberOfFrames) == ("LABELMAP", 51)
    np.testing.assert_array_equal(read_by_highdicom(path, result), result.mask)


def test_lesions_then_each_a_colour_a_label_and_its_place(tmp_path):
    drawn = chest(nodules=3)
    folder = tmp_path / "ct"
    write_study(folder, drawn)
    result = predicted(folder, drawn.mask, drawn.segments, lungs=drawn.lungs)
    path = written(result, tmp_path)
    segments = pydicom.dcmread(path).SegmentSequence
    assert [item.SegmentLabel for item in segments] == [
        *("nodule 1, 16.5 mm, right middle", "nodule 2, 16.5 mm, left middle"),
        "nodule 3, 17.9 mm, right middle",
    ]
    assert len({tuple(item.RecommendedDisplayCIELabValue) for item in segments}) == 3
    (site,) = segments[1].AnatomicRegionSequence
    assert site.CodeMeaning == "Middle zone of lung"
    assert site.AnatomicRegionModifierSequence[0].CodeMeaning == "Left"
    assert len({item.TrackingUID for item in segments}) == 3
    assert [item.TrackingID for item in segments] == ["nodule 1", "nodule 2", "nodule 3"]
    again = pydicom.dcmread(written(result, tmp_path)).SegmentSequence
    assert [item.TrackingUID for item in again] == [item.TrackingUID for item in segments]
    assert not errors_of(path)


def test_series_then_named_by_product_and_model_in_64_characters(folder, tmp_path):
    name = "Liver, bone and kidney CT segmentation by fully convolutional networks"
    facts = {"bundle": name, "version": "0.2.0"}
    data = pydicom.dcmread(written(predicted(folder, two_organs(), facts=facts), tmp_path))
    assert data.SeriesDescription == "SEG: Liver, bone and kidney CT segmentation 0.2.0"


def test_segmentation_then_keeps_the_study_and_names_nobody_else(folder, tmp_path):
    data = pydicom.dcmread(written(predicted(folder, two_organs()), tmp_path))
    source = pydicom.dcmread(folder / "file90")
    kept = ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "StudyID"]
    kept += ["StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "StudyDescription"]
    kept += ["FrameOfReferenceUID", "ReferringPhysicianName"]
    assert {keyword: data[keyword].value for keyword in kept} == {
        keyword: source[keyword].value for keyword in kept
    }
    named = {str(e.value) for e in data.iterall() if e.VR == "PN"}
    assert named == {"Known^Somebody", "House^Gregory", ""}
    assert data["ContentCreatorName"].value == ""
    assert data.Modality == "SEG"
    assert data.SegmentationType == "BINARY"


def test_segmentation_then_refers_to_every_source_instance(folder, tmp_path):
    data = pydicom.dcmread(written(predicted(folder, two_organs()), tmp_path))
    (series,) = data.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3.1.2"
    told = [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence]
    assert told == [f"1.2.3.1.4.{k + 1}" for k in range(6)]


def test_segmentation_when_written_twice_then_two_instances_of_valid_uids(folder, tmp_path):
    result = predicted(folder, two_organs())
    pairs = []
    for _ in range(2):
        data = pydicom.dcmread(written(result, tmp_path))
        pairs += [data.SOPInstanceUID, data.SeriesInstanceUID]
        assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
    assert len({*pairs, "1.2.3.1.2"}) == 5
    assert all(UID(uid).is_valid for uid in pairs)


def test_segments_then_described_in_codes_colours_and_who_found_them(folder, tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    segments = [Segment(n, kind, f"{kind} x") for n, kind in enumerate(KINDS, start=1)]
    for segment in segments:
        mask[segment.number, 2, 2:5] = segment.number
    result = predicted(folder, mask, segments)
    path, colours = written(result, tmp_path), colours_of(result)
    for segment, item in zip(segments, highdicom.seg.segread(path).SegmentSequence, strict=True):
        code = meaning_of(segment.kind)
        assert item.segment_number == segment.number
        assert item.segment_label.startswith(f"{segment.name}, ")
        assert item.segmented_property_type == code.type
        assert item.segmented_property_category == code.category
        assert item.anatomic_regions == ([code.region] if code.region else [])
        assert item.SegmentAlgorithmType == "AUTOMATIC"
        assert item.algorithm_identification.name == "liver_ct_segmentation"
        assert item.algorithm_identification.version == "0.2.0"
        colour = highdicom.color.CIELabColor.from_dicom_value(item.RecommendedDisplayCIELabValue)
        np.testing.assert_allclose(
            colour.to_rgb(clip=True), rgb_of(colours[segment.number]), atol=1
        )


def test_confidence_of_a_lesion_then_in_the_description_of_its_segment(folder, tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[2, 3, 4] = 1
    sure = replace(NODULE[0], probability=0.875, mean_probability=0.5)
    path = written(predicted(folder, mask, (sure,)), tmp_path)
    (described,) = pydicom.dcmread(path).SegmentSequence
    assert described.SegmentDescription.startswith("Confidence of the network 0.8750")
    assert not errors_of(path)


def test_model_unknown_then_said_so(folder, tmp_path):
    data = pydicom.dcmread(written(predicted(folder, two_organs(), facts={}), tmp_path))
    (made,) = data.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence
    assert (made.AlgorithmName, made.AlgorithmVersion) == ("unknown", "unknown")


def test_organ_not_found_then_described_without_a_frame(folder, tmp_path):
    mask = np.where(two_organs() == 1, 1, 0).astype(np.uint8)
    path = written(predicted(folder, mask), tmp_path)
    data = pydicom.dcmread(path)
    liver, bone = (item.SegmentLabel for item in data.SegmentSequence)
    assert (liver, bone) == ("liver, 0.2 ml", "bone (not found)")
    assert data.NumberOfFrames == 3
    found = highdicom.seg.segread(path).get_volume(
        segment_numbers=[2], allow_missing_positions=True
    )
    assert not found.array.any()
    assert not errors_of(path)


@pytest.mark.parametrize(
    ("segments", "facts", "labels"),
    [
        (NODULE, {}, ["nodule 1"]),
        ((), {"looked_for": ["nodule"], "lesion_kinds": ["nodule"]}, ["nodule (none found)"]),
        ((), {"looked_for": ["liver", "kidney"]}, ["liver (none found)", "kidney (none found)"]),
    ],
    ids=["listed", "looked-for", "two looked-for"],
)
@pytest.mark.parametrize("form", ["auto", "labelmap"])
def test_nothing_found_then_one_empty_frame_under_what_was_looked_for(
    folder, tmp_path, segments, facts, labels, form
):
    result = predicted(folder, np.zeros(SHAPE, np.uint8), segments, facts=facts)
    path = written(result, tmp_path, form=form)
    data = pydicom.dcmread(path)
    described = [item.SegmentLabel for item in data.SegmentSequence]
    assert described == (labels if form == "auto" else [*labels, "Background"])
    assert data.NumberOfFrames == 1
    assert not any(data.PixelData)
    (series,) = data.ReferencedSeriesSequence
    assert len(series.ReferencedInstanceSequence) == SHAPE[0]
    assert not read_by_highdicom(path, result).any()
    if form == "auto":
        assert not errors_of(path)


def test_more_nodules_than_a_byte_counts_then_all_of_them_there(folder, tmp_path):
    mask = np.zeros(SHAPE, np.uint16)
    mask.reshape(-1)[3::9][:260] = np.arange(1, 261)
    segments = [Segment(n, "nodule", f"nodule {n}", lesion=True) for n in range(1, 261)]
    result = predicted(folder, mask, segments)
    path = tmp_path / "segmentation.dcm"
    content = content_of(result, most=260, form="binary")
    write_segmentation(content, path)
    np.testing.assert_array_equal(read_by_position(path, result.affine, SHAPE), mask)
    labelmap = replace(content, form=choose_form(mask, "labelmap"))
    write_segmentation(labelmap, path)
    np.testing.assert_array_equal(read_by_highdicom(path, result), mask)
    assert pydicom.dcmread(path).BitsAllocated == 16


@pytest.mark.parametrize(
    ("segments", "said"),
    [
        ((), "has no segment, and a DICOM object must describe at least one; give the classes of"),
        (
            (Segment(1, "nodule", "a", lesion=True), Segment(3, "nodule", "b", lesion=True)),
            r"without a gap, got \[1, 3\]",
        ),
        ((Segment(2, "nodule", "a", lesion=True),), r"numbered from 1 without a gap, got \[2\]"),
        ((Segment(1, "milt", "milt"),), "class 'milt': no SNOMED CT code is known"),
    ],
    ids=["none", "gap", "not from 1", "unknown kind"],
)
def test_segments_that_cannot_be_described_then_refused_and_nothing_written(
    folder, tmp_path, segments, said
):
    result = predicted(folder, np.zeros(SHAPE, np.uint8), segments)
    with pytest.raises(ValueError, match=said):
        write_segmentation(content_of(result), tmp_path / "a.dcm")
    assert not list(tmp_path.iterdir())


def test_validator_when_something_is_missing_then_finds_it(folder, tmp_path):
    path = written(predicted(folder, two_organs()), tmp_path)
    data = pydicom.dcmread(path)
    del data.SegmentSequence[0].SegmentLabel
    data.save_as(path)
    assert any("SegmentLabel" in error for error in errors_of(path))


def test_side_of_a_class_then_with_the_organ_or_the_organ_of_the_lesion(folder, tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[1, 2, 2:5], mask[2, 2, 2:5] = 1, 2
    segments = [Segment(1, "kidney_left", "left"), Segment(2, "right kidney cyst", "cyst")]
    path = written(predicted(folder, mask, segments), tmp_path)
    organ, lesion = pydicom.dcmread(path).SegmentSequence
    side = organ.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    assert side[0].CodeMeaning == "Left"
    (region,) = lesion.AnatomicRegionSequence
    assert region.CodeMeaning == "Kidney"
    assert region.AnatomicRegionModifierSequence[0].CodeMeaning == "Right"
    assert not errors_of(path)
