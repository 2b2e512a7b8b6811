"""What a new user gets wrong: stopped before any work, with what is wrong and what to do."""

import json
import os

import pytest
import torch

from custom_nets.unet import TransferUNet
from tests.bundles.bundle_commands import SMALL, files_of, run_here, run_words, start
from tests.bundles.config_files import LUNG
from tests.bundles.model_files import write_model

pytestmark = [
    pytest.mark.usefixtures("_at_root"),
    # LoadImaged sets all of MONAI's readers up, those that are not named too
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning"),
]


@pytest.fixture
def asked(cohort, tiny_encoder, tmp_path):
    """Overrides of a run that would succeed."""
    return {
        **SMALL,
        "dataset_dir": str(cohort / "prepared"),
        "output_dir": str(tmp_path / "results"),
        "encoder_weights": "none",
        "encoder": tiny_encoder,
        "decoder_channels": [4] * 5,
    }


@pytest.fixture
def scan(cohort):
    return str(next((cohort / "phantoms").glob("subset*/*.mhd")))


def said(run_id, files, overrides):
    """Run what must fail; return the messages of the error and of its causes, the first one first.

    MONAI puts an error of its own around what a component raises; the command line shows both.
    """
    with pytest.raises(Exception) as caught:  # noqa: PT011  # which kind is MONAI's choice
        run_here(run_id, files, overrides)
    error, messages = caught.value, []
    while error is not None:
        messages.insert(0, f"{type(error).__name__}: {error}")
        error = error.__cause__
    return "\n".join(messages)


def test_command_when_it_fails_then_exit_code_and_reason(tmp_path, scan):
    nowhere = tmp_path / "model.pt"
    asked = {"dataset_dir": scan, "ckpt_path": nowhere, "output_dir": tmp_path / "masks"}
    process = start(*run_words("inferring", files_of("inference"), asked))
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 1
    assert f"no trained network at {nowhere}; run training first, or pass --ckpt_path" in printed
    assert not list(tmp_path.rglob("*.nii.gz"))


@pytest.mark.parametrize("workflow", ["train", "evaluate", "pretrain"])
def test_data_when_never_prepared_then_prepare_advised(asked, tmp_path, workflow):
    asked["dataset_dir"] = str(tmp_path / "nowhere")
    message = said("run", files_of(workflow), asked)
    assert message.startswith("FileNotFoundError")
    assert str(tmp_path / "nowhere" / "datalist.json") in message
    assert "prepare" in message


def test_studies_when_folder_has_none_then_says_what_can_be_read(asked, tmp_path):
    asked["dataset_dir"] = str(tmp_path)
    message = said("run", files_of("inference"), asked)
    assert f"dataset_dir: no CT at {tmp_path}: expected a file ending in .mhd" in message


def test_studies_when_a_file_is_no_ct_then_named(asked, tmp_path, trained):
    broken = tmp_path / "scan.nii.gz"
    broken.write_bytes(b"no volume")
    asked |= {"dataset_dir": str(broken), "ckpt_path": tiny_result(tmp_path, asked)}
    assert "scan.nii.gz" in said("run", files_of("inference"), asked)


def tiny_result(folder, asked):
    """A model.pt that fits the tiny network."""
    network = TransferUNet("tiny", norm="group", decoder_channels=asked["decoder_channels"])
    return write_model(folder / "model.pt", network, LUNG)


def test_weights_of_imagenet_when_offline_then_url_place_and_alternatives(
    asked, tmp_path, monkeypatch
):
    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    message = said("run", files_of("train"), {**asked, **published()})
    assert (
        "ConnectionError: the weights at https://download.pytorch.org/models/resnet34-b627a593.pth"
        in message
    )
    assert str(tmp_path / "hub" / "hub" / "checkpoints" / "resnet34-b627a593.pth") in message
    assert "run pretraining" in message
    assert "'none' for random weights" in message
    assert not (tmp_path / "results" / "checkpoints").exists()


def published():
    return {"encoder": "resnet34", "encoder_weights": "imagenet"}


def test_encoder_file_when_of_another_encoder_then_both_named(asked, tmp_path):
    content = {"encoder": "vgg16", "state_dict": {"features.0.weight": torch.zeros(1)}}
    torch.save(content, tmp_path / "encoder.pt")
    message = said(
        "run", files_of("train"), {**asked, "encoder_weights": str(tmp_path / "encoder.pt")}
    )
    assert "must hold weights of tiny; got weights of vgg16" in message


def test_strategy_when_its_last_stage_names_no_block_then_stopped_at_the_start(asked, tmp_path):
    stages = [
        {"name": "A", "trainable": ["decoder"]},
        {"name": "B", "trainable": ["decoder", "blok5"]},
    ]
    overlay = tmp_path / "strategy.json"
    overlay.write_text(json.dumps({"strategy": {"name": "mine", "stages": stages}}))
    message = said("training", [*files_of("train"), overlay], asked)
    assert "blok5" in message
    assert "block5" in message
    assert not (tmp_path / "results" / "checkpoints").exists()


def test_strategy_when_a_key_is_misspelt_then_valid_ones_listed(asked, tmp_path):
    stages = [{"name": "A", "trainable": ["decoder"], "epoch": 3}]
    overlay = tmp_path / "strategy.json"
    overlay.write_text(json.dumps({"strategy": {"name": "mine", "stages": stages}}))
    message = said("training", [*files_of("train"), overlay], asked)
    assert "unknown epoch; valid keys are name, trainable, epochs" in message


@pytest.mark.parametrize(("workflow", "run_id"), [("evaluate", "evaluating"), ("inference", "run")])
def test_result_when_asked_for_another_encoder_then_refused_by_name(
    asked, trained, scan, workflow, run_id
):
    asked |= {"ckpt_path": str(trained / "training" / "model.pt"), "network_def::encoder": "vgg16"}
    if workflow == "inference":
        asked["dataset_dir"] = scan
    message = said(run_id, files_of(workflow), asked)
    assert "network_def::encoder: the file has 'resnet18', the config has 'vgg16'" in message


@pytest.mark.parametrize("workflow", ["train", "pretrain", "evaluate", "inference"])
def test_output_when_it_cannot_be_made_then_stopped_at_the_start(asked, tmp_path, scan, workflow):
    (tmp_path / "file").touch()
    asked |= {"output_dir": str(tmp_path / "file" / "results")}
    asked |= {"ckpt_path": tiny_result(tmp_path, asked)}
    if workflow == "inference":
        asked["dataset_dir"] = scan
    assert str(tmp_path / "file") in said("run", files_of(workflow), asked)


@pytest.mark.parametrize("workflow", ["train", "pretrain", "evaluate"])
def test_output_without_permission_then_stopped_at_the_start(asked, tmp_path, workflow):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if os.access(locked, os.W_OK):
        pytest.skip("root may write everywhere")
    asked |= {"output_dir": str(locked), "ckpt_path": tiny_result(tmp_path, asked)}
    message = said("run", files_of(workflow), asked)
    assert message.startswith(("PermissionError", "OutputError"))
    assert str(locked) in message


# samples without a nodule, which MONAI reports each time it crops one
@pytest.mark.filterwarnings("ignore:Num foregrounds 0:UserWarning")
def test_training_when_results_are_there_then_refused_without_an_option(asked):
    strategy = "configs/strategies/frozen.json"
    run_here("training", [*files_of("train"), strategy], asked)
    message = said("training", [*files_of("train"), strategy], asked)
    assert "pass resume=true to continue it, another output_dir, or overwrite=true" in message


@pytest.mark.parametrize("files", [files_of("train"), files_of("inference")])
def test_run_id_when_misspelt_then_refused(asked, files):
    assert "run ID 'trainning' doesn't exist" in said("trainning", files, asked)


def test_config_file_when_absent_then_named(asked):
    message = said("run", files_of("train", "configs/networks/unet_of_somebody.json"), asked)
    assert "configs/networks/unet_of_somebody.json" in message


def test_reference_when_misspelt_in_an_overlay_then_named(asked, tmp_path):
    overlay = tmp_path / "overlay.json"
    overlay.write_text(json.dumps({"inferer": "@inferrer"}))
    message = said("run", [*files_of("train"), overlay], asked)
    assert "inferrer" in message
    assert not (tmp_path / "results" / "checkpoints").exists()


def test_config_when_a_key_comes_twice_then_refused(asked, tmp_path):
    overlay = tmp_path / "overlay.json"
    overlay.write_text('{"seed": 1, "seed": 2}')
    assert "uplicate key" in said("run", [*files_of("train"), overlay], asked)
