from __future__ import annotations

import io
import zipfile

import numpy as np
import pydicom
import pytest

from scripts.phantom.dicom_images import SliceGeometry, padded, slice_files, zip_bytes

HU = (np.arange(3 * 4 * 5).reshape(3, 4, 5) - 1000).astype(np.int16)


def read(**options) -> list[pydicom.Dataset]:
    geometry = SliceGeometry((1.0, 2.0, 3.0), (0.7, 0.8, 2.5), options.pop("descending", False))
    files = slice_files(HU, "P", "ct", geometry, **options)
    return [pydicom.dcmread(io.BytesIO(content)) for _, content in files]


@pytest.mark.parametrize("intercept", [0, -1024])
@pytest.mark.parametrize("descending", [False, True], ids=["upwards", "downwards"])
def test_slices_then_hu_and_places_of_the_volume(intercept: int, descending: bool) -> None:
    slices = read(intercept=intercept, descending=descending)
    slices.sort(key=lambda one: one.ImagePositionPatient[2])
    values = [one.pixel_array.astype(int) + int(one.RescaleIntercept) for one in slices]
    np.testing.assert_array_equal(values, HU)
    assert [float(one.ImagePositionPatient[2]) for one in slices] == [3.0, 5.5, 8.0]
    assert [float(step) for step in slices[0].PixelSpacing] == [0.8, 0.7]


def test_descending_series_then_its_first_image_is_the_highest() -> None:
    assert float(read(descending=True)[0].ImagePositionPatient[2]) == 8.0
    assert float(read(descending=False)[0].ImagePositionPatient[2]) == 3.0


def test_series_then_one_study_and_its_own_instance_uids() -> None:
    slices = read()
    assert len({one.SeriesInstanceUID for one in slices}) == 1
    assert len({one.SOPInstanceUID for one in slices}) == 3
    assert all(one.SOPInstanceUID.is_valid for one in slices)


def test_odd_number_of_bytes_then_padded() -> None:
    assert padded(b"abc") == b"abc\0"
    assert padded(b"ab") == b"ab"


def test_zip_then_the_same_bytes_each_time_with_folders_as_members() -> None:
    files = {"a/b/x": b"1", "a/y": b"2"}
    assert zip_bytes(files) == zip_bytes(files)
    with zipfile.ZipFile(io.BytesIO(zip_bytes(files))) as archive:
        assert archive.namelist() == ["a/", "a/b/", "a/b/x", "a/y"]
        assert archive.read("a/y") == b"2"
