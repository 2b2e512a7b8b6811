"""One study: its DICOM files are opened for the header, and once for their hash and pixels."""

from __future__ import annotations

import builtins
import io
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import JPEGLSLossless, RLELossless

from scripts.prediction.dicom.source_series import NO_FRAME
from scripts.prediction.one_series import predict_study
from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.study_task import FAILED, KEPT, PREDICTED, Task
from scripts.prediction.writing.products import USUAL
from scripts.volumes.dicom import pixels
from tests.scripts.datasets.ircadb.zips import write_files, zip_bytes
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import write_nifti, write_series

pytestmark = pytest.mark.usefixtures("_at_the_root")


def write_detached(scan, header, data):
    """Write a volume as a header and a voxel file of another name."""
    scan.hu.tofile(data)
    sizes = " ".join(map(str, scan.hu.shape[::-1]))
    origin, steps = scan.affine[:3, 3], np.diag(scan.affine)[:3]
    if header.suffix == ".mhd":
        header.write_text(
            f"NDims = 3\nDimSize = {sizes}\nElementType = MET_SHORT\n"
            f"TransformMatrix = {' '.join(map(str, np.diag(np.sign(steps)).ravel()))}\n"
            f"ElementSpacing = {' '.join(map(str, np.abs(steps)))}\n"
            f"Offset = {' '.join(map(str, origin))}\nElementDataFile = {data.name}\n"
        )
        return
    directions = " ".join(f"({','.join(map(str, row))})" for row in np.diag(steps))
    header.write_text(
        f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nendian: little\n"
        f"encoding: raw\nspace: LPS\nspace directions: {directions}\n"
        f"space origin: ({','.join(map(str, origin))})\ndata file: {data.name}\n"
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "out").mkdir()
    write_series(tmp_path / "Quixotic", abdomen())
    return tmp_path / "Quixotic"


@pytest.fixture
def opened(monkeypatch):
    """How often each file was opened, headers were parsed (``headers``), pixels decoded."""
    counts = Counter()
    opening, parsing, decoding = io.open, pydicom.dcmread, pixels._decoded

    def counted_open(file, *arguments, **named):
        counts[str(file)] += 1
        return opening(file, *arguments, **named)

    def counted_parse(*arguments, **named):
        counts["headers"] += 1
        return parsing(*arguments, **named)

    def counted_decode(image):
        counts["pixels"] += 1
        return decoding(image)

    def none(*arguments, **named):
        raise AssertionError("SimpleITK opens files by itself")

    monkeypatch.setattr(io, "open", counted_open)
    monkeypatch.setattr(builtins, "open", counted_open)
    monkeypatch.setattr(pydicom, "dcmread", counted_parse)
    monkeypatch.setattr(pixels, "_decoded", counted_decode)
    monkeypatch.setattr(sitk, "ReadImage", none)
    monkeypatch.setattr(sitk, "ImageSeriesReader", none)
    return counts


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless], ids=["plain", "RLE", "LS"])
def test_series_of_a_folder_then_one_header_and_one_reading_of_pixels_a_file(
    liver_options, folder, tmp_path, opened, syntax
):
    for path in folder.iterdir() if syntax is not None else ():
        data = pydicom.dcmread(path)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(path)
    opened.clear()
    (source,) = find_sources(folder).sources
    outcome = predict_study(Task(source, tmp_path / "out", liver_options))
    assert outcome.status == PREDICTED, outcome.message
    assert (tmp_path / "out" / source.name / "segmentation.dcm").is_file()
    assert (opened["headers"], opened["pixels"]) == (24, 24)
    assert {opened[str(path)] for path in folder.iterdir()} == {2}  # header; hash and pixels


def test_series_of_a_zip_then_one_header_a_file(liver_options, folder, tmp_path, opened):
    content = {file.name: file.read_bytes() for file in folder.iterdir()}
    write_files(tmp_path, {"x.zip": zip_bytes(content)})
    opened.clear()
    (source,) = find_sources(tmp_path / "x.zip").sources
    outcome = predict_study(Task(source, tmp_path / "out", liver_options))
    assert outcome.status == PREDICTED, outcome.message
    assert (opened["headers"], opened["pixels"]) == (24, 24)
    assert opened[str(tmp_path / "x.zip")] == 2  # directory, members
    assert not source.contents


def test_series_of_a_zip_too_large_to_hold_then_the_same_mask(
    liver_options, folder, tmp_path, monkeypatch
):
    content = {file.name: file.read_bytes() for file in folder.iterdir()}
    write_files(tmp_path, {"x.zip": zip_bytes(content)})
    masks = []
    for most in (1 << 20, 0):
        monkeypatch.setattr("scripts.prediction.sources.ct_sources.MOST_HELD", most)
        monkeypatch.setattr("scripts.prediction.sources.source_access.MOST_HELD", most)
        (source,) = find_sources(tmp_path / "x.zip").sources
        assert len(source.contents) == (24 if most else 0)
        task = Task(source, tmp_path / "out" / str(most), liver_options)
        task.output.mkdir()
        assert predict_study(task).status == PREDICTED
        masks.append((task.folder / "mask.nii.gz").read_bytes())
    assert masks[0] == masks[1]


def test_study_again_then_kept_after_one_reading_of_each_file(
    liver_options, folder, tmp_path, opened
):
    (source,) = find_sources(folder).sources
    task = Task(source, tmp_path / "out", liver_options)
    assert predict_study(task).status == PREDICTED
    opened.clear()
    assert predict_study(task).status == KEPT
    assert {opened[str(path)] for path in folder.iterdir()} == {1}
    assert not opened["headers"]


def test_study_when_a_slice_was_replaced_in_place_then_predicted_anew(
    liver_options, folder, tmp_path
):
    task = Task(find_sources(folder).sources[0], tmp_path / "out", liver_options)
    assert predict_study(task).status == PREDICTED
    path = min(folder.iterdir())
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    task = Task(find_sources(folder).sources[0], tmp_path / "out", liver_options)
    assert predict_study(task).status == PREDICTED
    assert predict_study(task).status == KEPT


@pytest.mark.parametrize("name", ["scan.mhd", "scan.nrrd"])
def test_volume_when_its_voxel_file_of_another_name_was_replaced_then_predicted_anew(
    liver_options, tmp_path, name
):
    scan = abdomen()
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    header, data = tmp_path / "in" / name, tmp_path / "in" / "voxels.bin"
    write_detached(scan, header, data)
    task = Task(find_sources(header).sources[0], tmp_path / "out", liver_options)
    assert predict_study(task).status == PREDICTED
    assert predict_study(task).status == KEPT
    times = data.stat()
    np.roll(scan.hu, 1, axis=0).tofile(data)
    os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert predict_study(task).status == PREDICTED


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


def predicted(source, output, options, **changes):
    """The outcome of the only CT at a path."""
    (found,) = find_sources(source).sources
    return predict_study(Task(found, output, replace(options, **changes)))


def rewritten(folder, change):
    for number, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        change(data, number)
        data.save_as(path)


def test_frame_of_reference_missing_then_every_product_and_a_warning(
    liver_options, folder, tmp_path
):
    rewritten(folder, lambda data, _: data.pop("FrameOfReferenceUID"))
    everything = (*USUAL, "rtstruct")
    outcome = predicted(folder, tmp_path / "out", liver_options, products=everything)
    assert outcome.status == PREDICTED, outcome.message
    missing = "kidney: not found in this scan (0 mL)"  # of this chest
    assert outcome.warnings == (NO_FRAME, missing)
    without = predicted(folder, tmp_path / "out", liver_options, products=("mask",))
    assert without.warnings == (missing,)


def test_frames_of_reference_mixed_then_the_advice_works(liver_options, folder, tmp_path):
    rewritten(folder, lambda data, k: setattr(data, "FrameOfReferenceUID", f"1.{k % 2 + 1}"))
    everything = (*USUAL, "rtstruct")
    outcome = predicted(folder, tmp_path / "out", liver_options, products=everything)
    assert outcome.status == FAILED
    advised = outcome.reason.partition("--products ")[2].partition(" ")[0].split(",")
    assert {"seg", "rtstruct"}.isdisjoint(advised)
    again = predicted(folder, tmp_path / "out", liver_options, products=tuple(advised))
    assert again.status == PREDICTED, again.message


def test_factors_that_differ_then_a_warning(liver_options, folder, tmp_path):
    def change(data, number):
        data.RescaleIntercept = -1024 - number % 2

    rewritten(folder, change)
    outcome = predicted(folder, tmp_path / "out", liver_options, products=("mask",))
    assert outcome.warnings[0] == (
        "RescaleIntercept differs between slices; each is converted by its own"
    )


def test_memory_that_does_not_suffice_then_failed_in_words(
    liver_options, folder, tmp_path, monkeypatch
):
    def full(*arguments, **named):
        raise MemoryError("Unable to allocate 8.59 GiB")

    monkeypatch.setattr("scripts.prediction.one_series.predict_volume", full)
    outcome = predicted(folder, tmp_path / "out", liver_options)
    assert outcome.reason == "not enough memory for this CT: Unable to allocate 8.59 GiB"


def test_volumes_when_named_in_gbk_or_with_a_header_that_kills_itk_then_the_batch_goes_on(
    liver_options, tmp_path
):
    (tmp_path / "out").mkdir()
    scans = os.fsencode(tmp_path / "in")
    os.mkdir(scans)
    whole = write_nifti(tmp_path / "whole.nii", abdomen()).read_bytes()
    contents = {
        "患者.nii".encode("gbk"): whole,
        "胸部.nii".encode("gbk"): whole[:2000],
        b"killer.nrrd": b"NRRD0004\n" + b"x" * 5000 + b"\n\n",
        b"outside.mha": b"NDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\n"
        b"ElementSpacing = 1 1 1\nOffset = 0 0 0\nElementDataFile = /etc/passwd\n",
    }
    for name, content in contents.items():
        with open(os.path.join(scans, name), "wb") as file:
            file.write(content)
    found = find_sources(tmp_path / "in").sources
    outcomes = [predict_study(Task(each, tmp_path / "out", liver_options)) for each in found]
    assert sorted(each.status for each in outcomes) == [FAILED, FAILED, FAILED, PREDICTED]
    reasons = " ".join(each.reason for each in outcomes)
    assert "truncated: the header states" in reasons
    assert "line 2 of the header must be 'field: value'" in reasons
    assert "ElementDataFile must name a file in the header's folder" in reasons
    for each in outcomes:
        each.message.encode()
        assert "\n" not in each.message
