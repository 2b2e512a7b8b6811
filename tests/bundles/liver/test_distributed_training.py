"""Two processes by torchrun train as one process does with the same batches."""

import csv
import json
import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from tests.bundles.bundle_commands import run_here, run_words
from tests.bundles.config_files import ROOT

pytestmark = [
    pytest.mark.usefixtures("_at_root"),
    # crops of small slices often have no nodule to centre on, which MONAI says each time
    pytest.mark.filterwarnings("ignore:Num foregrounds 0:UserWarning"),
]
STAGES = [
    {"name": "decoder", "trainable": ["decoder"]},
    {"name": "block5", "trainable": ["decoder", "block5"]},
    {"name": "all", "trainable": ["all"]},
]
# VGG11 without batch norm: its statistics would be those of each process' share of a batch. Plain
# gradient descent: Adam turns the rounding of gradients near zero into full steps.
OVERLAY = {
    "strategy": {"name": "three", "stages": STAGES},
    "optimizer": {
        "_target_": "torch.optim.SGD",
        "params": {
            "_target_": "scripts.training.fine_tuning.strategies.parameter_groups",
            "network": "@network",
            "learning_rate": "@learning_rate",
        },
        "lr": "@learning_rate",
    },
    "encoder": "vgg11",
    "augmentation": [],
    "decoder_channels": [8] * 5,
    "decoder_norm": "group",
    "encoder_weights": "none",
    "learning_rate": 0.02,
    "stage_epochs": 1,
    "num_workers": 0,
}
# the mean over samples, of which every process has as many; Dice over a whole batch is no mean
LOSSES = {
    "lung_nodule_ct_segmentation": {"loss": {"_target_": "DiceLoss", "sigmoid": True}},
    "liver_ct_segmentation": {},
}
TOLERANCE = 3e-5
OUTPUTS = ("one", "two")


def torchrun(words):
    """Run a command in two processes on the CPU; return what they printed."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {"OMP_NUM_THREADS": "1", "MONAI_FAIL_ON_DUPLICATE_CONFIG": "1"}
    done = subprocess.run(
        [*launcher, "-m", "monai.bundle", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, **environment, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def two_processes(words):
    """Run a command in two processes with the variables that torchrun sets; return their output.

    They are forked from one that has imported torch and MONAI, which torchrun's two would first do.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["monai.bundle"])
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
        free.close()
        log = Path(folder, "log")
        ranks = [context.Process(target=run_rank, args=(k, port, words, log)) for k in range(2)]
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join(400)
        printed = log.read_text()
    assert [rank.exitcode for rank in ranks] == [0, 0], printed[-6000:]
    return printed


def run_rank(rank, port, words, log):
    variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    variables |= {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "CUDA_VISIBLE_DEVICES": ""}
    os.environ.update({name: str(value) for name, value in variables.items()})
    os.environ["MONAI_FAIL_ON_DUPLICATE_CONFIG"] = "1"
    os.chdir(ROOT)
    torch.set_num_threads(1)
    with log.open("a") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = ["monai.bundle", *map(str, words)]
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)


def history(folder):
    with (folder / "history.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return [{name: float(value) for name, value in row.items()} for row in rows]


def shortened(prepared, folder):
    """The prepared folder with 8 slices to train on and 5, an odd number, to validate on."""
    datalist = json.loads((prepared / "datalist.json").read_text())
    every = [*datalist["training"], *datalist["validation"]]
    datalist["training"], datalist["validation"] = every[:8], every[-5:]
    folder.mkdir()
    (folder / "datalist.json").write_text(json.dumps(datalist))
    (folder / "scans").symlink_to(prepared / "scans")
    return folder


@pytest.mark.parametrize("bundle", LOSSES)
def test_two_processes_then_train_as_one_stage_by_stage(bundle, request, tmp_path):
    cohort = "cohort" if bundle.startswith("lung") else "abdomens"
    prepared = shortened(request.getfixturevalue(cohort) / "prepared", tmp_path / "prepared")
    overlay = tmp_path / "overlay.json"
    overlay.write_text(json.dumps({**OVERLAY, **LOSSES[bundle]}))
    several = "configs/runtime/multi_gpu_train.json"
    files = [f"bundles/{bundle}/configs/train.json", "configs/networks/unet.json", overlay]
    asked = {"dataset_dir": str(prepared), "batch_size": 4}
    asked |= {"accumulation_steps": 2} if bundle.startswith("liver") else {}
    run_here("training", files, {**asked, "output_dir": str(tmp_path / "one")})
    launch = torchrun if bundle.startswith("lung") else two_processes
    printed = launch(
        run_words("training", [*files, several], {**asked, "output_dir": tmp_path / "two"})
    )
    assert "training in 2 processes by gloo" in printed
    one, two = history(tmp_path / "one"), history(tmp_path / "two")
    assert len(one) == len(two) == len(STAGES)
    for alone, together in zip(one, two, strict=True):
        assert together.keys() == alone.keys()
        for name, value in alone.items():
            # rounding moves a few voxels over the threshold, which figures of hard masks count
            rel = 1e-3 if name.startswith("val_") and name != "val_loss" else 1e-4
            assert together[name] == pytest.approx(value, rel=rel, abs=TOLERANCE), name
    expected, found = (torch.load(tmp_path / n / "model.pt", weights_only=True) for n in OUTPUTS)
    assert found["stage"] == expected["stage"]
    for key, tensor in expected["model"].items():
        torch.testing.assert_close(found["model"][key], tensor, atol=TOLERANCE, rtol=1e-4)
    record = json.loads((tmp_path / "two" / "training_record.json").read_text())
    assert record["processes"] == 2
    assert record["rerun"].startswith("torchrun --standalone --nproc_per_node=2 -m monai.bundle")
