"""Files of configs/ beside the liver bundle's, each by what it changes in a run."""

import json
import math

import pytest
import torch

from scripts.preparation.prepare_command import command_of
from tests.bundles.bundle_commands import run_here
from tests.bundles.config_files import ROOT, names_of, parser_of
from tests.bundles.liver.commands import SMALL, files_of
from tests.custom_nets.tiny import TinyEncoder

pytestmark = pytest.mark.usefixtures("_at_root")
UNET = "configs/networks/unet.json"
PRETRAINING = [
    "bundles/lung_nodule_ct_segmentation/configs/pretrain.json",
    UNET,
    "configs/data/ircadb_slices.json",
    "configs/data/abdomen_window.json",
]


def stages_of(folder):
    return json.loads((folder / "stages.json").read_text())["stages"]


def losses_of(folder):
    return [stage["train_loss"] for stage in stages_of(folder)]


@pytest.mark.parametrize("strategy", ["bsft", "frozen"])
def test_strategy_then_applies_as_it_is(train, tmp_path, strategy):
    started = TinyEncoder()
    torch.save(started.state_dict(), tmp_path / "encoder.pt")
    weights = {"encoder_weights": str(tmp_path / "encoder.pt")}
    folder = train(f"configs/strategies/{strategy}.json", **weights)
    stages = stages_of(folder)
    assert all(map(math.isfinite, losses_of(folder)))
    best = next(stage for stage in stages if stage["best"])
    released = set().union(*(stage["trainable"] for stage in stages[: best["stage"]]))
    model = torch.load(folder / "model.pt", weights_only=True)["model"]
    for block, layers in started.parts.items():
        paths = [path for layer in layers.values() for path in layer]
        keys = [key for key in started.state_dict() if key.rpartition(".")[0] in paths]
        same = [torch.equal(model[f"encoder.{k}"], started.state_dict()[k]) for k in keys]
        assert all(same) == released.isdisjoint({"all", block, *layers}), block


def test_losses_then_each_is_another(train):
    found = [losses_of(train(loss, name=loss[22:-5])) for loss in names_of("class_losses")]
    assert all(math.isfinite(value) for losses in found for value in losses)
    assert len({tuple(losses) for losses in found}) == len(found) == 3


def test_optimisers_then_each_steps_another_way(train):
    frozen = "configs/strategies/frozen.json"
    folders = [train(frozen, file, name=file[19:-5]) for file in names_of("optimisers")]
    models = [torch.load(f / "model.pt", weights_only=True)["model"] for f in folders]
    weights = {tuple(model["decoder.score.weight"].flatten().tolist()) for model in models}
    assert len(weights) == len(folders) > 1


def test_unet_then_trains_by_its_file_alone(train):
    folder = train(UNET)
    assert all(map(math.isfinite, losses_of(folder)))
    model = torch.load(folder / "model.pt", weights_only=True)["model"]
    assert len(model["decoder.head.bias"]) == 4


def test_accumulated_batch_then_nearly_the_whole_one(train):
    calm = {"augmentation": [], "network_def::dropout": 0.0, "learning_rate": 1e-5}
    whole = train(accumulation_steps=1, name="whole", **calm)
    parts = train(accumulation_steps=4, name="parts", **calm)
    # the loss is the same mean; batch norm sees smaller batches, hence not the same weights
    assert losses_of(parts) == pytest.approx(losses_of(whole), rel=0.1)
    assert losses_of(parts) != losses_of(whole)


def test_coarse_to_fine_then_each_starts_from_the_last(train):
    frozen = "configs/strategies/frozen.json"
    coarse = train(frozen, name="32s", **{"stride": 32})
    still = {"learning_rate": 1e-12, "augmentation": [], "network_def::dropout": 0.0}
    for step, stride in enumerate((16, 8, 4)):
        asked = {"coarser_weights": str(coarse / "model.pt"), "stride": stride}
        fine = train(frozen, name=f"{stride}s", **still, **asked)
        first, second = (torch.load(f / "model.pt", weights_only=True) for f in (coarse, fine))
        new = [f"decoder.steps.{step}.score.{kind}" for kind in ("bias", "weight")]
        assert sorted(second["model"].keys() - first["model"].keys()) == new
        assert second["value"] == pytest.approx(first["value"], abs=1e-6)
        coarse = fine


def test_pretraining_without_labels_then_training_takes_its_encoder(
    train, abdomens, tiny_encoder, tmp_path
):
    asked = {"dataset_dir": str(abdomens / "prepared"), "output_dir": str(tmp_path)}
    asked |= {"encoder": tiny_encoder, "decoder_channels": [4] * 5}
    asked |= {"max_epochs": 1, "num_workers": 0, "patch_size": [64, 64], "square_size": [8, 8]}
    run_here("pretraining", PRETRAINING, asked)
    written = torch.load(tmp_path / "encoder.pt", weights_only=True)["state_dict"]
    frozen = "configs/strategies/frozen.json"
    folder = train(frozen, encoder_weights=str(tmp_path / "encoder.pt"))
    model = torch.load(folder / "model.pt", weights_only=True)["model"]
    for key, tensor in written.items():
        assert torch.equal(model[f"encoder.{key}"], tensor), key


@pytest.fixture(scope="session")
def recognised_organs(once, abdomens):
    """Result of pretraining ResNet18 to recognise organs."""

    def build(folder):
        asked = {"dataset_dir": str(abdomens / "prepared"), "output_dir": str(folder)}
        asked |= {"patch_size": [32, 32], "batch_size": 8, "max_epochs": 2, "learning_rate": 1e-3}
        asked |= {"encoder": "resnet18", "num_workers": 0}
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            run_here("pretraining", files_of("pretrain"), asked)

    return once("recognised_organs", build)


def test_pretraining_by_organs_then_a_figure_for_each_and_bone_is_recognised(recognised_organs):
    lines = (recognised_organs / "metrics.csv").read_text().split()
    found = {name: float(value) for name, value in (line.split(",") for line in lines)}
    organs = [f"val_auc_{name}" for name in ("liver", "bone", "kidney")]
    assert found.keys() == {"val_auc", *organs}
    assert all(map(math.isfinite, found.values()))
    assert found["val_auc"] == pytest.approx(sum(found[name] for name in organs) / 3)
    assert found["val_auc_bone"] > 0.8  # chance is 0.5


def test_encoder_that_recognises_organs_then_taken_by_both_bundles(recognised_organs):
    written = torch.load(recognised_organs / "encoder.pt", weights_only=True)
    assert written["encoder"] == "resnet18"
    lung = (f"{ROOT}/bundles/lung_nodule_ct_segmentation/configs/train.json", UNET)
    for files in (files_of("train"), lung):
        asked = {"encoder": "resnet18", "encoder_weights": str(recognised_organs / "encoder.pt")}
        parser = parser_of(*files, **asked, normalise=0.2)
        started = parser.get_parsed_content("network_def").encoder.state_dict()
        for key, tensor in written["state_dict"].items():
            assert torch.equal(started[key], tensor), key


def test_five_classes_then_the_tumour_is_recognised_too(abdomens, tiny_encoder, tmp_path):
    prepared = tmp_path / "prepared"
    command_of("ircadb")(
        str(abdomens / "phantoms"), str(prepared), tumour=True, every=6, jobs=1, volumes=False
    )
    asked = {"dataset_dir": str(prepared), "output_dir": str(tmp_path), "num_workers": 0}
    asked |= {"encoder": tiny_encoder, "patch_size": [32, 32], "max_epochs": 1}
    files = [*files_of("pretrain"), "configs/data/ircadb_classes_tumour.json"]
    workflow = run_here("pretraining", files, asked)
    assert workflow.parser.get_parsed_content("classifier").score.out_features == 4


def test_tumours_then_are_a_fifth_class(abdomens, tiny_encoder, tmp_path):
    prepared = tmp_path / "prepared"
    command_of("ircadb")(
        str(abdomens / "phantoms"), str(prepared), tumour=True, every=6, jobs=1, volumes=False
    )
    asked = {**SMALL, "dataset_dir": str(prepared), "stage_epochs": 1, "encoder_weights": "none"}
    asked |= {"encoder": tiny_encoder, "output_dir": str(tmp_path / "training")}
    five = "configs/data/ircadb_classes_tumour.json"
    run_here("training", [*files_of("train"), five], asked)
    asked = {"dataset_dir": str(prepared), "ckpt_path": str(tmp_path / "training" / "model.pt")}
    asked |= {"output_dir": str(tmp_path / "eval"), "num_workers": 0, "pictures": 1}
    run_here("evaluating", files_of("evaluate"), asked)
    figures = json.loads((tmp_path / "eval" / "summary.json").read_text())["figures"]
    assert figures["iou_liver_tumour_pooled"]["n"] == 1


def test_data_of_four_classes_then_refused_by_a_network_of_five(train):
    with pytest.raises(RuntimeError) as caught:
        train("configs/data/ircadb_classes_tumour.json")
    causes = [caught.value]
    while causes[-1].__cause__:
        causes.append(causes[-1].__cause__)
    assert "class_names: " in str(causes[-1])
    assert "'kidney'], the config ['background', 'liver', 'bone', 'kidney', 'liver tumour']" in str(
        causes[-1]
    )
