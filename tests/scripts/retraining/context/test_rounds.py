import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logit

from scripts.bundle.model_file import read_model
from scripts.bundle.training_scans import TrainingScans
from scripts.datasets.datalist import absolute, read_datalist
from scripts.retraining.context.fold_networks import patient_of
from scripts.retraining.context.rounds import Round, run_round
from scripts.study.processes import Outcome
from scripts.study.workshop import Workshop
from scripts.volumes.readers import read_volume
from tests.scripts.retraining.patients import PretendedTrainings, recipe_for, write_patients

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")


@pytest.fixture
def content(tmp_path):
    datalist = write_patients(tmp_path / "prepared")
    return absolute(read_datalist(datalist), datalist.parent)


def round_of(tmp_path, *, volumes, folds=2):
    recipe = recipe_for(tmp_path, volumes=volumes)
    return Round(1, recipe, tmp_path / "out" / "round1", 0, folds)


def network_of(entry, volumes):
    """The number of the training that made an entry's maps: the logit of its network."""
    file = entry["context"][-1]
    if volumes:
        return round(float(logit(read_volume(file).hu.max())) + np.log(3))
    return round(float(logit(np.load(file)[entry["slice"]].max() / 255)))


@pytest.mark.parametrize("volumes", [False, True], ids=["slices", "volumes"])
def test_maps_of_training_patients_then_of_a_network_that_never_saw_them(
    content, tmp_path, volumes
):
    trainings = PretendedTrainings(volumes=volumes)
    one = round_of(tmp_path, volumes=volumes, folds=3)
    made = run_round(one, content, Workshop(tmp_path / "work", trainings))
    assert len(trainings.commands) == 4
    assert trainings.trained_on[-1] == {"P1", "P2", "P3", "P4"}
    lists = made["volumes"] if volumes else made
    untouched = made if volumes else made["volumes"]
    assert not any("context" in entry for entry in untouched["training"])
    for entry in lists["training"]:
        number = network_of(entry, volumes)
        assert number < 4  # the network of all patients would give another map
        assert patient_of(entry) not in trainings.trained_on[number - 1]
    for partition in ("validation", "test"):
        for entry in lists[partition]:
            assert network_of(entry, volumes) == 4
    order = [entry["series_uid"] for entry in lists["training"]]
    assert order == [
        e["series_uid"] for e in (content["volumes"] if volumes else content)["training"]
    ]


def test_description_then_says_which_network_made_which_maps(content, tmp_path):
    trainings = PretendedTrainings(volumes=False)
    one = round_of(tmp_path, volumes=False)
    made = run_round(one, content, Workshop(tmp_path / "work", trainings))
    (described,) = made["context"]
    assert (described["round"], described["folds"]) == (1, 2)
    assert set(described["fold_of_patient"]) == {"P1", "P2", "P3", "P4"}
    for entry in content["training"]:
        name = described["fold_of_patient"][patient_of(entry)]
        model = TrainingScans.of(read_model(described["models"][name]))
        assert not model.includes([entry["series_uid"]])
    everyone = TrainingScans.of(read_model(described["models"]["all"]))
    assert all(everyone.includes([uid]) for uid in "abcde")
    json.dumps(made)


def test_interrupted_round_when_repeated_then_finished_steps_are_kept(content, tmp_path):
    trainings = PretendedTrainings(volumes=False)

    def failing(words, log, lock):
        if len(trainings.commands) == 2:
            log.write_text("ValueError: no such rate")
            return Outcome(1, 0.0, 0.0, 0.0)
        return trainings(words, log, lock)

    one = round_of(tmp_path, volumes=False)
    with pytest.raises(
        SystemExit, match="trainings: round 1 all: ValueError: no such rate; its log"
    ):
        run_round(one, content, Workshop(tmp_path / "work", failing))
    made = run_round(one, content, Workshop(tmp_path / "work", trainings))
    assert len(trainings.commands) == 3
    again = run_round(one, content, Workshop(tmp_path / "work", trainings))
    assert len(trainings.commands) == 3
    assert again == made


def test_patient_on_both_sides_then_refused(content, tmp_path):
    content["test"] = [content["training"][0]]
    with pytest.raises(ValueError, match="was trained on a, whose map it should make"):
        run_round(
            round_of(tmp_path, volumes=False),
            content,
            Workshop(tmp_path / "work", PretendedTrainings(volumes=False)),
        )


def test_scans_without_a_name_then_their_maps_in_the_output_not_beside_the_images(
    content, tmp_path
):
    for entries in content["volumes"].values():
        for entry in entries:
            del entry["series_uid"]
    one = round_of(tmp_path, volumes=True)
    trainings = PretendedTrainings(volumes=True)
    made = run_round(one, content, Workshop(tmp_path / "work", trainings))
    (entry,) = made["volumes"]["test"]
    assert all(one.folder / "maps" in Path(file).parents for file in entry["context"])
