"""A trained network on further scans by one command."""

import json
import shutil
import subprocess
import sys

import pytest

from scripts.release import evaluate_command
from scripts.release.evaluate_command import evaluate
from tests.bundles.config_files import ROOT
from tests.scripts.datasets.folders import case_folders

pytestmark = pytest.mark.usefixtures("_at_root")


def test_further_scans_then_figures_and_those_of_the_training_are_counted(
    cohort, trained, tmp_path
):
    phantoms = cohort / "phantoms"
    words = ["evaluate", "--model", trained / "training", "--source", phantoms]
    words += ["--masks", phantoms / "masks", "--output", tmp_path / "out", "--jobs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "scripts", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    lists = json.loads((cohort / "prepared" / "datalist.json").read_text())
    numbers = {
        part: len({sample["series_uid"] for sample in lists[part]})
        for part in ("training", "validation", "test")
    }
    assert summary["cases"] == {
        "evaluated": sum(numbers.values()),
        "of_training": numbers["training"],
        "of_validation": numbers["validation"],
        "of_test": numbers["test"],
        "not_evaluated": 0,
    }
    assert summary["data"]["split"] == {"kind": "test_only", "seed": 0}
    assert summary["data"]["label"] == "masks"
    assert "Dice per nodule: " in done.stdout
    assert "false positives per scan, on the evaluated slices: " in done.stdout
    assert f"note: {numbers['training']} of {sum(numbers.values())} scans" in done.stdout


def test_scan_that_cannot_be_used_then_the_others_are_evaluated_and_exit_1(
    cohort, trained, tmp_path, monkeypatch, capsys
):
    phantoms = tmp_path / "further"
    shutil.copytree(cohort / "phantoms", phantoms)
    lost = next(phantoms.glob("masks/*.nii.gz"))
    lost.unlink()
    summary = {"figures": {}, "warnings": [], "remarks": []}
    summary["cases"] = {"evaluated": 7, "of_training": None, "of_validation": None}
    ran = []

    def run(words):
        ran.extend(words)
        (tmp_path / "out" / "summary.json").write_text(json.dumps(summary))

    monkeypatch.setattr(evaluate_command, "run_monai", run)
    with pytest.raises(SystemExit) as stop:
        evaluate(
            str(trained / "training" / "model.pt"),
            str(phantoms),
            str(tmp_path / "out"),
            masks=str(phantoms / "masks"),
            config_file="configs/losses/dice.json",
            jobs=1,
        )
    assert stop.value.code == 1
    datalist = json.loads((tmp_path / "out" / "prepared" / "datalist.json").read_text())
    assert datalist["test"]
    assert lost.name.removesuffix(".nii.gz") not in {s["series_uid"] for s in datalist["test"]}
    assert ran[:2] == ["run", "evaluating"]
    assert "configs/losses/dice.json" in ran[3]
    printed = capsys.readouterr().out
    assert "does not say which scans the network was trained on" in printed
    assert "some scans could not be used" in printed


@pytest.mark.parametrize(
    ("prepare", "match"),
    [
        ("slices=all", "prepare: must be a dictionary"),
        ({"split": "patient"}, "prepare: split is set by evaluate"),
        ({"slicess": "all"}, "slicess: not an option of prepare luna16"),
    ],
)
def test_options_of_prepare_that_cannot_be_meant_then_refused(
    cohort, trained, tmp_path, prepare, match
):
    model, phantoms = str(trained / "training"), str(cohort / "phantoms")
    with pytest.raises(ValueError, match=match):
        evaluate(model, phantoms, str(tmp_path / "out"), prepare=prepare)


def test_source_without_class_names_then_those_of_the_model_unless_given(
    cohort, trained, tmp_path, monkeypatch, capsys
):
    prepared = {}

    def prepare(data_set, **options):
        prepared.update(options, data_set=data_set)
        raise FileNotFoundError("enough")

    monkeypatch.setattr(evaluate_command, "prepare_scans", prepare)
    model, source = str(trained / "training"), str(case_folders(tmp_path / "in"))
    for own, names in ((None, "1:nodule"), ({"class_names": "1:mass", "jobs": 1}, "1:mass")):
        with pytest.raises(FileNotFoundError, match="enough"):
            evaluate(model, source, str(tmp_path / "out"), data_set="folder", prepare=own)
        assert (prepared["class_names"], prepared["kind"]) == (names, "instances")
        assert ("assumed: class_names 1:nodule, as " in capsys.readouterr().out) is (own is None)
