"""DICOM objects of sources as scanners and archives give them: lacking, odd, real."""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from scripts.phantom.dicom_images import SliceGeometry, slice_files
from scripts.prediction.dicom.segmentation_object import write_segmentation
from scripts.prediction.dicom.structure_set import write_structure_set
from tests.scripts.prediction.dicom.test_segmentation_object import (
    read_by_highdicom,
    read_by_position,
    written,
)
from tests.scripts.prediction.dicom_source import (
    SHAPE,
    content_of,
    errors_of,
    predicted,
    two_organs,
    write_series,
)


def test_source_without_anything_that_may_be_missing_then_still_valid(tmp_path):
    lacking = ["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge"]
    lacking += ["StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"]
    lacking += ["SliceThickness", "FrameOfReferenceUID", "PositionReferenceIndicator"]
    lacking += ["Manufacturer", "StudyDescription", "SeriesNumber", "ImageType"]
    folder = write_series(tmp_path / "ct", **dict.fromkeys(lacking))
    result = predicted(folder, two_organs())
    path = written(result, tmp_path)
    assert not errors_of(path)
    np.testing.assert_array_equal(read_by_highdicom(path, result), result.mask)


CHARACTER_SETS = {
    "Latin": ("ISO_IR 100", "Müller^Jürgen"),
    "Unicode": ("ISO_IR 192", "Ünal^Çiğdem"),
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "Chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
    "none": (None, "Mononym"),
}


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom.charset")
@pytest.mark.parametrize("write", [write_segmentation, write_structure_set])
@pytest.mark.parametrize("name", CHARACTER_SETS)
def test_name_in_another_script_then_the_same_and_no_warning_quotes_it(
    tmp_path, name, write, caplog
):
    character_set, person = CHARACTER_SETS[name]
    folder = write_series(tmp_path / "ct", SpecificCharacterSet=character_set, PatientName=person)
    path = tmp_path / "a.dcm"
    write(content_of(predicted(folder, two_organs())), path)
    assert str(pydicom.dcmread(path).PatientName) == person
    assert not errors_of(path)
    assert not caplog.records


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize("write", [write_segmentation, write_structure_set])
def test_values_that_are_no_dicom_then_written_without_them_and_nobody_quoted(
    tmp_path, write, caplog
):
    wrong = {"PatientBirthDate": "2.1.1950", "StudyTime": "10 h 11", "PatientSex": "female"}
    result = predicted(write_series(tmp_path / "ct", **wrong), two_organs())
    caplog.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(content_of(result), tmp_path / "a.dcm")
    data = pydicom.dcmread(tmp_path / "a.dcm")
    assert {str(data[keyword].value or "") for keyword in wrong} == {""}
    assert not errors_of(tmp_path / "a.dcm")
    assert not [value for value in wrong.values() if value in caplog.text]


@pytest.mark.parametrize("descending", [False, True], ids=["upwards", "downwards"])
def test_segmentation_of_a_phantom_series_then_valid_and_in_place(tmp_path, descending):
    folder = tmp_path / "PATIENT_DICOM"
    folder.mkdir()
    geometry = SliceGeometry((0.0, 0.0, 10.0), (0.7, 0.7, 1.6), descending=descending)
    volume = np.full(SHAPE, -1000, np.int16)
    for name, content in slice_files(volume, "p1", "ct", geometry, intercept=-1024):
        (folder / name).write_bytes(content)
    result = predicted(folder, two_organs())
    path = written(result, tmp_path)
    assert not errors_of(path)
    np.testing.assert_array_equal(read_by_position(path, result.affine, SHAPE), result.mask)


@pytest.fixture(scope="module")
def unzipped(real_data, tmp_path_factory):
    place = tmp_path_factory.mktemp("real")
    for name in ("lidc_dicom/LIDC-IDRI-0003.zip", "ircadb/3Dircadb1.17/PATIENT_DICOM.zip"):
        with zipfile.ZipFile(real_data / name) as archive:
            archive.extractall(place)
    return {
        "LIDC-IDRI": next((place / "LIDC-IDRI-0003").rglob("*.dcm")).parent,
        "3D-IRCADb": place / "PATIENT_DICOM",
    }


@pytest.mark.real
@pytest.mark.parametrize("name", ["LIDC-IDRI", "3D-IRCADb"])
def test_segmentation_of_a_real_study_then_valid_and_in_place(unzipped, tmp_path, name):
    count = len(list(unzipped[name].iterdir()))
    blank = predicted(unzipped[name], np.zeros((count, 512, 512), np.uint8))
    mask = np.where(blank.hu > 300, 2, 0).astype(np.uint8)
    mask[40:60, 200:300, 100:180] = 1
    result = replace(blank, mask=mask)
    path = written(result, tmp_path)
    assert not errors_of(path)
    np.testing.assert_array_equal(read_by_position(path, result.affine, mask.shape), mask)
