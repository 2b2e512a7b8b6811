"""Headers of the source: completed where the standard lets be empty, refused where not."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.uid import UID

from scripts.prediction.dicom.source_series import EMPTY_WHERE_UNKNOWN, read_source
from scripts.prediction.result import Prediction
from tests.scripts.prediction.dicom_source import (
    SEGMENTS,
    SHAPE,
    predicted,
    two_organs,
    write_series,
)


@pytest.fixture
def folder(tmp_path):
    return write_series(tmp_path / "ct")


def change(each, **entries):
    """Change a slice's header; None removes an entry."""
    for keyword, value in entries.items():
        if value is None:
            delattr(each.header, keyword)
        else:
            setattr(each.header, keyword, value)


def test_source_then_one_header_a_slice_in_the_masks_order(folder):
    source = read_source(predicted(folder, two_organs()))
    assert [image.SOPInstanceUID for image in source] == [f"1.2.3.1.4.{k + 1}" for k in range(6)]
    assert not any("PixelData" in image for image in source)


def test_source_without_what_may_be_empty_then_empty(tmp_path):
    lacking = dict.fromkeys(EMPTY_WHERE_UNKNOWN)
    folder = write_series(tmp_path / "ct", **lacking, SliceThickness=None)
    source = read_source(predicted(folder, two_organs()))
    assert {str(image.get(keyword)) for image in source for keyword in lacking} == {""}
    assert {float(image.SliceThickness) for image in source} == {2.5}


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(
    ("keyword", "value"),
    [("StudyDate", "04.03.2020"), ("PatientBirthDate", "1950"), ("PatientSex", "WEIBLICH")],
)
def test_source_with_an_invalid_value_then_left_empty_with_a_word(tmp_path, caplog, keyword, value):
    folder = write_series(tmp_path / "ct", **{keyword: value})
    source = read_source(predicted(folder, two_organs()))
    assert {str(image[keyword].value) for image in source} == {""}
    assert [r.message for r in caplog.records if r.name.startswith("scripts")] == [
        f"{keyword} of the source is not valid DICOM; left empty"
    ]


def test_source_without_frame_of_reference_then_always_the_same_one_of_its_own(tmp_path, caplog):
    folder = write_series(tmp_path / "ct", FrameOfReferenceUID=None)
    other = write_series(tmp_path / "b", FrameOfReferenceUID=None, SeriesInstanceUID="1.2.9")
    frames = [
        {str(image.FrameOfReferenceUID) for image in read_source(predicted(place, two_organs()))}
        for place in (folder, folder, other)
    ]
    assert frames[0] == frames[1] != frames[2]
    assert all(len(frame) == 1 and UID(*frame).is_valid for frame in frames)
    assert "has no FrameOfReferenceUID" in caplog.text


@pytest.mark.parametrize(
    "keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"]
)
def test_source_without_a_required_entry_then_refused_by_its_name(folder, keyword):
    result = predicted(folder, two_organs())
    change(result.dicom_slices[2], **{keyword: None})
    with pytest.raises(ValueError, match=f"file88: {keyword} missing; a derived"):
        read_source(result)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"PatientID": "78"}, "file88: its PatientID differs from that of file90"),
        ({"SeriesInstanceUID": "1.9"}, "file88: its SeriesInstanceUID differs from that of file90"),
        ({"SOPInstanceUID": "1.2.3.1.4.1"}, "file88: has the SOPInstanceUID of file90"),
        ({"Rows": 16}, "file88: has 16 x 23 pixels, the mask 17 x 23"),
        ({"PixelSpacing": [0.75, 0.6]}, "file88: lies up to 2.200 mm from slice 2"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, -1, 0]}, "file88: lies up to 24.000 mm from"),
    ],
    ids=["patient", "series", "instance", "size", "spacing", "orientation"],
)
def test_source_that_is_not_one_sound_series_then_refused_by_file(folder, entries, said):
    result = predicted(folder, two_organs())
    change(result.dicom_slices[2], **entries)
    with pytest.raises(ValueError, match=said):
        read_source(result)


def test_source_in_another_order_than_the_mask_then_refused(folder):
    right = predicted(folder, two_organs())
    wrong = Prediction(
        right.hu, right.mask, right.affine, SEGMENTS, "s", dicom_slices=right.dicom_slices[::-1]
    )
    with pytest.raises(ValueError, match="file85: lies up to 12.500 mm from slice 0 of the mask"):
        read_source(wrong)


def test_source_that_is_no_dicom_then_refused(folder):
    result = predicted(folder, two_organs())
    with pytest.raises(ValueError, match="scan was not read from DICOM files"):
        read_source(Prediction(result.hu, result.mask, np.eye(4), SEGMENTS, "scan"))


def test_source_used_twice_then_its_own_headers_stay_as_they_were(folder):
    result = predicted(folder, two_organs())
    change(result.dicom_slices[0], PatientSex="WEIBLICH")
    first, second = read_source(result), read_source(result)
    assert first[0] == second[0]
    assert first[0] is not second[0]
    assert first[0].PatientSex == ""
    assert result.dicom_slices[0].header.PatientSex == "WEIBLICH"


def test_source_with_digits_that_differ_in_the_last_place_then_the_first_slices(folder):
    result = predicted(folder, np.zeros(SHAPE, np.uint8))
    change(result.dicom_slices[3], ImageOrientationPatient=["0.9999999", 0, 0, 0, 1, 0])
    assert {tuple(image.ImageOrientationPatient) for image in read_source(result)} == {
        (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    }
