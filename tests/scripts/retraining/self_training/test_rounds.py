"""Rounds of self-training: what each is trained on, and when they end."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.datasets.datalist import load_datalist
from scripts.retraining.self_training.division import divide
from scripts.retraining.self_training.pseudo_labels import PseudoLabels
from scripts.retraining.self_training.rounds import SelfTraining, best_of
from tests.scripts.retraining.few_patients import SIZE, write_patients


@dataclass
class Steps:
    """Trainings that are not run, with a given validation each."""

    folder: Path
    validations: list[float]
    trained_on: list[list[dict]] = field(default_factory=list)
    seed: int = 0
    metric: str = "val_dice"

    def train(self, name, datalist):
        self.trained_on.append(load_datalist(datalist, "training"))
        out = self.folder / name.replace(" ", "_")
        out.mkdir(parents=True, exist_ok=True)
        (out / "model.pt").write_text(name)
        return out

    def validation(self, training):
        return self.validations[len(self.trained_on) - 1]


@dataclass
class Maps:
    """A network that is sure of the first rows of each slice, as many as its round's number + 1."""

    seen: list[str] = field(default_factory=list)

    def probabilities(self, model, entries):
        self.seen.append(model.read_text())
        for entry in entries:
            probabilities = torch.full((1, SIZE, SIZE), 0.5)
            probabilities[0, : int(model.read_text().split()[1]) + 1] = 0.99
            yield entry, probabilities


@pytest.fixture
def division(tmp_path):
    return divide(write_patients(tmp_path / "prepared", unlabelled="CDT"), ["A", "B"])


def training(division, tmp_path, validations):
    steps, maps = Steps(tmp_path / "trained", validations), Maps()
    return SelfTraining(division, steps, maps, PseudoLabels(), tmp_path / "rounds")


def patients(entries):
    return sorted({entry["patient_id"] for entry in entries})


def test_rounds_then_labels_by_the_network_before_and_both_kinds_trained_on(division, tmp_path):
    made = training(division, tmp_path, [0.1, 0.2, 0.3])
    rounds = made.run(2)
    assert [one.number for one in rounds] == [0, 1, 2]
    assert made.maps.seen == ["round 0 seed 0", "round 1 seed 0"]
    first, second, third = made.steps.trained_on
    assert patients(first) == ["A", "B"]
    assert patients(second) == patients(third) == ["A", "B", "C", "D"]
    kinds = {entry["patient_id"]: entry["label_kind"] for entry in third}
    assert kinds == {"A": "masks", "B": "masks", "C": "pseudo", "D": "pseudo"}
    assert best_of(rounds) is rounds[2]


def test_validation_when_it_falls_then_no_further_round_and_the_best_is_kept(division, tmp_path):
    made = training(division, tmp_path, [0.1, 0.4, 0.3, 0.9])
    rounds = made.run(5)
    assert [one.validation for one in rounds] == [0.1, 0.4, 0.3]
    assert best_of(rounds).number == 1


def test_validation_when_it_falls_at_once_then_the_labelled_patients_alone(division, tmp_path):
    made = training(division, tmp_path, [0.5, 0.4])
    rounds = made.run(5)
    assert best_of(rounds).number == 0
    written = made.write(best_of(rounds), tmp_path / "out")
    assert patients(json.loads(written.read_text())["training"]) == ["A", "B"]
    assert patients(load_datalist(written, "validation")) == ["V"]


def test_validation_when_equal_then_goes_on_and_fewer_given_labels_are_preferred(
    division, tmp_path
):
    rounds = training(division, tmp_path, [0.5, 0.5, 0.5]).run(2)
    assert len(rounds) == 3
    assert best_of(rounds).number == 0


def test_run_again_then_labels_are_those_on_disk_unless_the_network_is_another(division, tmp_path):
    training(division, tmp_path, [0.1, 0.2]).run(1)
    again = training(division, tmp_path, [0.1, 0.2])
    assert again.run(1)[1].given
    assert again.maps.seen == []
    other = training(division, tmp_path, [0.1, 0.2])
    other.steps.seed = 7  # its first network has other weights
    other.run(1)
    assert other.maps.seen == ["round 0 seed 7"]


def test_run_again_after_patients_were_exchanged_then_none_of_the_old_ones_trained_on(
    division, tmp_path
):
    training(division, tmp_path, [0.1, 0.2]).run(1)
    content = json.loads(division.path.read_text())
    former = [one for one in content["training"] if one["patient_id"] == "D"]
    content["training"] = [one for one in content["training"] if one not in former]
    content["training"] += content["test"]  # equally many; those of D now test
    content["test"] = former
    division.path.write_text(json.dumps(content))
    again = training(divide(division.path, ["A", "B"]), tmp_path, [0.1, 0.2])
    assert patients(again.run(1)[1].given) == ["C", "T"]


def test_run_again_when_an_image_has_changed_then_labelled_anew(division, tmp_path):
    training(division, tmp_path, [0.1, 0.2]).run(1)
    image = division.images()[0]["image"]
    np.save(image, np.load(image)[:, ::-1])
    again = training(division, tmp_path, [0.1, 0.2])
    again.run(1)
    assert again.maps.seen == ["round 0 seed 0"]


def test_run_again_when_the_images_were_moved_then_the_labels_go_with_them(division, tmp_path):
    training(division, tmp_path, [0.1, 0.2]).run(1)
    division.path.parent.rename(tmp_path / "moved")
    moved = divide(tmp_path / "moved" / "datalist.json", ["A", "B"])
    again = training(moved, tmp_path, [0.1, 0.2])
    given = again.run(1)[1].given
    assert again.maps.seen == []
    assert [one["image"] for one in given] == [one["image"] for one in moved.images()]


def test_no_rounds_then_the_labelled_patients_alone_and_no_label_given(division, tmp_path):
    made = training(division, tmp_path, [0.1])
    (only,) = made.run(0)
    assert only.given == []
    assert made.maps.seen == []


def test_training_without_validation_then_refused(division, tmp_path):
    with pytest.raises(ValueError, match="config_file: the training of round 0 has no val_dice"):
        training(division, tmp_path, [float("nan")]).run(1)


def test_record_then_changes_with_the_given_labels(division, tmp_path):
    made = training(division, tmp_path, [0.1, 0.2, 0.3])
    _, first, second = made.run(2)
    records = [
        json.loads(made.write(one, tmp_path / "out").read_text())["provenance"]["self_training"]
        for one in (first, second)
    ]
    assert records[0]["given_labels_sha256"] != records[1]["given_labels_sha256"]
    assert records[0]["patients_with_given_labels"] == ["C", "D"]
    assert records[0]["labelled_patients"] == ["A", "B"]
