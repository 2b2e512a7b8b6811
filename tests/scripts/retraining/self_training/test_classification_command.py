"""The command: what it writes, prints and refuses."""

import csv
import json

import numpy as np
import pytest

from scripts.retraining.self_training.classification_command import self_train_classification
from tests.scripts.suspicion.planted import planted, write_crops


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of crops as lidc_nodules has them."""
    nodules = planted(18, seed=3, limits_mm=(8.0, 10.0))
    return write_crops(tmp_path_factory.mktemp("crops"), nodules)


def test_command_then_figures_and_every_given_label(source, tmp_path, capsys):
    self_train_classification(str(source), str(tmp_path), labelled=12, draws=2, folds=2)
    printed = capsys.readouterr().out
    assert "radiologists' suspicion, not pathology" in printed
    assert "self-training, by accuracy:" in printed
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["trials"] == 4
    assert summary["mean_number"]["labelled"] >= 12
    assert set(summary["rows"]) == {
        *("few labels", "few labels and self-training", "all labels"),
    }
    with (tmp_path / "given_labels.csv").open(newline="") as file:
        given = list(csv.DictReader(file))
    worth = summary["given_labels"]["given"]
    assert worth["n"] == len(given) == sum(1 for row in given if row["nodule"].startswith("P"))
    right = [row["given"] == row["withheld"] for row in given]
    assert worth["value"] == pytest.approx(np.mean(right))
    with (tmp_path / "figures.csv").open(newline="") as file:
        lines = {(row["row"], row["figure"]): row for row in csv.DictReader(file)}
    gain = lines["few labels and self-training", "accuracy_gain"]
    assert float(gain["value"]) == pytest.approx(
        summary["rows"]["few labels and self-training"]["accuracy_gain"]["value"]
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"labelled": 1}, "labelled: must be a whole number"),
        ({"draws": 0}, "draws: must be a whole number"),
        ({"rounds": 0}, "rounds: must be a whole number"),
        ({"data_set": "ircadb"}, "data_set: must be one of lidc_nodules, luna16"),
        ({"aggregate": "mode"}, "aggregate: must be one of"),
    ],
)
def test_options_when_invalid_then_refused_before_anything_is_read(tmp_path, options, reason):
    with pytest.raises(ValueError, match=reason):
        self_train_classification(str(tmp_path / "none"), str(tmp_path / "out"), **options)
    assert not (tmp_path / "out").exists()
