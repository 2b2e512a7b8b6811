"""Maps of an earlier network as input: derived, trained on and evaluated by config alone."""

import json
from functools import partial

import numpy as np
import pytest

import scripts.retraining.context.context_maps_command as command
from scripts.bundle.held_models import held_models
from scripts.bundle.model_file import read_model
from scripts.datasets.datalist import load_datalist
from scripts.study.processes import Outcome
from scripts.study.workshop import Workshop
from tests.bundles.bundle_commands import CONFIGS, SMALL, run_here

pytestmark = [
    pytest.mark.usefixtures("_at_root"),
    pytest.mark.filterwarnings("ignore:Num foregrounds 0:UserWarning"),
]
NETWORK, SCRATCH = "configs/networks/unet_context.json", "configs/strategies/scratch.json"
DATA = "configs/data/luna16_slices_context.json"


def launch(words, log, lock):
    """Run a training in this process."""
    (run_id, _, files), options = words[3:6], words[6:]
    assert run_id == "training"
    asked = dict(zip((o.removeprefix("--") for o in options[::2]), options[1::2], strict=True))
    del asked["overwrite"]
    run_here(run_id, json.loads(files.replace("'", '"')), {**asked, "seed": int(asked["seed"])})
    log.write_text("")
    return Outcome(0, 0.0, 0.0, 0.0)


def test_context_maps_then_a_second_network_trains_on_them_and_is_evaluated(
    cohort, tiny_encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(command, "Workshop", partial(Workshop, launch=launch))
    settings = {**SMALL, "encoder": tiny_encoder, "decoder_channels": [4] * 5, "num_workers": 0}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    files = [NETWORK, SCRATCH, str(tmp_path / "settings.json")]
    derived = tmp_path / "derived"
    command.context_maps(
        str(cohort / "prepared" / "datalist.json"),
        str(derived),
        bundle="bundles/lung_nodule_ct_segmentation",
        config_file=files,
    )
    (sample, *_) = load_datalist(derived / "datalist.json", "validation")
    stack = np.load(sample["context"][0])
    assert stack.shape == np.load(sample["image"]).shape
    assert 0 < stack[sample["rows"][1]].mean() < 255
    asked = {**settings, "dataset_dir": str(derived)}
    trained = {**asked, "output_dir": str(tmp_path / "run"), "learning_rate": 0.01}
    workflow = run_here("training", [f"{CONFIGS}/train.json", NETWORK, DATA, SCRATCH], trained)
    network = workflow.parser.get_parsed_content("network_def")
    assert network.in_channels == 4
    assert network.context.weight.abs().max() > 0
    (first,) = held_models(read_model(tmp_path / "run" / "model.pt"))
    (named,) = json.loads((derived / "prediction.json").read_text())["earlier_models"]
    assert first.record["data"] == read_model(named).record["data"]
    asked = {"dataset_dir": str(derived), "num_workers": 0, "pictures": 1}
    asked |= {"ckpt_path": str(tmp_path / "run" / "model.pt")}
    asked |= {"output_dir": str(tmp_path / "evaluation")}
    run_here("evaluating", [f"{CONFIGS}/evaluate.json", DATA], asked)
    summary = json.loads((tmp_path / "evaluation" / "summary.json").read_text())
    assert summary["counts"]["cases_expected"] > 0
