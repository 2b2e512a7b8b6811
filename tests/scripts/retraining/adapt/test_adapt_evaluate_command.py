"""What one annotated slice is worth: the drawn slices are in no figure."""

from __future__ import annotations

import csv
import json

import nibabel
import numpy as np
import pytest

from scripts.retraining.adapt.adapt_evaluate_command import (
    check_tunings,
    evaluate_adaptation,
    largest_slice,
    other_slices,
)
from scripts.volumes.formats.nifti import nifti_of
from tests.scripts.prediction.shapes import ORDERS, abdomen
from tests.scripts.prediction.studies import LIVER, write_nifti
from tests.scripts.retraining.adaptable import bundle_options, tiny_unet

NAMES = {"0": "background", "1": "liver", "2": "bone", "3": "kidney"}
ORDER = next(order for order in ORDERS if order == ((0, 1, 2), (-1, 1, 1)))


@pytest.fixture
def prepared(tmp_path):
    """Two volumes of the test partition, one of them stored from head to feet."""
    volumes = []
    for number, order in enumerate((ORDERS[0], ORDER)):
        drawn = abdomen(order=order)
        write_nifti(tmp_path / f"{number}.nii.gz", drawn)
        label = nifti_of(drawn.mask.astype(np.uint8), drawn.affine)
        nibabel.save(label, tmp_path / f"{number}_label.nii.gz")
        volumes.append(
            {
                "image": f"{number}.nii.gz",
                "label": f"{number}_label.nii.gz",
                "series_uid": f"1.{number}",
                "patient_id": f"P{number}",
                "spacing_mm": [4.0, 4.0, 6.0],
                "label_kind": "masks",
                "class_known": [True, True, True, False],
            }
        )
    sections = {"training": [], "validation": [], "test": volumes}
    content = {"name": "ircadb", "kind": "classes", "classes": NAMES, "volumes": sections}
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps({**content, "training": [], "validation": [], "test": []}))
    return path


@pytest.fixture
def evaluate(prepared, monkeypatch, tmp_path):
    """Evaluate the adaptation of a tiny network to the volumes, into the folder out."""
    monkeypatch.chdir(LIVER.parents[1])
    bundle = bundle_options(LIVER, tmp_path, tiny_unet(monkeypatch, 4))

    def run(tunings, **options):
        evaluate_adaptation(
            str(prepared),
            str(tmp_path / "out"),
            model=bundle.checkpoints[0],
            config_file=",".join(bundle.config_files),
            tunings=tunings,
            device="cpu",
            **options,
        )

    return run


def test_volumes_then_a_report_for_each_tuning_without_the_drawn_slices(evaluate, tmp_path, capsys):
    evaluate("none,both", deep_iterations=60, deep_rate=0.03, shallow_iterations=1)
    summaries = {
        arm: json.loads((tmp_path / "out" / place / "summary.json").read_text())
        for arm, place in (("none", "none"), ("both", "."))
    }
    dice = {arm: one["figures"]["dice_liver_pooled"]["value"] for arm, one in summaries.items()}
    assert dice["none"] < 0.5 < 0.8 < dice["both"]
    assert {one["counts"]["slices"] for one in summaries.values()} == {2 * 23}
    with (tmp_path / "out" / "per_volume.csv").open() as file:
        assert [row["slices_evaluated"] for row in csv.DictReader(file)] == ["23", "23"]
    assert "tuning none, without the drawn slices" in capsys.readouterr().out


def test_other_tuning_in_the_same_output_then_refused_before_anything_is_tuned(
    evaluate, tmp_path, capsys
):
    for _ in range(2):  # the same evaluation may be repeated
        evaluate("none")
    capsys.readouterr()
    with pytest.raises(ValueError, match=r"another method \(tuning, deep_iterations, deep_rate"):
        evaluate("none,deep", deep_iterations=1)
    assert "tuning none" not in capsys.readouterr().out
    evaluate("deep", deep_iterations=1, overwrite=True)
    with pytest.raises(ValueError, match=r"another method \(deep_iterations\)"):
        evaluate("deep", deep_iterations=2)


def test_datalist_of_other_classes_then_refused_before_anything_is_tuned(
    prepared, monkeypatch, tmp_path
):
    monkeypatch.chdir(LIVER.parents[1])
    options = bundle_options(LIVER, tmp_path, tiny_unet(monkeypatch, 4))
    content = json.loads(prepared.read_text())
    content["classes"] = {"0": "background", "1": "kidney", "2": "liver", "3": "bone"}
    prepared.write_text(json.dumps(content))
    message = "model: its classes are background, liver, bone, kidney, those of .* kidney, liver, b"
    with pytest.raises(ValueError, match=message):
        evaluate_adaptation(
            str(prepared),
            str(tmp_path / "out"),
            model=options.checkpoints[0],
            config_file=",".join(options.config_files),
            deep_iterations=1,
            device="cpu",
        )


def test_largest_slice_then_of_the_first_class_in_lps_order(prepared):
    cases = json.loads(prepared.read_text())["volumes"]["test"]
    cases = [{**case, "label": str(prepared.parent / case["label"])} for case in cases]
    expected = int((abdomen().mask == 1).sum(axis=(1, 2)).argmax())
    assert [largest_slice(case) for case in cases] == [expected, expected]
    everything = other_slices(cases, [expected, 3], None)
    assert len(everything) == 2 * 23
    sampled = [{"series_uid": "1.0", "slice": k} for k in (expected, 5)]
    assert other_slices(cases, [expected, 3], sampled) == sampled[1:]


def test_volume_without_annotation_then_refused(tmp_path):
    drawn = abdomen()
    nibabel.save(nifti_of(np.zeros_like(drawn.mask), drawn.affine), tmp_path / "empty.nii.gz")
    case = {"label": str(tmp_path / "empty.nii.gz"), "series_uid": "1.2"}
    with pytest.raises(ValueError, match=r"1\.2: nothing is annotated"):
        largest_slice(case)


def test_volumes_of_which_one_has_no_annotation_then_the_others_evaluated_and_it_is_named(
    evaluate, tmp_path, capsys
):
    drawn = abdomen(order=ORDERS[0])
    nothing = nifti_of(np.zeros(drawn.mask.shape, np.uint8), drawn.affine)
    nibabel.save(nothing, tmp_path / "0_label.nii.gz")
    evaluate("deep", deep_iterations=1)
    assert "1 of 2 volumes (1.0); false positives there" in capsys.readouterr().out
    with (tmp_path / "out" / "per_volume.csv").open() as file:
        assert [row["series_uid"] for row in csv.DictReader(file)] == ["1.1"]


@pytest.mark.parametrize("words", ["", "deep,deep", "none,shallow"])
def test_tunings_that_are_none_then_refused(words):
    with pytest.raises(ValueError, match="tunings: must be of none, deep, both, each once"):
        check_tunings(words)
