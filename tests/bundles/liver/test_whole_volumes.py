"""Whole volumes instead of prepared slices, in training and in evaluation."""

import json
import math

import pytest
import torch

from tests.bundles.bundle_commands import make_here, run_here
from tests.bundles.liver.commands import SMALL, files_of

# LoadImaged sets all of MONAI's readers up, those that are not named too
pytestmark = [
    pytest.mark.usefixtures("_at_root"),
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning"),
]
VOLUMES = "configs/data/ircadb_volumes.json"
SLICES = 24  # of each phantom


def workflow_of(abdomens, run_id, config, *overlays, **overrides):
    asked = {"dataset_dir": str(abdomens / "prepared"), "encoder_weights": "none", **overrides}
    workflow = make_here(run_id, files_of(config, *overlays), asked)
    workflow.initialize()
    return workflow.parser


def test_slice_of_a_volume_then_the_prepared_slice(abdomens):
    """The same image, label and known classes, whichever way they are read."""
    asked = {"section": "training", "output_dir": "never", "num_workers": 0}
    by_slice, by_volume = (
        workflow_of(abdomens, "evaluating", "evaluate", *overlays, **asked)
        for overlays in ([], [VOLUMES])
    )
    slices, volumes = (p.get_parsed_content("dataset") for p in (by_slice, by_volume))
    sample = slices.data[-1]
    names = [volume["series_uid"] for volume in volumes.data]
    volume, one = volumes[names.index(sample["series_uid"])], slices[len(slices) - 1]
    for key in ("image", "label", "annotation"):
        torch.testing.assert_close(
            volume[key][..., sample["slice"]].as_tensor().float(), one[key].as_tensor().float()
        )
    assert list(volume["class_known"]) == one["class_known"].tolist()


def test_volume_in_training_then_so_many_random_slices_of_it(abdomens, tmp_path):
    asked = {**SMALL, "output_dir": str(tmp_path), "slices_of_a_volume": 3, "patch_size": [48, 40]}
    parser = workflow_of(abdomens, "training", "train", VOLUMES, **asked)
    drawn = [sample for _ in range(4) for sample in parser.get_parsed_content("train::dataset")[0]]
    assert len(drawn) == 12
    assert {tuple(sample["image"].shape) for sample in drawn} == {(3, 48, 40)}
    assert {tuple(sample["label"].shape) for sample in drawn} == {(4, 48, 40)}
    assert len({float(sample["label"].float().mean((1, 2))[0]) for sample in drawn}) > 6


def test_whole_volumes_then_train_and_evaluate(train, abdomens, tiny_encoder, tmp_path):
    folder = train(VOLUMES, batch_size=2, slices_of_a_volume=4)
    stages = json.loads((folder / "stages.json").read_text())["stages"]
    assert all(math.isfinite(stage["train_loss"]) for stage in stages)
    asked = {"dataset_dir": str(abdomens / "prepared"), "num_workers": 0, "pictures": 1}
    asked |= {"section": "training"}
    asked |= {"ckpt_path": str(folder / "model.pt"), "output_dir": str(tmp_path / "evaluation")}
    run_here("evaluating", files_of("evaluate", VOLUMES), asked)
    summary = json.loads((tmp_path / "evaluation" / "summary.json").read_text())
    counts = summary["counts"]
    assert counts["series_whole"] == counts["series"] == 4
    assert counts["slices"] == SLICES * counts["series"]
    # an organ that one patient lacks is as unknown in its volume as in its slices
    assert counts["series_in_which_known"] == {"liver": 4, "bone": 4, "kidney": 3}
    assert (tmp_path / "evaluation" / "pictures.png").is_file()


def test_patches_of_two_windows_then_a_deeply_supervised_network_trains_and_is_evaluated(
    abdomens, tmp_path
):
    data = "configs/data/ircadb_volume_two_windows.json"
    overlays = ["configs/networks/voxresnet.json", data, "configs/strategies/scratch.json"]
    usual = {"dataset_dir": str(abdomens / "prepared"), "num_workers": 0}
    usual |= {"volume_patch_size": [32, 32, 16]}
    asked = {**usual, "stage_epochs": 1, "voxresnet_widths": [2, 2]}
    run_here("training", files_of("train", *overlays), {**asked, "output_dir": str(tmp_path)})
    (stage,) = json.loads((tmp_path / "stages.json").read_text())["stages"]
    assert math.isfinite(stage["train_loss"])
    asked = {**usual, "ckpt_path": str(tmp_path / "model.pt"), "pictures": 1}
    asked |= {"section": "training", "output_dir": str(tmp_path / "evaluation")}
    run_here("evaluating", files_of("evaluate", data), asked)
    counts = json.loads((tmp_path / "evaluation" / "summary.json").read_text())["counts"]
    assert counts["series_whole"] == counts["series"] == 4
