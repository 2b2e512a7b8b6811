"""``adapt`` on a CT whose organs are known: results, guards, refusals, the weights' file."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from scripts.__main__ import main
from scripts.prediction.sources.inventory import Source
from scripts.retraining.adapt.adapt_command import adapt, distinct
from tests.scripts.prediction.studies import dice, write_nifti
from tests.scripts.retraining.adapt.scenes import ROW, arguments


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


def test_folder_of_two_scans_then_refused_with_their_names(scene):
    folder, drawn, _ = scene
    write_nifti(folder / "two" / "a.nii.gz", drawn)
    write_nifti(folder / "two" / "b.nii.gz", drawn)
    with pytest.raises(ValueError, match="image: must be one CT, .*two holds 2: a, b"):
        adapt(**arguments(scene, image=str(folder / "two")))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["ct", "ct"], ["ct-1", "ct-2"]),
        (["ct", "ct", "ct-2"], ["ct-1", "ct-2-2", "ct-2"]),
        (["ct", "CT"], ["ct-1", "CT-2"]),
    ],
    ids=["different", "equal", "equal and numbered", "equal on some file systems"],
)
def test_names_of_follow_ups_then_all_different(names, expected):
    sources = [Source(name, "volume file", name, ()) for name in names]
    assert [source.name for source in distinct(sources)] == expected
