"""Trainings as steps: their command, when they run again, and their validation."""

import json
import math

import pytest

from scripts.bundle.recipe import Recipe
from scripts.retraining.self_training.training_steps import TrainingSteps, files_of
from scripts.study.processes import Outcome
from scripts.study.workshop import TaskError, Workshop
from tests.scripts.study.studies import STAGES

LUNG = "bundles/lung_nodule_ct_segmentation"
SMALL = "configs/runtime/small.json"
EMPTY = {"training": [], "validation": [], "test": []}


class Launch:
    """A launcher that writes what a training leaves."""

    def __init__(self, code=0):
        self.commands, self.code = [], code

    def __call__(self, words, log, lock):
        self.commands.append(list(words))
        out = log.parent / "out"
        out.mkdir(exist_ok=True)
        (out / "stages.csv").write_text(
            STAGES.replace("seconds\n", "seconds,best\n", 1)
            .replace("0.4,2\n", "0.4,2,True\n")
            .replace("0.7,3\n", "0.7,3,False\n")
        )
        log.write_text("ValueError: a bad rate\n")
        return Outcome(self.code, 1.0, 2.0, 1.0)


def steps_of(tmp_path, launch, seed=0, overlays=(SMALL,)):
    workshop = Workshop(tmp_path / "work", launch)
    return TrainingSteps(Recipe(LUNG, tuple(overlays)), workshop, seed, "val_dice_per_slice")


@pytest.fixture
def datalist(tmp_path):
    path = tmp_path / "data" / "datalist.json"
    path.parent.mkdir()
    path.write_text(json.dumps(EMPTY))
    return path


def test_training_then_of_the_bundle_with_its_files_on_the_data_set(tmp_path, datalist):
    launch = Launch()
    out = steps_of(tmp_path, launch, seed=5).train("round 0", datalist)
    (words,) = launch.commands
    assert words[:4] == ["-m", "scripts.bundle", "run", "training"]
    assert words[words.index("--config_file") + 1] == repr([f"{LUNG}/configs/train.json", SMALL])
    assert words[words.index("--dataset_dir") + 1] == str(datalist.parent)
    assert words[words.index("--output_dir") + 1] == str(out)
    assert words[words.index("--seed") + 1] == "5"


def test_training_again_then_only_for_other_data_seeds_or_files(tmp_path, datalist):
    launch = Launch()
    first = steps_of(tmp_path, launch).train("round 0", datalist)
    assert steps_of(tmp_path, launch).train("round 0", datalist) == first
    assert len(launch.commands) == 1
    steps_of(tmp_path, launch, seed=1).train("round 0", datalist)
    steps_of(tmp_path, launch, overlays=()).train("round 0", datalist)
    datalist.write_text(json.dumps({**EMPTY, "provenance": {"time": "later"}}))
    assert steps_of(tmp_path, launch).train("round 0", datalist) == first
    datalist.write_text(json.dumps({**EMPTY, "name": "another"}))
    steps_of(tmp_path, launch).train("round 0", datalist)
    assert len(launch.commands) == 4


def test_training_when_it_fails_then_with_its_reason(tmp_path, datalist):
    message = "trainings: round 0: ValueError: a bad rate; its log: .*log.txt"
    with pytest.raises(TaskError, match=message):
        steps_of(tmp_path, Launch(code=1)).train("round 0", datalist)


def test_validation_then_of_the_stage_that_was_kept(tmp_path, datalist):
    steps = steps_of(tmp_path, Launch())
    assert steps.validation(steps.train("round 0", datalist)) == 0.4
    assert math.isnan(steps.validation(tmp_path))


def test_files_then_train_first():
    assert files_of(Recipe(LUNG, (SMALL,))) == [f"{LUNG}/configs/train.json", SMALL]
