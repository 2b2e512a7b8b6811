"""``adapt`` on a CT whose organs are known: results, guards, refusals, the weights' file."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from scripts.__main__ import main
from scripts.retraining.adapt.adapt_command import adapt
from scripts.volumes.formats.nifti import nifti_of
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import LIVER, dice, write_nifti, write_series
from tests.scripts.retraining.adaptable import bundle_options, tiny_unet

ROW = 12  # of 24 slices


@pytest.fixture
def scene(monkeypatch, tmp_path):
    """A CT, its full reference, one drawn slice of it, and a network that was never trained."""
    monkeypatch.chdir(LIVER.parents[1])
    drawn = abdomen()
    write_nifti(tmp_path / "scan.nii.gz", drawn)
    save_mask(tmp_path / "reference.nii.gz", drawn.mask, drawn.affine)
    only = np.zeros_like(drawn.mask)
    only[ROW] = drawn.mask[ROW]
    save_mask(tmp_path / "drawn.nii.gz", only, drawn.affine)
    options = bundle_options(LIVER, tmp_path, tiny_unet(monkeypatch, 4))
    return tmp_path, drawn, options


def save_mask(path, mask, affine):
    nibabel.save(nifti_of(mask, affine), path)


def arguments(scene, **changes):
    folder, _, options = scene
    usual = {
        "model": options.checkpoints[0],
        "bundle": str(LIVER),
        "config_file": ",".join(options.config_files),
        "image": str(folder / "scan.nii.gz"),
        "annotated": str(folder / "drawn.nii.gz"),
        "output": str(folder / "out"),
        "products": "mask,statistics",
        "deep_iterations": 80,
        "deep_rate": 0.03,
        "shallow_iterations": 1,
        "shallow_rate": 1e-4,
        "device": "cpu",
    }
    return {**usual, **changes}


def sha(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_scan_with_a_drawn_slice_then_the_others_are_found_and_the_weights_stay(scene, capsys):
    folder, drawn, options = scene
    before = sha(options.checkpoints[0])
    words = [f"--{name}={value}" for name, value in arguments(scene).items()]
    main(["adapt", *words, f"--reference={folder / 'reference.nii.gz'}", "--slice", str(ROW)])
    assert sha(options.checkpoints[0]) == before
    mask = nibabel.load(folder / "out" / "scan" / "mask.nii.gz")
    np.testing.assert_allclose(mask.affine, nibabel.load(folder / "scan.nii.gz").affine, atol=1e-5)
    labels = np.asarray(mask.dataobj).T
    np.testing.assert_array_equal(labels[ROW] == 1, drawn.mask[ROW] == 1)
    others = np.arange(24) != ROW
    assert dice(labels[others] == 1, drawn.mask[others] == 1) > 0.8
    summary = json.loads((folder / "out" / "summary.json").read_text())
    figures = {(row["class"], row["tuning"]): row["dice"] for row in summary["figures"]}
    assert figures["liver", "none"] < 0.5 < 0.8 < figures["liver", "both"]
    assert {name for name, _ in figures} == {"liver", "bone"}, "kidneys are not in the reference"
    printed = capsys.readouterr().out
    assert "adapted to a hand-drawn slice of this scan: slice 12" in printed
    assert "liver, Dice" in printed
    manifest = json.loads((folder / "out" / "scan" / "manifest.json").read_text())
    assert manifest["made_by"] == "python -m scripts adapt"
    assert any("adapted to a hand-drawn slice" in text for text in manifest["warnings"])
    assert str(folder) not in json.dumps([manifest, summary])
    assert manifest["adaptation"]["drawn_slice"] == ROW
    with (folder / "out" / "scan" / "adaptation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["slice"]) for row in rows] == list(range(24))
    assert [row["step"] for row in rows][ROW] == "drawn"
    assert {row["step"] for row in rows} >= {"tuned"}


def test_series_and_a_follow_up_then_both_semiautomatic_and_the_page_says_so(scene, capsys):
    folder, drawn, _ = scene
    write_series(folder / "first", drawn, series="first")
    write_series(folder / "second", drawn, series="second")
    options = arguments(
        scene,
        image=str(folder / "first"),
        follow_ups=str(folder / "second"),
        products="mask,seg,report",
        deep_iterations=20,
    )
    adapt(**options)
    studies = sorted(path for path in (folder / "out").iterdir() if path.is_dir())
    assert len(studies) == 2
    notes = []
    for study in studies:
        segmentation = pydicom.dcmread(study / "segmentation.dcm")
        kinds = {str(one.SegmentAlgorithmType) for one in segmentation.SegmentSequence}
        assert kinds == {"SEMIAUTOMATIC"}
        warnings = json.loads((study / "manifest.json").read_text())["warnings"]
        notes += [text for text in warnings if "hand-drawn" in text]
        assert notes[-1] in (study / "report.html").read_text()
    assert sum("of this scan" in note for note in notes) == 1
    assert sum("of an earlier scan" in note for note in notes) == 1
    adapt(**options)  # replaces its own results
    capsys.readouterr()


def test_output_of_another_command_then_refused(scene):
    folder, _, _ = scene
    (folder / "out" / "notes").mkdir(parents=True)
    with pytest.raises(ValueError, match="out holds notes, which adapt did not write"):
        adapt(**arguments(scene))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"slice": 24}, "slice: must be 0 to 23, the slices of the image, got 24"),
        ({"slice": 3}, "nothing is drawn on slice 3; drawn on: 12"),
        ({"deep_rate": 0}, "deep_rate: must be a number above 0, got 0"),
        ({"shallow_iterations": 0}, "shallow_iterations: must be a whole number"),
        ({"shallow_parts": "block7"}, "block7"),
        ({"bundle": None}, "bundle: must be given, as .* does not lie in the models folder"),
        ({"products": "mask,masks"}, "products: must be of"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_option_that_does_not_fit_then_refused(scene, changes, told):
    with pytest.raises((ValueError, OSError), match=told):
        adapt(**arguments(scene, deep_iterations=changes.pop("deep_iterations", 1), **changes))


def test_reference_of_another_geometry_then_refused(scene):
    folder, drawn, _ = scene
    moved = drawn.affine.copy()
    moved[0, 3] += 20
    save_mask(folder / "moved.nii.gz", drawn.mask, moved)
    with pytest.raises(ValueError, match="reference: must have the geometry of the image"):
        adapt(**arguments(scene, reference=str(folder / "moved.nii.gz"), deep_iterations=1))


def test_folder_of_two_scans_then_refused_with_their_names(scene):
    folder, drawn, _ = scene
    write_nifti(folder / "two" / "a.nii.gz", drawn)
    write_nifti(folder / "two" / "b.nii.gz", drawn)
    with pytest.raises(ValueError, match="image: must be one CT, .*two holds 2: a, b"):
        adapt(**arguments(scene, image=str(folder / "two")))
