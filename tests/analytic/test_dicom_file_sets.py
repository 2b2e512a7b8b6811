"""A DICOM series as people keep it: any names, folders, zips and character sets."""

import zipfile
from dataclasses import replace

import numpy as np
import pydicom
import pytest

from scripts.prediction.study_task import PREDICTED
from tests.analytic.dicom_files import UID, Encoding, write_series
from tests.analytic.phantom import CENTROID, VOLUME_ML, grid_of
from tests.analytic.routes import predict_files, volume_and_centre

GRID = grid_of(spacing=(4, 4, 5), descending=True)
NAMES = {
    "no suffix": lambda k: f"image_{k}",
    "unicode": lambda k: f"患者 胸部 é {k}.dcm",
    "bytes that are not UTF-8": lambda k: b"\xbb\xbc\xd5\xdf-%d.dcm" % k,
    "dots": lambda k: f"1.2.840.{k}",
    "another suffix": lambda k: f"IM{k}.jpg",
    "against the positions": lambda k: f"{100 - k:03d}.dcm",
}
CHARACTER_SETS = {
    "UTF-8": ("ISO_IR 192", "王^小东"),
    "Chinese": ("GB18030", "王^小东"),
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    "Cyrillic": ("ISO_IR 144", "Юлия^Щукина"),
    "Latin-1": ("ISO_IR 100", "Buc^Jérôme"),
}
METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "LZMA": zipfile.ZIP_LZMA,
}


@pytest.fixture
def options(lung_model):
    """Products that show what the files were read for."""
    return replace(lung_model.options, products=("mask",))


def assert_one_nodule(source, options, output):
    outcomes = predict_files(source, options, output)
    assert [outcome.status for outcome in outcomes] == [PREDICTED], outcomes
    volume_ml, centre = volume_and_centre(output / outcomes[0].study / "mask.nii.gz")
    assert volume_ml == pytest.approx(VOLUME_ML, rel=0.02)
    np.testing.assert_allclose(centre, CENTROID, atol=0.3)
    return outcomes[0]


def zipped(path, files, method=zipfile.ZIP_DEFLATED, folder="a folder"):
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in files:
            archive.write(file, f"{folder}/{file.name}")
    return path


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_files_of_any_name_then_the_whole_nodule(tmp_path, options, names):
    write_series(tmp_path / "ct", GRID, names=names)
    assert_one_nodule(tmp_path / "ct", options, tmp_path / "out")


@pytest.mark.parametrize("folder", ["a folder", "患者", b"\xbb\xbc\xd5\xdf"])
def test_folder_of_any_name_then_the_whole_nodule(tmp_path, options, folder):
    name = folder if isinstance(folder, str) else folder.decode("utf-8", "surrogateescape")
    write_series(tmp_path / name / "ct", GRID)
    assert_one_nodule(tmp_path / name, options, tmp_path / "out")


@pytest.mark.parametrize(("charset", "name"), CHARACTER_SETS.values(), ids=CHARACTER_SETS)
def test_names_of_patients_in_any_character_set_then_the_whole_nodule(
    tmp_path, options, charset, name
):
    write_series(tmp_path / "ct", GRID, SpecificCharacterSet=charset, PatientName=name)
    assert_one_nodule(tmp_path / "ct", options, tmp_path / "out")


@pytest.mark.parametrize("parts", [2, 3, GRID.shape[0]], ids=["two", "three", "one for each file"])
@pytest.mark.parametrize("interleaved", [False, True], ids=["in pieces", "interleaved"])
def test_series_in_several_folders_then_one_study(tmp_path, options, parts, interleaved):
    paths = write_series(tmp_path / "ct", GRID)
    for k, path in enumerate(paths):
        part = k % parts if interleaved else k * parts // len(paths)
        (tmp_path / "parts" / str(part)).mkdir(parents=True, exist_ok=True)
        path.rename(tmp_path / "parts" / str(part) / path.name)
    assert_one_nodule(tmp_path / "parts", options, tmp_path / "out")


def test_files_without_preamble_then_the_whole_nodule(tmp_path, options):
    for k, path in enumerate(write_series(tmp_path / "ct", GRID, names=lambda k: f"I{k}")):
        if k % 3 == 0:
            data = pydicom.dcmread(path)
            bare = pydicom.Dataset({element.tag: element for element in data})
            pydicom.dcmwrite(path, bare, implicit_vr=True, little_endian=True)
    assert_one_nodule(tmp_path / "ct", options, tmp_path / "out")


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_series_in_a_zip_then_the_whole_nodule(tmp_path, options, method):
    paths = write_series(tmp_path / "ct", GRID)
    zipped(tmp_path / "ct.zip", paths, method)
    assert_one_nodule(tmp_path / "ct.zip", options, tmp_path / "out")


def test_series_in_a_zip_in_a_zip_then_the_whole_nodule(tmp_path, options):
    inner = zipped(tmp_path / "inner.zip", write_series(tmp_path / "ct", GRID))
    outer = zipped(tmp_path / "outer.zip", [inner], folder="患者")
    assert_one_nodule(outer, options, tmp_path / "out")


def test_series_in_several_zips_then_one_study(tmp_path, options):
    paths = write_series(tmp_path / "ct", GRID)
    (tmp_path / "zips").mkdir()
    for part in range(3):
        zipped(tmp_path / "zips" / f"{part}.zip", paths[part::3])
    assert_one_nodule(tmp_path / "zips", options, tmp_path / "out")


def test_other_series_and_files_beside_then_the_whole_nodule(tmp_path, options):
    write_series(tmp_path / "ct", GRID)
    scout = grid_of("coronal", spacing=(9, 9, 150))
    write_series(
        tmp_path / "ct", scout, series="2", names=lambda k: "scout",
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
    )  # fmt: skip
    write_series(tmp_path / "ct", scout, series="3", names=lambda k: f"mr{k}.dcm", Modality="MR")
    (tmp_path / "ct" / "README.txt").write_text("about the data")
    assert_one_nodule(tmp_path / "ct", options, tmp_path / "out")


def test_two_series_that_share_a_folder_then_two_studies(tmp_path, options):
    write_series(tmp_path / "ct", GRID)
    write_series(tmp_path / "ct", GRID.reversed(), series="2", names=lambda k: f"b{k}")
    outcomes = predict_files(tmp_path / "ct", options, tmp_path / "out")
    assert [outcome.status for outcome in outcomes] == [PREDICTED] * 2
    masks = [tmp_path / "out" / outcome.study / "mask.nii.gz" for outcome in outcomes]
    assert len({volume_and_centre(mask)[0] for mask in masks}) == 1


def test_slopes_of_every_slice_its_own_then_the_whole_nodule(tmp_path, options):
    slopes = [(0.5, 0.25, 1.0)[k % 3] for k in range(GRID.shape[0])]
    write_series(tmp_path / "ct", GRID, Encoding(slope=slopes, intercept=-100))
    assert_one_nodule(tmp_path / "ct", options, tmp_path / "out")


def test_slices_of_one_place_in_two_series_uids_then_not_mixed(tmp_path, options):
    write_series(tmp_path / "ct", GRID, SeriesInstanceUID=lambda k: f"{UID}.9.{k % 2}")
    outcomes = predict_files(tmp_path / "ct", options, tmp_path / "out")
    assert len(outcomes) == 2


@pytest.mark.parametrize("named", [True, False], ids=["named", "not named"])
def test_padding_beyond_the_detector_then_the_whole_nodule(tmp_path, options, named):
    encoding = Encoding(signed=False, intercept=-1024)
    header = {"PixelPaddingValue": 63536} if named else {}
    for path in write_series(tmp_path / "ct", GRID, encoding, **header):
        data = pydicom.dcmread(path)
        values = data.pixel_array.copy()
        values[:2], values[:, :2] = 63536, 63536
        values[-2:], values[:, -2:] = 63536, 63536
        data.PixelData = values.tobytes()
        data.save_as(path)
    outcome = assert_one_nodule(tmp_path / "ct", options, tmp_path / "out")
    assumed = [text for text in outcome.warnings if "no PixelPaddingValue" in text]
    assert len(assumed) == (not named)
