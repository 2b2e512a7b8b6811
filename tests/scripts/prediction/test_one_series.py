"""One study: its DICOM files are opened twice, once for the header and once for the pixels."""

from __future__ import annotations

import builtins
import io
from collections import Counter
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk

from scripts.prediction.one_series import FAILED, KEPT, PREDICTED, Task, predict_study
from scripts.prediction.sources import find_sources
from tests.scripts.datasets.ircadb.zips import write_files, zip_bytes
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import write_series

pytestmark = pytest.mark.usefixtures("_at_the_root")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    write_series(tmp_path / "Quixotic", abdomen())
    return tmp_path / "Quixotic"


@pytest.fixture
def opened(monkeypatch):
    """How often each file was opened, and how often a header was parsed (key ``headers``)."""
    counts = Counter()
    opening, parsing = io.open, pydicom.dcmread

    def counted_open(file, *arguments, **named):
        counts[str(file)] += 1
        return opening(file, *arguments, **named)

    def counted_parse(*arguments, **named):
        counts["headers"] += 1
        return parsing(*arguments, **named)

    def none(*arguments, **named):
        raise AssertionError("SimpleITK opens files by itself")

    monkeypatch.setattr(io, "open", counted_open)
    monkeypatch.setattr(builtins, "open", counted_open)
    monkeypatch.setattr(pydicom, "dcmread", counted_parse)
    monkeypatch.setattr(sitk, "ReadImage", none)
    monkeypatch.setattr(sitk, "ImageSeriesReader", none)
    return counts


def test_series_of_a_folder_then_one_header_and_one_reading_of_pixels_a_file(
    liver_options, folder, tmp_path, opened
):
    (source,) = find_sources(folder).sources
    outcome = predict_study(Task(source, tmp_path / "out", liver_options))
    assert outcome.status == PREDICTED, outcome.message
    assert (tmp_path / "out" / source.name / "segmentation.dcm").is_file()
    assert opened["headers"] == 24
    assert {opened[str(path)] for path in folder.iterdir()} == {2}


def test_series_of_a_zip_then_one_header_a_file(liver_options, folder, tmp_path, opened):
    content = {file.name: file.read_bytes() for file in folder.iterdir()}
    write_files(tmp_path, {"x.zip": zip_bytes(content)})
    opened.clear()
    (source,) = find_sources(tmp_path / "x.zip").sources
    outcome = predict_study(Task(source, tmp_path / "out", liver_options))
    assert outcome.status == PREDICTED, outcome.message
    assert opened["headers"] == 24
    assert opened[str(tmp_path / "x.zip")] == 3  # its directory, the headers, the pixels


def test_study_again_then_kept_without_reading_pixels(liver_options, folder, tmp_path, opened):
    (source,) = find_sources(folder).sources
    task = Task(source, tmp_path / "out", liver_options)
    assert predict_study(task).status == PREDICTED
    opened.clear()
    assert predict_study(task).status == KEPT
    assert not {opened[str(path)] for path in folder.iterdir()} - {0}


def test_slice_missing_then_failed_and_named_on_the_screen_only(liver_options, folder, tmp_path):
    files = sorted(folder.iterdir())
    files[9].unlink()
    (source,) = find_sources(folder).sources
    outcome = predict_study(Task(source, tmp_path / "out", liver_options))
    assert outcome.status == FAILED
    assert "slices: 1 missing between slice-" in outcome.reason
    assert "Quixotic" not in outcome.reason
    assert str(folder) in outcome.message
    assert any(Path(file).name in outcome.message for file in files)
    assert not (tmp_path / "out" / source.name).exists()
