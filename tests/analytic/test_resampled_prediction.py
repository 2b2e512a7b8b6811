"""predict --geometry resample: tilted and uneven series, with the mask back on their slices."""

import json
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest

from scripts.prediction.study_task import FAILED, PREDICTED
from scripts.volumes.readers import read_volume
from tests.analytic.independent import positions_of
from tests.analytic.phantom import CENTROID, THRESHOLD_HU, VOLUME_ML, hu_at
from tests.analytic.routes import (
    contours_by_instance,
    measured,
    predict_files,
    segments_by_instance,
    volume_and_centre,
)
from tests.analytic.stacks import STACKS, stack_of, write_stack

IRREGULAR = [name for name in STACKS if name != "even"]
PRODUCTS = ("mask", "seg", "rtstruct", "statistics")


@pytest.fixture
def options(lung_model):
    return replace(lung_model.options, products=PRODUCTS, geometry="resample")


def on_slices(paths):
    """SOPInstanceUID -> header and right mask, by pydicom and the phantom alone."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    return {
        str(each.SOPInstanceUID): (each, hu_at(positions_of(each)) > THRESHOLD_HU)
        for each in headers
    }


def volume_on_slices(masks, expected):
    """Volume in ml and centre of masks on slices: each pixel as thick as its slice is far apart."""
    normal = np.cross(
        *np.array(next(iter(expected.values()))[0].ImageOrientationPatient).reshape(2, 3)
    )
    offsets = np.array([np.array(h.ImagePositionPatient) @ normal for h, _ in expected.values()])
    thick = np.gradient(offsets)
    total, moment = 0.0, np.zeros(3)
    for (uid, (header, _)), depth in zip(expected.items(), thick, strict=True):
        if uid in masks:
            ml = float(np.prod(np.array(header.PixelSpacing, float))) * depth / 1000
            total += masks[uid].sum() * ml
            moment += positions_of(header)[masks[uid]].sum(axis=0) * ml
    return total, moment / total


@pytest.mark.parametrize("name", IRREGULAR)
def test_irregular_series_then_the_nodule_on_its_own_slices(tmp_path, options, name):
    stack = stack_of(name)
    paths = write_stack(tmp_path / "ct", stack)
    (outcome,) = predict_files(tmp_path / "ct", options, tmp_path / "out")
    assert outcome.status == PREDICTED, outcome.message
    folder, expected = tmp_path / "out" / outcome.study, on_slices(paths)
    found = segments_by_instance(folder / "segmentation.dcm")
    assert set(found) <= set(expected)
    both = sum((found[uid] & expected[uid][1]).sum() for uid in found)
    either = sum(mask.sum() for mask in found.values()) + sum(m.sum() for _, m in expected.values())
    assert 2 * both / either > 0.94
    volume_ml, centre = volume_on_slices(found, expected)
    assert volume_ml == pytest.approx(VOLUME_ML, rel=0.03)
    assert np.abs(centre - CENTROID).max() < 0.5  # slices are up to 5 mm apart

    for volume_ml, centre in (
        volume_and_centre(folder / "mask.nii.gz"),
        (measured(folder)["volume_mm3"] / 1000, measured(folder)["centre_lps_mm"]),
    ):
        assert volume_ml == pytest.approx(VOLUME_ML, rel=0.03)
        assert np.abs(np.array(centre) - CENTROID).max() < 0.3
    for uid, polygons in contours_by_instance(folder / "rtstruct.dcm").items():
        header = expected[uid][0]
        normal = np.cross(*np.array(header.ImageOrientationPatient, float).reshape(2, 3))
        for points in polygons:
            away = points - np.array(header.ImagePositionPatient, float)
            assert np.abs(away @ normal).max() < 0.01
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["resampled"]["slices"] == len(paths)
    assert manifest["resampled"]["tilt_degrees"] == pytest.approx(stack.tilt_degrees, abs=0.01)
    assert any("resampled to a regular grid" in warning for warning in manifest["warnings"])
    seg = highdicom.seg.segread(folder / "segmentation.dcm")
    frames = seg.get_pixels_by_source_instance(list(expected), combine_segments=True)
    for frame, uid in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame > 0, found.get(uid, np.zeros_like(frame, bool)))


@pytest.mark.parametrize("name", ["tilted by 6 degrees", "one slice missing", "uneven"])
def test_irregular_series_by_default_then_refused_with_the_option_named(tmp_path, lung_model, name):
    write_stack(tmp_path / "ct", stack_of(name))
    (outcome,) = predict_files(tmp_path / "ct", lung_model.options, tmp_path / "out")
    assert outcome.status == FAILED
    assert "--geometry resample" in outcome.message
    with pytest.raises(ValueError, match="slices") as caught:
        read_volume(tmp_path / "ct")  # prepare and the configs have no such option
    assert "--geometry" not in str(caught.value)


def test_irregular_series_then_picture_and_page_too(tmp_path, options):
    write_stack(tmp_path / "ct", stack_of("uneven and tilted"))
    options = replace(options, products=("overview", "report"))
    (outcome,) = predict_files(tmp_path / "ct", options, tmp_path / "out")
    assert outcome.status == PREDICTED, outcome.message
    folder = tmp_path / "out" / outcome.study
    assert (folder / "overview.png").is_file()
    assert "resampled to a regular grid" in (folder / "report.html").read_text()


def test_even_series_with_the_option_then_nothing_resampled(tmp_path, options):
    stack = stack_of("even")
    paths = write_stack(tmp_path / "ct", stack)
    (outcome,) = predict_files(tmp_path / "ct", options, tmp_path / "out")
    folder = tmp_path / "out" / outcome.study
    assert json.loads((folder / "manifest.json").read_text())["resampled"] is None
    found, expected = segments_by_instance(folder / "segmentation.dcm"), on_slices(paths)
    for uid, (_, mask) in expected.items():
        np.testing.assert_array_equal(found.get(uid, np.zeros_like(mask)), mask)
