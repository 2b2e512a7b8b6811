"""Enhanced multi-frame CT of the analytic chest: read like single slices, the SEG on its frames."""

import json
import zipfile
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEGLSLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)

from scripts.prediction.study_task import FAILED, PREDICTED
from scripts.volumes.readers import read_volume
from tests.analytic.dicom_files import Encoding, shuffled
from tests.analytic.enhanced_files import GROUPS, SHARED, slices_of, write_enhanced
from tests.analytic.independent import assert_chest
from tests.analytic.phantom import CENTROID, ORIENTATIONS, VOLUME_ML, grid_of
from tests.analytic.routes import measured, predict_files, volume_and_centre
from tests.analytic.stacks import slice_grid, stack_of
from tests.scripts.prediction.dicom_source import errors_of

GRID = grid_of(spacing=(4, 4, 5))
ENCODINGS = {
    "RLE": Encoding(RLELossless),
    "JPEG-LS": Encoding(JPEGLSLossless, signed=False, intercept=-1024),
    "deflated": Encoding(DeflatedExplicitVRLittleEndian),
    "12 bits": Encoding(bits=12, signed=False, intercept=-1024),
    "12 bits at the top": Encoding(bits=12, high_bit=15, signed=False, intercept=-1024),
}


@pytest.fixture
def options(lung_model):
    return replace(lung_model.options, products=("mask", "seg", "rtstruct", "sr", "statistics"))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_frames_in_any_orientation_and_order_then_every_hu_at_its_position(tmp_path, orientation):
    grid = grid_of(orientation, spacing=(4, 4, 5))
    write_enhanced(tmp_path / "ct", slices_of(grid, shuffled(grid.shape[0])))
    assert_chest(read_volume(tmp_path / "ct"), grid)


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_frames_in_any_encoding_then_every_hu_at_its_position(tmp_path, encoding):
    write_enhanced(tmp_path / "ct", slices_of(GRID), encoding)
    assert_chest(read_volume(tmp_path / "ct"), GRID)


@pytest.mark.parametrize("shared", [(), SHARED, [k for k in GROUPS if "Position" not in k]])
def test_groups_shared_or_of_each_frame_then_the_same(tmp_path, shared):
    write_enhanced(
        tmp_path / "ct", slices_of(GRID), shared=shared,
        SOPClassUID=LegacyConvertedEnhancedCTImageStorage,
    )  # fmt: skip
    assert_chest(read_volume(tmp_path / "ct"), GRID)


def frames_right(file, grids):
    """Every frame of the SEG on the frame of the source that it refers to."""
    data = pydicom.dcmread(file)
    pixels = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    found = {}
    for frame, item in zip(pixels, data.PerFrameFunctionalGroupsSequence, strict=True):
        (source,) = item.DerivationImageSequence[0].SourceImageSequence
        number = int(source.ReferencedFrameNumber)
        found[number] = frame > 0
        position = item.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(position, grids[number - 1].affine[:3, 3], atol=1e-3)
    return [found.get(k + 1, np.zeros(grids[k].shape[1:], bool)) for k in range(len(grids))]


def test_prediction_then_seg_rtstruct_and_sr_of_the_frames(tmp_path, options):
    grids = slices_of(GRID, shuffled(GRID.shape[0]))
    write_enhanced(tmp_path / "ct", grids)
    (outcome,) = predict_files(tmp_path / "ct", options, tmp_path / "out")
    assert outcome.status == PREDICTED, outcome.message
    folder = tmp_path / "out" / outcome.study
    for mask, grid in zip(frames_right(folder / "segmentation.dcm", grids), grids, strict=True):
        np.testing.assert_array_equal(mask, grid.nodule()[0])
    seg = highdicom.seg.segread(folder / "segmentation.dcm")
    read_back = seg.get_pixels_by_source_frame(
        pydicom.dcmread(tmp_path / "ct" / "enhanced.dcm").SOPInstanceUID,
        list(range(1, len(grids) + 1)),
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    np.testing.assert_array_equal(read_back > 0, [grid.nodule()[0] for grid in grids])
    structures = pydicom.dcmread(folder / "rtstruct.dcm")
    for contour in structures.ROIContourSequence[0].ContourSequence:
        number = contour.ContourImageSequence[0].ReferencedFrameNumber
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        np.testing.assert_allclose(points[:, 2], grids[number - 1].affine[2, 3], atol=1e-3)
    report = highdicom.sr.srread(folder / "sr.dcm")
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    (volume,) = group.get_measurements(name=codes.SCT.Volume)
    assert volume.value == measured(folder)["volume_mm3"]
    told = [
        instance.ReferencedSOPInstanceUID
        for series in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    assert seg.SOPInstanceUID in told
    volume_ml, centre = volume_and_centre(folder / "mask.nii.gz")
    assert volume_ml == pytest.approx(VOLUME_ML, rel=0.02)
    np.testing.assert_allclose(centre, CENTROID, atol=0.3)
    assert json.loads((folder / "manifest.json").read_text())["resampled"] is None
    assert not errors_of(folder / "sr.dcm")  # last, as it skips the test without the validator


def test_frames_in_a_zip_then_the_same(tmp_path, options):
    path = write_enhanced(tmp_path / "ct", slices_of(GRID))
    with zipfile.ZipFile(tmp_path / "ct.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "a/b")
    (outcome,) = predict_files(tmp_path / "ct.zip", options, tmp_path / "out")
    assert outcome.status == PREDICTED, outcome.message
    assert measured(tmp_path / "out" / outcome.study)["volume_mm3"] / 1000 == pytest.approx(
        VOLUME_ML, rel=0.02
    )


def test_frames_that_are_tilted_then_resampled_on_request(tmp_path, options):
    stack = stack_of("uneven and tilted")
    grids = [slice_grid(stack, k) for k in shuffled(len(stack.positions))]
    write_enhanced(tmp_path / "ct", grids)
    (outcome,) = predict_files(tmp_path / "ct", options, tmp_path / "out")
    assert outcome.status == FAILED
    assert "--geometry resample" in outcome.message
    options = replace(options, geometry="resample")
    (outcome,) = predict_files(tmp_path / "ct", options, tmp_path / "out")
    assert outcome.status == PREDICTED, outcome.message
    masks = frames_right(tmp_path / "out" / outcome.study / "segmentation.dcm", grids)
    right = np.array([grid.nodule()[0] for grid in grids])
    assert 2 * (right & masks).sum() / (right.sum() + np.sum(masks)) > 0.94


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"PerFrameFunctionalGroupsSequence": None},
            "26 frames in one file, and no functional groups",
        ),
        ({"NumberOfFrames": 5}, "describe each of its 5 frames"),
    ],
    ids=["no groups", "fewer frames"],
)
def test_frames_not_described_then_refused(tmp_path, changes, reason):
    write_enhanced(tmp_path / "ct", slices_of(GRID), **changes)
    with pytest.raises(ValueError, match=reason):
        read_volume(tmp_path / "ct")


def test_frames_without_rescaling_then_refused_by_frame(tmp_path):
    path = write_enhanced(tmp_path / "ct", slices_of(GRID))
    data = pydicom.dcmread(path)
    del data.PerFrameFunctionalGroupsSequence[6].PixelValueTransformationSequence
    data.save_as(path)
    with pytest.raises(ValueError, match="RescaleSlope is missing in enhanced.dcm frame 7"):
        read_volume(tmp_path / "ct")


def test_two_volumes_in_one_file_then_refused_with_what_to_do(tmp_path):
    write_enhanced(tmp_path / "ct", [*slices_of(GRID), *slices_of(GRID)])
    with pytest.raises(ValueError, match="frame 1 and enhanced.dcm frame 27 .*one of its volumes"):
        read_volume(tmp_path / "ct")


def test_two_files_of_one_series_then_refused_together_and_predicted_alone(tmp_path, options):
    paths = [
        write_enhanced(
            tmp_path / "ct", slices_of(GRID), name=f"phase{n}", SOPInstanceUID=f"1.2.{n}"
        )
        for n in (1, 2)
    ]
    (together,) = predict_files(tmp_path / "ct", options, tmp_path / "out")
    assert together.status == FAILED
    assert "predict each of the two files alone" in together.message
    for n, path in enumerate(paths):
        (alone,) = predict_files(path, options, tmp_path / f"out{n}")
        assert alone.status == PREDICTED, alone.message
