"""The config files of configs/ beside the bundle's, each by what it changes in a run."""

import itertools
import json
import math

import pytest
import torch
from mlflow import MlflowClient
from monai.utils import path_to_sqlite_uri
from torch.utils.data import RandomSampler

from scripts.training.precision import native_dtype
from tests.bundles.bundle_commands import SMALL, files_of, run_here
from tests.bundles.config_files import names_of
from tests.custom_nets.tiny import TinyEncoder

pytestmark = [
    pytest.mark.usefixtures("_at_root"),
    # samples without a nodule, which MONAI reports each time it crops one
    pytest.mark.filterwarnings("ignore:Num foregrounds 0:UserWarning"),
]
FROZEN = "configs/strategies/frozen.json"
BSFT = "configs/strategies/bsft.json"
CACHED = "configs/runtime/cached_prefix.json"
VOLUMES = "configs/data/luna16_volumes.json"


@pytest.fixture
def train(cohort, tiny_encoder, tmp_path):
    """Train the tiny network with overlays and overrides; return the results' folder."""

    def run(*overlays, name="run", tracking=None, **overrides):
        asked = {**SMALL, "dataset_dir": str(cohort / "prepared"), "num_workers": 0}
        asked |= {"encoder": tiny_encoder, "encoder_weights": "none"}
        asked |= {"decoder_channels": [4] * 5, "output_dir": str(tmp_path / name)}
        files = [*files_of("train"), *overlays]
        run_here("training", files, {**asked, **overrides}, tracking=tracking)
        return tmp_path / name

    return run


def stages_of(folder):
    return json.loads((folder / "stages.json").read_text())["stages"]


def losses_of(folder):
    return [stage["train_loss"] for stage in stages_of(folder)]


def model_of(folder):
    return torch.load(folder / "model.pt", weights_only=True)["model"]


@pytest.mark.parametrize("strategy", names_of("strategies"))
def test_strategy_then_trains_what_it_names_and_nothing_else(train, tmp_path, strategy):
    started = TinyEncoder()
    torch.save(started.state_dict(), tmp_path / "encoder.pt")
    weights = {} if "scratch" in strategy else {"encoder_weights": str(tmp_path / "encoder.pt")}
    folder = train(strategy, **weights)
    report = json.loads((folder / "stages.json").read_text())
    assert all(map(math.isfinite, losses_of(folder)))
    best = next(stage for stage in report["stages"] if stage["best"])
    model = model_of(folder)
    released = set().union(*(s["trainable"] for s in report["stages"][: best["stage"]]))
    for block, layers in started.parts.items():
        paths = [path for layer in layers.values() for path in layer]
        whole = not released.isdisjoint({"all", block, *layers}) or "scratch" in strategy
        wanted = {"kernels": whole or "low_rank" in strategy, "norms": whole or "norms" in released}
        moved = dict.fromkeys(wanted, False)
        for key, tensor in started.state_dict().items():
            if key.rpartition(".")[0] in paths and not torch.equal(model[f"encoder.{key}"], tensor):
                moved["kernels" if tensor.dim() == 4 else "norms"] = True
        assert moved == wanted, block


def test_losses_then_each_is_another(train):
    found = [losses_of(train(FROZEN, loss, name=loss[15:-5])) for loss in names_of("losses")]
    assert all(math.isfinite(value) for losses in found for value in losses)
    assert len({tuple(losses) for losses in found}) == len(found)


def test_optimisers_then_each_steps_another_way_at_the_rate_of_the_stage(train):
    weights = []
    for optimiser in names_of("optimisers"):
        folder = train("configs/strategies/frozen_then_thaw.json", optimiser, name=optimiser[19:-5])
        rates = [stage["learning_rates"]["decoder"] for stage in stages_of(folder)]
        assert rates == pytest.approx([5e-4, 5e-5, 5e-6])  # from small.json
        weights.append(model_of(folder)["decoder.head.weight"])
    assert len(weights) == 5
    assert all(not torch.equal(a, b) for a, b in itertools.combinations(weights, 2))


def test_native_precision_then_other_numbers_only_where_it_is_bfloat16(train):
    plain, half = train(FROZEN), train(FROZEN, "configs/runtime/native_precision.json", name="half")
    assert losses_of(half) == pytest.approx(losses_of(plain), abs=0.05)
    assert (losses_of(half) != losses_of(plain)) == (native_dtype("cpu") == torch.bfloat16)


def test_cached_prefix_then_the_stages_of_a_training_without_augmentation(train):
    select = {"augmentation": [{"_target_": "SelectItemsd", "keys": ["image", "label"]}]}
    plain = train(BSFT, **select)
    cached = train(BSFT, CACHED, name="cached", **{"train::inferer::dtype": "float32"})
    assert losses_of(cached) == pytest.approx(losses_of(plain), rel=1e-4)
    assert losses_of(cached) != losses_of(train(BSFT, name="augmented"))


def test_short_epochs_then_so_many_updates_drawn_anew_in_each_epoch(train, monkeypatch):
    drawn, draw = [], RandomSampler.__iter__

    def recorded(sampler):
        drawn.append(list(draw(sampler)))
        return iter(drawn[-1])

    monkeypatch.setattr(RandomSampler, "__iter__", recorded)
    short = {"epoch_samples": 4, "batch_size": 2, "stage_epochs": 2}
    first, again = (
        losses_of(train(BSFT, "configs/runtime/short_epochs.json", name=name, **short))
        for name in ("first", "again")
    )
    assert first == again
    assert drawn[:10] == drawn[10:]
    assert [len(set(epoch)) for epoch in drawn[:10]] == [4] * 10
    assert len({tuple(epoch) for epoch in drawn[:10]}) == 10


# LoadImaged sets all of MONAI's readers up, those that are not named too
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
def test_whole_volumes_then_train_and_evaluate(train, cohort, tiny_encoder, tmp_path):
    folder = train(FROZEN, VOLUMES)
    assert all(map(math.isfinite, losses_of(folder)))
    asked = {"dataset_dir": str(cohort / "prepared"), "num_workers": 0, "pictures": 1}
    asked |= {"ckpt_path": str(folder / "model.pt"), "output_dir": str(tmp_path / "evaluation")}
    run_here("run", [*files_of("evaluate"), VOLUMES], asked)
    counts = json.loads((tmp_path / "evaluation" / "summary.json").read_text())["counts"]
    assert counts["slices"] == 24 * counts["series"]
    assert counts["series_whole"] == counts["series"] > 0


def test_pretraining_then_training_takes_its_encoder(train, cohort, tiny_encoder, tmp_path):
    asked = {**SMALL, "dataset_dir": str(cohort / "prepared"), "output_dir": str(tmp_path)}
    asked |= {"encoder": tiny_encoder, "decoder_channels": [4] * 5}
    run_here("pretraining", files_of("pretrain"), asked)
    written = torch.load(tmp_path / "encoder.pt", weights_only=True)
    model = model_of(train(FROZEN, encoder_weights=str(tmp_path / "encoder.pt")))
    for key, tensor in written["state_dict"].items():
        assert torch.equal(model[f"encoder.{key}"], tensor), key


# mlflow's database and its own queries do not suit each other
@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_mlflow_then_loss_and_dice_are_tracked(train):
    folder = train(FROZEN, tracking="mlflow")
    client = MlflowClient(path_to_sqlite_uri(str(folder / "mlruns.db")))
    runs = [r for e in client.search_experiments() for r in client.search_runs(e.experiment_id)]
    tracked = {name for run in runs for name in run.data.metrics}
    assert {"train_loss", "val_dice_per_slice"} <= tracked
    pictures = [
        picture.path
        for run in runs
        for picture in client.list_artifacts(run.info.run_id, "images")
        if picture.path.endswith(".png")
    ]
    assert pictures
    assert all("validation annotation and network" in path for path in pictures)
