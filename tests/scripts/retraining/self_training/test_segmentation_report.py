"""The report: figures of rounds and rows, what they say, and its tables."""

import csv
import json

import numpy as np
import pytest
import torch

from scripts.retraining.self_training.division import divide
from scripts.retraining.self_training.label_figures import count_voxels
from scripts.retraining.self_training.pseudo_labels import PseudoLabels, write_pseudo_labels
from scripts.retraining.self_training.rounds import Round
from scripts.retraining.self_training.segmentation_report import ALL, FEW, SELF, Report
from tests.scripts.retraining.few_patients import SIZE, write_patients

NAMES = ["background", "nodule"]


def given(division, folder, share):
    """Labels of unlabelled patients: the drawn ones, of a share of the rows; the rest unknown."""
    maps = []
    for number, entry in enumerate(division.images()):
        drawn = np.load(entry["image"].replace("image", "label"))[number % 3] > 0
        probabilities = np.where(drawn, 0.99, 0.01).astype(np.float32)
        probabilities[round(share * SIZE) :] = 0.5
        maps.append((entry, torch.from_numpy(probabilities)[None]))
    return write_pseudo_labels(maps, folder, PseudoLabels())


@pytest.fixture
def division(tmp_path):
    return divide(write_patients(tmp_path / "prepared"), ["A", "B"])


def rounds(division, tmp_path, validations, share=1.0):
    labels = [given(division, tmp_path / str(n), share) for n, _ in enumerate(validations[1:])]
    return [
        Round(number, entries, tmp_path, value)
        for number, (entries, value) in enumerate(zip([[], *labels], validations, strict=True))
    ]


def counts(hits, patient):
    """One slice of which a number of 100 voxels of the lesion is found."""
    predicted, drawn = np.arange(200) < hits, np.arange(200) < 100
    entry = {"patient_id": patient, "series_uid": patient}
    return count_voxels(predicted[None].astype(int), drawn[None].astype(int), entry, NAMES)


def test_rounds_then_dice_of_given_labels_and_the_best_by_validation(division, tmp_path):
    done = rounds(division, tmp_path, [0.3, 0.5])
    summary = Report(division, done, done[1], seed=0).summary("val_dice")
    assert summary["rounds"][0]["dice_of_given_labels"] == {}
    assert summary["rounds"][1]["dice_of_given_labels"]["nodule"]["value"] == 1.0
    assert summary["rounds"][1]["unknown_share"] == 0.0
    assert (summary["best_round"], summary["by_validation"]) == (1, "helped")
    assert summary["validation_figure"] == "val_dice"
    json.dumps(summary)


def test_rounds_when_the_validation_fell_then_said_not_to_help(division, tmp_path):
    done = rounds(division, tmp_path, [0.3, 0.2])
    says = Report(division, done, done[0], seed=0).by_validation
    assert says == "did not help: the labelled patients alone remain"
    assert Report(division, done[:1], done[0], seed=0).by_validation == "not tried"


def test_given_labels_when_of_few_voxels_then_a_remark(division, tmp_path):
    done = rounds(division, tmp_path, [0.3, 0.5], share=0.25)
    report = Report(division, done, done[1], seed=0)
    assert any("in round 1 the network was sure of 25.0%" in remark for remark in report.remarks)
    whole = rounds(division, tmp_path, [0.3, 0.5])
    assert not any("sure of" in remark for remark in Report(division, whole, whole[1], 0).remarks)


def test_slices_when_all_of_organs_then_no_remark_on_their_choice(tmp_path):
    datalist = write_patients(tmp_path / "prepared", classes=True)
    content = json.loads(datalist.read_text())
    content["provenance"]["slices"] = "all"
    datalist.write_text(json.dumps(content))
    division = divide(datalist, ["A", "B"])
    (only,) = rounds(division, tmp_path, [0.3])
    assert Report(division, [only], only, seed=0).remarks == []


def test_test_then_gains_over_few_labels_with_what_they_show(division, tmp_path):
    (only,) = rounds(division, tmp_path, [0.3])
    report = Report(division, [only], only, seed=0)
    assert report.test_verdicts == {}
    patients = [f"T{number}" for number in range(12)]
    hits = {FEW: [50, 60], SELF: [80, 90], ALL: [55, 55]}
    for row, pair in hits.items():
        report.tested[row] = [c for n, p in enumerate(patients) for c in counts(pair[n % 2], p)]
    assert report.test_verdicts == {"nodule": "helped"}
    gain = report.gains(SELF)["nodule"]
    dice = [sum(2 * h for h in pair) / sum(h + 100 for h in pair) for pair in hits.values()]
    assert gain.value == pytest.approx(dice[1] - dice[0])
    assert report.gains(ALL)["nodule"].value == pytest.approx(dice[2] - dice[0])
    summary = report.summary("val_dice")
    assert summary["test"][SELF]["gain"]["nodule"]["value"] == gain.value
    assert "gain" not in summary["test"][FEW]
    assert any(line.startswith("on the test, gain nodule") for line in report.lines())


def test_tables_then_each_round_and_each_slice_with_a_given_label(division, tmp_path):
    done = rounds(division, tmp_path, [0.3, 0.5, 0.6])
    Report(division, done, done[2], seed=0).write_tables(tmp_path)
    with (tmp_path / "rounds.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["dice_nodule"] for line in lines] == ["", "1.0", "1.0"]
    with (tmp_path / "given_labels.csv").open(newline="") as file:
        slices = list(csv.DictReader(file))
    assert [row["round"] for row in slices] == ["1"] * 6 + ["2"] * 6
    assert {row["fp"] for row in slices} == {"0"}
