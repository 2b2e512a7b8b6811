"""The command as a user types it: what is written, kept, refused; nobody's name anywhere."""

import errno
import gzip
import io
import json
import re
import zipfile
from contextlib import redirect_stdout
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from PIL import Image
from pydicom.sr.codedict import codes

from tests.scripts.datasets.ircadb.zips import write_files, zip_bytes
from tests.scripts.prediction.running import say, summary_of
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import (
    PERSON,
    ROOT,
    bright_chest,
    bytes_below,
    write_nifti,
    write_series,
)

pytestmark = pytest.mark.usefixtures("_at_the_root", "_fresh_model")
ALL = {
    *("mask.nii.gz", "segmentation.dcm", "rtstruct.dcm", "sr.dcm", "statistics.json"),
    *("statistics.csv", "candidates.csv", "overview.png", "report.html", "manifest.json"),
}


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    """A zip in a zip, named after the patient: the CT, a localiser, a report, a stray file."""
    folder = tmp_path_factory.mktemp("inside")
    files = write_series(folder / "Quixotic", bright_chest())
    (scout,) = write_series(folder / "scout", bright_chest(), series="scout")[:1]
    data = pydicom.dcmread(scout)
    data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    data.save_as(scout)
    (other,) = write_series(folder / "other", bright_chest(), series="other", Modality="SR")[:1]
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        for file in [*files, scout, other]:
            archive.write(file, f"Quixotic Zebulon/{file.name}")
        archive.writestr("__MACOSX/._x", b"")
    path = tmp_path_factory.mktemp("zips") / "Quixotic_PID-55501234.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("PATIENT_DICOM.zip", inner.getvalue())
    return path


@pytest.fixture(scope="module")
def predicted(zipped, lung_options, tmp_path_factory):
    """The output of one command on that zip, and what it printed."""
    output, printed = tmp_path_factory.mktemp("out") / "new", io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(ROOT)
        products = "mask,sr,statistics,candidates,overview,report"
        assert say(lung_options, zipped, output, "--rtstruct", "--products", products) == 0
    return output, printed.getvalue()


def test_zip_then_every_product_in_a_folder_named_by_the_series(predicted, zipped):
    output, printed = predicted
    (folder,) = (path for path in output.iterdir() if path.is_dir())
    assert re.fullmatch(r"ct-[0-9a-f]{12}", folder.name)
    assert {path.name for path in folder.iterdir()} == ALL
    assert "1 files, localiser, not a slice" in printed
    assert "1 files, modality SR, not CT" in printed
    assert "1 predicted" in printed
    summary = summary_of(output)
    assert summary["counts"] == {"predicted": 1, "already there": 0, "failed": 0, "refused": 0}
    assert summary["skipped"] == {
        "localiser, not a slice": 1,
        "modality SR, not CT": 1,
        "hidden, or left by the operating system": 1,
    }


def test_products_then_tell_of_one_mask(predicted):
    (folder,) = (path for path in predicted[0].iterdir() if path.is_dir())
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "mask.nii.gz")))
    assert sorted(np.unique(mask)) == [0, 1, 2, 3]
    np.testing.assert_array_equal(mask > 0, bright_chest().mask > 0)
    assert len(pydicom.dcmread(folder / "segmentation.dcm").SegmentSequence) == 3
    assert len(pydicom.dcmread(folder / "rtstruct.dcm").ROIContourSequence) == 3
    lesions = json.loads((folder / "statistics.json").read_text())["lesions"]
    assert [lesion["dicom_segment"] for lesion in lesions] == [1, 2, 3]
    report = highdicom.sr.srread(folder / "sr.dcm").content
    volumes = [
        group.get_measurements(name=codes.SCT.Volume)[0].value
        for group in report.get_volumetric_roi_measurement_groups()
    ]
    assert volumes == [lesion["volume_mm3"] for lesion in lesions]
    objects = json.loads((folder / "manifest.json").read_text())["dicom_objects"]
    assert (objects["seg"]["type"], objects["lesions_left_out"]) == ("BINARY", 0)


def test_more_lesions_than_asked_for_then_left_out_of_dicom_only_and_reported_everywhere(
    zipped, lung_options, tmp_path, capsys
):
    asked = ("--products", "mask,sr,statistics", "--dicom_lesions", "2", "--seg", "labelmap")
    assert say(lung_options, zipped, tmp_path, *asked) == 0
    told = "DICOM objects hold 2 of 3 lesions, those of the highest confidence, and leave 1 out"
    assert told in capsys.readouterr().out
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert any(told in warning for warning in manifest["warnings"])
    assert manifest["dicom_objects"]["lesions_left_out"] == 1
    assert manifest["dicom_objects"]["seg"]["why"] == "asked for by --seg labelmap"
    assert manifest["provenance"]["command"].endswith(
        "--seg labelmap --dicom_lesions 2 --products mask,seg,sr,statistics"
    )
    assert len(manifest["segments"]) == 3
    statistics = json.loads((folder / "statistics.json").read_text())
    numbers = [lesion["dicom_segment"] for lesion in statistics["lesions"]]
    assert sorted(numbers, key=str) == [1, 2, None]
    rows = (folder / "statistics.csv").read_text().splitlines()
    column = rows[0].split(",").index("dicom_segment")
    assert [row.split(",")[column] for row in rows[1:]] == [str(n or "") for n in numbers]
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "mask.nii.gz")))
    segmentation = highdicom.seg.segread(folder / "segmentation.dcm")
    assert segmentation.segmentation_type.value == "LABELMAP"
    (left_out,) = (k for k, number in enumerate(numbers, start=1) if number is None)
    volume = segmentation.get_volume(combine_segments=True, allow_missing_positions=True)
    assert np.count_nonzero(volume.array) == np.count_nonzero(mask) - (mask == left_out).sum()
    report = highdicom.sr.srread(folder / "sr.dcm").content
    assert len(report.get_volumetric_roi_measurement_groups()) == 2


def test_candidates_then_of_each_study_and_of_all_in_luna16s_format(predicted):
    (folder,) = (path for path in predicted[0].iterdir() if path.is_dir())
    text = (folder / "candidates.csv").read_text()
    assert (predicted[0] / "candidates.csv").read_text() == text
    header, *rows = text.splitlines()
    assert header == "seriesuid,coordX,coordY,coordZ,probability"
    statistics = json.loads((folder / "statistics.json").read_text())["lesions"]
    found = sorted(tuple(map(float, row.split(",")[1:4])) for row in rows)
    assert found == sorted(tuple(lesion["centre_lps_mm"]) for lesion in statistics)
    assert {row.split(",")[0] for row in rows} == {folder.name}
    assert all(lesion["mean_probability"] > 0.99 for lesion in statistics)
    described = pydicom.dcmread(folder / "segmentation.dcm").SegmentSequence
    assert "highest probability inside" in described[0].SegmentDescription


def test_manifest_then_says_what_made_it(predicted, lung_options):
    (folder,) = (path for path in predicted[0].iterdir() if path.is_dir())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {file["name"] for file in manifest["files"]} == ALL - {"manifest.json"}
    assert re.fullmatch(r"[0-9a-f]{64}", manifest["weights"][0]["sha256"])
    assert re.fullmatch(r"[0-9a-f]{64}", manifest["config_sha256"])
    assert manifest["device"] == "cpu"
    steps = {"read", "preprocess", "network", "postprocess", "measure", "write mask", "write seg"}
    assert steps <= manifest["seconds"].keys()
    assert manifest["peak_memory_mb"] > 0
    assert manifest["source"]["kind"] == "DICOM series"
    assert manifest["provenance"]["versions"]["monai"]
    command = manifest["provenance"]["command"]
    assert "--source SOURCE --output OUTPUT" in command
    assert "/" not in command


def test_weights_with_a_prefix_then_said_on_the_screen_and_in_the_manifest(
    liver_options, tmp_path, capsys
):
    content = torch.load(liver_options.checkpoints[0], weights_only=True)
    content["model"] = {f"module.{key}": tensor for key, tensor in content["model"].items()}
    torch.save(content, tmp_path / "wrapped.pt")
    options = replace(liver_options, checkpoints=(str(tmp_path / "wrapped.pt"),))
    source = write_nifti(tmp_path / "a.nii.gz", abdomen())
    assert say(options, source, tmp_path / "out", "--products", "mask") == 0
    note = "wrapped.pt: its tensors were loaded without the prefix module."
    assert f"ckpt_path: {note}" in capsys.readouterr().out
    assert note in json.loads((tmp_path / "out" / "a" / "manifest.json").read_text())["warnings"]


def texts_in(name, content):
    """A file's bytes, and what is packed in them."""
    yield content
    if name.endswith(".gz"):
        yield gzip.decompress(content)
    if name.endswith(".png"):
        yield repr(Image.open(io.BytesIO(content)).info).encode()


def test_every_byte_written_then_without_the_patient(predicted):
    output, _ = predicted
    files = bytes_below(output)
    parts = {part for value in PERSON.values() for part in value.split("^")}
    kept_by_dicom = 0
    for name, content in files.items():
        for text in texts_in(name, content):
            for part in parts:
                found = part.lower().encode() in text.lower()
                found |= part.encode("utf-16-le") in text
                if name.endswith(".dcm"):
                    kept_by_dicom += found
                else:
                    assert not found, f"{part} in {name}"
        assert not any(part.lower() in name.lower() for part in parts)
    assert kept_by_dicom >= 8  # the search finds what is there


def test_errors_of_a_named_patient_then_nameless_in_the_summary(lung_options, tmp_path, capsys):
    folder = tmp_path / "Quixotic Zebulon"
    for file in write_series(folder, bright_chest()):
        file.rename(file.with_name(f"Quixotic_{file.name}"))
    (folder / "Quixotic_ct-image_3.dcm").unlink()
    (folder / "PID-55501234.dcm").write_text("no DICOM")
    assert say(lung_options, tmp_path, tmp_path / "out", "--products", "mask") == 1
    printed = capsys.readouterr()
    assert "PID-55501234.dcm: has the suffix of a DICOM file but is not one" in printed.out
    shown = printed.out + printed.err
    assert re.search(r"failed: .*Quixotic Zebulon.*1 missing between .*Quixotic_ct-image_4", shown)
    text = (tmp_path / "out" / "summary.json").read_text()
    assert "1 missing between slice-" in text
    for part in ("Quixotic", "55501234", str(tmp_path)):
        assert part not in text


def test_volume_cut_short_in_a_named_folder_then_nameless_in_the_summary(liver_options, tmp_path):
    folder = tmp_path / "Quixotic Zebulon"
    folder.mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(abdomen().hu), str(folder / "scan.mhd"))
    (folder / "scan.raw").write_bytes(b"short")
    assert say(liver_options, folder, tmp_path / "out", "--products", "mask") == 1
    text = (tmp_path / "out" / "summary.json").read_text()
    assert "scan" in text
    assert "Quixotic" not in text
    assert str(tmp_path) not in text


def test_temporary_folder_full_then_that_study_fails_and_says_why(
    lung_options, tmp_path, monkeypatch, capsys
):
    volume = write_nifti(tmp_path / "a.nii", bright_chest())
    zipped = write_files(tmp_path, {"x.zip": zip_bytes({"a.nii": volume.read_bytes()})}) / "x.zip"

    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("scripts.prediction.sources.source_access.Path.write_bytes", full)
        patch.setattr("scripts.storage.locks.claim_output", lambda output, _: output.mkdir())
        patch.setattr("scripts.prediction.batch.write_json", lambda path, content: None)
        assert say(lung_options, zipped, tmp_path / "out", "--products", "mask") == 1
    printed = capsys.readouterr()
    assert (
        "No space left on device; set TMPDIR to a folder with free space"
        in printed.out + printed.err
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("--products", "msak"), "products: must be of mask, seg"),
        (("--flips", "z"), "flips: must be x, y or x,y"),
        (("--threshold", "2"), "threshold: must be a probability"),
        (("--jobs", "0"), "jobs: must be a whole number"),
        (("--device", "gpu"), "device: must be cpu"),
        (("--threshold", "0.4"), "threshold: this bundle takes the most probable class"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_option_then_refused_before_anything_is_written(
    liver_options, tmp_path, capsys, given, reason
):
    write_nifti(tmp_path / "a.nii.gz", abdomen())
    assert say(liver_options, tmp_path / "a.nii.gz", tmp_path / "out", *given) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("overlay", "reason"),
    [
        (
            '{"activation": {"_target_": "SimpleInfererr"}}',
            "activation: _target_: SimpleInfererr does not exist; did you mean SimpleInferer",
        ),
        ('{"restoring": "@nothing"}', "restoring: @nothing refers to nothing"),
        ('{"inferer": "$1 +"}', "inferer: $1 +: SyntaxError"),
        ('{"inferer": 1, }', "cannot be read as a config"),
        ("[1]", "must be a dictionary of ids, got list"),
    ],
    ids=["class", "reference", "expression", "damaged", "a list"],
)
def test_overlay_that_cannot_be_built_then_one_line_with_its_file_before_any_study(
    liver_options, tmp_path, capsys, overlay, reason
):
    write_nifti(tmp_path / "a.nii.gz", abdomen())
    file = tmp_path / "mine.json"
    file.write_text(overlay)
    options = replace(liver_options, config_files=(*liver_options.config_files, str(file)))
    assert say(options, tmp_path / "a.nii.gz", tmp_path / "out", "--products", "mask") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: ")
    assert f"{file}: {reason}" in lines[-1]
    assert not (tmp_path / "out").exists()


def test_other_networks_weights_then_refused_before_any_study(
    lung_options, liver_options, tmp_path
):
    write_nifti(tmp_path / "a.nii.gz", abdomen())
    given = ("--ckpt_path", lung_options.checkpoints[0])
    assert say(liver_options, tmp_path / "a.nii.gz", tmp_path / "out", *given) == 2
    assert not (tmp_path / "out").exists()
