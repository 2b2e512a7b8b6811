"""The products of predict on the analytic chest, read back by pydicom, highdicom and nibabel."""

from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from skimage.draw import polygon2mask

from scripts.prediction.study_task import PREDICTED
from tests.analytic.dicom_files import write_series
from tests.analytic.independent import positions_of
from tests.analytic.nifti_files import write_nifti
from tests.analytic.phantom import (
    CENTROID,
    LEFT_BACK_HEAD,
    ORIENTATIONS,
    RIGHT_FRONT_FEET,
    THRESHOLD_HU,
    VOLUME_ML,
    grid_of,
    hu_at,
)
from tests.analytic.routes import (
    contours_by_instance,
    measured,
    predict_files,
    segments_by_instance,
    volume_and_centre,
)

PRODUCTS = ("mask", "seg", "rtstruct", "statistics")


@pytest.fixture
def options(lung_model):
    return replace(lung_model.options, products=PRODUCTS)


def by_uid(paths):
    """SOPInstanceUID -> header and the right mask of a slice, from its own positions."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    return {
        str(header.SOPInstanceUID): (header, hu_at(positions_of(header)) > THRESHOLD_HU)
        for header in headers
    }


def assert_seg(file, expected):
    """Every voxel of the SEG on the slice that it refers to."""
    found = segments_by_instance(file)
    for uid, (header, mask) in expected.items():
        empty = np.zeros((header.Rows, header.Columns), bool)
        np.testing.assert_array_equal(found.get(uid, empty), mask)
    assert set(found) <= set(expected)
    seg = highdicom.seg.segread(file)
    frames = seg.get_pixels_by_source_instance(list(expected), combine_segments=True)
    np.testing.assert_array_equal(frames > 0, [mask for _, mask in expected.values()])


def assert_rtstruct(file, expected):
    """Every contour in the plane of its slice, around the right voxels."""
    found = contours_by_instance(file)
    assert set(found) == {uid for uid, (_, mask) in expected.items() if mask.any()}
    for uid, polygons in found.items():
        header, mask = expected[uid]
        axes = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        spacing = np.array(header.PixelSpacing, float)
        drawn = np.zeros(mask.shape, bool)
        for points in polygons:
            away = points - np.array(header.ImagePositionPatient, float)
            assert np.abs(away @ np.cross(*axes)).max() < 0.01
            columns_rows = away @ axes.T / spacing[::-1]
            drawn |= polygon2mask(mask.shape, columns_rows[:, ::-1])
        np.testing.assert_array_equal(drawn, mask)


def assert_measures(folder):
    lesion = measured(folder)
    assert lesion["volume_mm3"] / 1000 == pytest.approx(VOLUME_ML, rel=0.02)
    np.testing.assert_allclose(lesion["centre_lps_mm"], CENTROID, atol=0.3)
    assert lesion["lung_side"] != "right"
    widest = LEFT_BACK_HEAD[0] + RIGHT_FRONT_FEET[0]
    assert widest - 2 < lesion["longest_axial_diameter_mm"] < widest + 5


@pytest.mark.parametrize(
    ("orientation", "descending"), [(name, n % 2 > 0) for n, name in enumerate(ORIENTATIONS)]
)
def test_products_of_dicom_in_any_orientation_then_all_of_the_same_nodule(
    tmp_path, options, orientation, descending
):
    paths = write_series(tmp_path / "ct", grid_of(orientation, descending=descending))
    (outcome,) = predict_files(tmp_path / "ct", options, tmp_path / "out")
    assert outcome.status == PREDICTED, outcome.message
    folder, expected = tmp_path / "out" / outcome.study, by_uid(paths)
    assert_seg(folder / "segmentation.dcm", expected)
    assert_rtstruct(folder / "rtstruct.dcm", expected)
    assert_measures(folder)
    volume_ml, centre = volume_and_centre(folder / "mask.nii.gz")
    assert volume_ml == pytest.approx(VOLUME_ML, rel=0.02)
    np.testing.assert_allclose(centre, CENTROID, atol=0.3)


@pytest.mark.parametrize("orientation", ["axial", "feet first", "sagittal", "oblique about x"])
def test_products_of_a_volume_in_any_orientation_then_all_of_the_same_nodule(
    tmp_path, options, orientation
):
    write_nifti(tmp_path / "scan.nii.gz", grid_of(orientation))
    (outcome,) = predict_files(tmp_path / "scan.nii.gz", options, tmp_path / "out")
    assert outcome.status == PREDICTED, outcome.message
    folder = tmp_path / "out" / outcome.study
    assert_measures(folder)
    volume_ml, centre = volume_and_centre(folder / "mask.nii.gz")
    assert volume_ml == pytest.approx(VOLUME_ML, rel=0.02)
    np.testing.assert_allclose(centre, CENTROID, atol=0.3)
