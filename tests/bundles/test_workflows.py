"""The workflows from one end to the other, on phantoms of 64 x 64 x 24 voxels."""

import csv
import json
import math

import pytest
import torch

pytestmark = [
    pytest.mark.usefixtures("_at_root"),
    # crops of 32 pixels often have no nodule to centre on, which MONAI says each time
    pytest.mark.filterwarnings("ignore:Num foregrounds 0:UserWarning"),
]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def weights_of(path):
    return torch.load(path, weights_only=True)["model"]


def test_training_when_run_then_stages_are_reported_one_by_one(trained):
    report = json.loads((trained / "training" / "stages.json").read_text())
    names = [stage["name"] for stage in report["stages"]]
    assert [name[0] for name in names] == list("ABCDE")
    assert sum(stage["best"] for stage in report["stages"]) == 1
    for stage in report["stages"]:
        for metric in ("sensitivity", "specificity", "dice", "iou"):
            assert 0 <= stage[metric] <= 1
        assert math.isfinite(stage["train_loss"])
        assert stage["seconds"] > 0
        assert stage["epochs"] == 1
    released = [stage["trainable_parameters"] for stage in report["stages"]]
    assert released == sorted(set(released))
    rows = rows_of(trained / "training" / "stages.csv")
    assert [row["name"] for row in rows] == names
    assert [float(row["dice"]) for row in rows] == [stage["dice"] for stage in report["stages"]]


def test_training_when_run_then_loss_falls(trained):
    losses = [float(row["train_loss"]) for row in rows_of(trained / "training" / "history.csv")]
    assert len(losses) == 5
    assert all(map(math.isfinite, losses))
    assert min(losses[1:]) < losses[0]


def test_training_when_run_then_pictures_and_logs_are_there(trained):
    folder = trained / "training"
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "tensorboard").iterdir())
    printed = (trained / "training.log").read_text()
    assert "5 of 5" in printed
    assert "run again with: python -m monai.bundle run training" in printed


def test_training_when_run_then_result_is_best_stage_and_frozen_blocks_are_the_encoder_file(
    trained,
):
    model = torch.load(trained / "training" / "model.pt", weights_only=True)
    report = json.loads((trained / "training" / "stages.json").read_text())
    best = next(stage for stage in report["stages"] if stage["best"])
    assert model["stage"] == best["name"]
    assert model["value"] == best["dice"] == max(stage["dice"] for stage in report["stages"])
    begun = torch.load(trained / "pretraining" / "encoder.pt", weights_only=True)["state_dict"]
    parts = {"block1": ("conv1.", "bn1."), "block2": "layer1.", "block3": "layer2."}
    for block, prefix in {**parts, "block4": "layer3.", "block5": "layer4."}.items():
        keys = [key for key in begun if key.startswith(prefix)]
        same = [torch.equal(begun[key], model["model"][f"encoder.{key}"]) for key in keys]
        assert all(same) != (block in best["trainable"]), block
