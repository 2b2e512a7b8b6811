"""The parts that shape a training: equal for equal parts, another for every argument changed."""

import json

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer
from monai.losses import DiceLoss
from monai.transforms import Compose, RandAffined, RandFlipd, SpatialPadd

from scripts.training.engine_parts import described, parts_of
from scripts.transforms.crops import RandCropWithLabeld
from scripts.transforms.intensity import WindowHUd
from tests.scripts.training.tiny_training import TinyTraining


def transforms(**changed):
    """An augmentation as in the bundles, with some arguments changed."""
    asked = {"window_hu": (-1000, 400), "outside": "zero", "size": (8, 8), "share": 0.75}
    asked |= {"probability": 0.5, "rotation": 0.2, **changed}
    return Compose(
        [
            WindowHUd("image", asked["window_hu"], outside=asked["outside"]),
            RandCropWithLabeld("image", "image", asked["size"], share=asked["share"]),
            RandFlipd("image", prob=asked["probability"], spatial_axis=1),
            RandAffined("image", rotate_range=asked["rotation"], prob=1.0),
        ]
    )


CHANGED = {
    "window": {"window_hu": (-500, 100)},
    "outside of the window": {"outside": "clip"},
    "patch size": {"size": (4, 8)},
    "share of nodules": {"share": 0.5},
    "probability": {"probability": 0.4},
    "rotation": {"rotation": 0.1},
}


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED.keys())
def test_transforms_when_an_argument_changes_then_another_description(changed):
    assert described(transforms()) == described(transforms())
    assert described(transforms()) != described(transforms(**changed))


def test_transforms_when_they_have_run_then_the_same_description():
    augmentation = Compose([RandFlipd("image", prob=0.5), SpatialPadd("image", (8, 8))])
    before = described(augmentation)
    augmentation.set_random_state(3)
    augmentation({"image": torch.rand(1, 4, 4)})
    assert described(augmentation) == before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (DiceLoss(sigmoid=True), DiceLoss(sigmoid=True, batch=True)),
        (torch.nn.BCEWithLogitsLoss(), DiceLoss()),
        (
            torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0])),
            torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0])),
        ),
        (SlidingWindowInferer((8, 8), overlap=0.25), SlidingWindowInferer((8, 8), overlap=0.5)),
        (np.zeros(100), np.ones(100)),
    ],
)
def test_parts_that_compute_otherwise_then_other_descriptions(one, other):
    assert described(one) != described(other)
    assert json.loads(json.dumps(described(one))) == described(one)


def test_engines_then_every_part_that_shapes_the_training(tmp_path):
    training = TinyTraining(tmp_path)
    trainer = training.trainer([training.validation, training.stages])
    parts = parts_of(trainer, training.evaluator)
    assert {"loss", "inferer", "optimizer", "batch_size"} <= parts.keys()
    assert {"validation_inferer", "validation_batch_size"} <= parts.keys()
    assert "betas" in parts["optimizer"]
    assert "lr" not in parts["optimizer"]  # of the stages, which compare it
    training.optimizer.defaults["betas"] = (0.5, 0.6)
    assert parts_of(trainer)["optimizer"] != parts["optimizer"]


def test_metrics_when_they_have_counted_then_the_same_description_and_another_by_argument(tmp_path):
    training = TinyTraining(tmp_path)
    before = parts_of(training.trainer(), training.evaluator)["validation_metrics"]
    training.evaluator.run()
    assert parts_of(training.trainer(), training.evaluator)["validation_metrics"] == before
    assert before["val_dice"]["metric_fn"]["ignore_empty"] is False
    other = TinyTraining(tmp_path, ignore_empty=True)
    assert parts_of(other.trainer(), other.evaluator)["validation_metrics"] != before
