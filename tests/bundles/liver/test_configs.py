"""What can be known of the liver bundle's configs without running them."""

import json
import pydoc
import re

import pytest
import torch
from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser, ReferenceResolver

from scripts.datasets.ircadb.ircadb_dataset import Ircadb
from scripts.datasets.ircadb.structures import class_names
from tests.bundles.config_files import ROOT, transfer_networks
from tests.bundles.liver.commands import LIVER
from tests.custom_nets.encoders import KINDS
from tests.custom_nets.undrawn import undrawn_weights

WORKFLOWS = ["train", "pretrain", "evaluate", "inference"]
SEVERAL = "configs/runtime/multi_gpu_train.json"
# ids that only other files of configs/networks read
NETWORK_IDS = {"decoder_channels", "decoder_norm", "skip_norm"}

pytestmark = pytest.mark.usefixtures("_at_root")


def resolved(*names):
    parser = ConfigParser()
    parser.read_config([str(LIVER / f"{names[0]}.json"), *map(str, names[1:])])
    parser.read_meta(str(LIVER / "metadata.json"))
    parser.resolve_macro_and_relative_ids()
    return parser


def items(config, prefix=""):
    """Every nested value with its id."""
    if isinstance(config, (dict, list)):
        pairs = config.items() if isinstance(config, dict) else enumerate(config)
        for key, value in pairs:
            yield from items(value, f"{prefix}::{key}" if prefix else str(key))
    else:
        yield prefix, config


@pytest.mark.parametrize("names", [[n] for n in WORKFLOWS] + [["train", SEVERAL]])
def test_every_reference_and_target_then_exists(names):
    parser, locator = resolved(*names), ComponentLocator()
    for where, value in items(parser.get()):
        if where.endswith("::_target_"):
            path = ConfigComponent({"_target_": value}, locator=locator).resolve_module_name()
            assert callable(pydoc.locate(path)), f"{where}: no {value}"
        elif isinstance(value, str) and value[:1] in "@$" and not where.startswith("_meta_"):
            for reference in ReferenceResolver.match_refs_pattern(value):
                assert reference in parser, f"{where}: {value} refers to nothing"


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_top_level_id_then_used(name):
    config = resolved(name).get()
    spoken = {"imports", "_meta_", "initialize", "run", "finalize", "bundle_root", *NETWORK_IDS}
    spoken |= {"training", "pretraining", "evaluating", "inferring", "train", "validate"}
    spoken.add("segments")  # read by `python -m scripts predict`
    text = json.dumps({k: v for k, v in config.items() if k != "_meta_"})
    for key in config.keys() - spoken:
        assert re.search(rf"@{key}\b", text), f"{name}.json: nothing uses {key!r}"


@pytest.mark.parametrize("name", ["evaluate", "inference"])
def test_network_window_and_classes_then_those_of_training(name):
    train, other = resolved("train"), resolved(name)
    assert train["model_settings"] == other["model_settings"]
    for key in ("window_hu", "outside_window", "class_names", "in_channels"):
        assert other[key] == f"$@trained['{key}']"
    if name == "evaluate":
        assert train["sample_transforms"] == other["sample_transforms"]


def test_window_and_slices_of_pretraining_then_those_of_training():
    train, pretrain = resolved("train"), resolved("pretrain")
    keys = ("window_hu", "outside_window", "class_names", "in_channels", "sample_transforms")
    for key in (*keys, "samples"):
        assert train[key] == pretrain[key]


def test_pretraining_then_reports_a_figure_of_every_organ():
    metrics = resolved("pretrain").get_parsed_content("validate::additional_metrics")
    assert list(metrics) == [f"val_auc_{name}" for name in class_names()[1:]]


def test_window_and_classes_then_those_of_preparation():
    train = resolved("train")
    assert train["class_names"] == list(class_names())
    assert train["window_hu"] == list(Ircadb.window_hu)
    five = json.loads((ROOT / "configs/data/ircadb_classes_tumour.json").read_text())
    assert five["class_names"] == list(class_names(tumour=True))


@pytest.mark.parametrize("overlay", [None, "configs/optimisers/adam.json"])
def test_adam_then_has_the_papers_numbers_also_with_its_overlay(overlay):
    config = ConfigParser.load_config_files(
        [str(LIVER / "train.json"), *([str(ROOT / overlay)] if overlay else [])]
    )
    asked = {**config["optimizer"], "params": [torch.zeros(1, requires_grad=True)]}
    numbers = {key: config[key] for key in ("betas", "epsilon", "learning_rate")}
    optimizer = ConfigParser({**numbers, "optimizer": asked}).get_parsed_content("optimizer")
    assert isinstance(optimizer, torch.optim.Adam)
    assert (tuple(optimizer.defaults["betas"]), optimizer.defaults["eps"]) == ((0.9, 0.99), 1e-7)


def test_training_then_declares_the_papers_numbers():
    train = resolved("train").get()
    assert (train["learning_rate"], train["batch_size"]) == (3e-4, 32)
    assert train["train"]["dataloader"]["shuffle"] == "$len(@train::dataset::data) > 0"
    augmented = {transform["_target_"]: transform for transform in train["augmentation"]}
    assert {"RandAffined", "RandShiftIntensityd", "RandAdjustContrastd"} <= augmented.keys()
    assert augmented["RandAffined"]["scale_range"]
    assert augmented["RandAffined"]["rotate_range"]


def test_metadata_then_names_the_classes_of_the_config():
    meta, train = json.loads((LIVER / "metadata.json").read_text()), resolved("train")
    channels = meta["network_data_format"]["outputs"]["pred"]["channel_def"]
    assert list(channels.values()) == train["class_names"]
    assert meta["version"] in meta["changelog"]


@pytest.mark.parametrize("encoder", KINDS)
@pytest.mark.parametrize(
    "network",
    [n for n in transfer_networks() if "multi_domain" not in n],  # has its own heads
)
def test_network_file_then_gives_a_map_for_every_class(network, encoder):
    parser = ConfigParser()
    parser.read_config([str(LIVER / "train.json"), str(ROOT / network)])
    parser.update({"encoder": encoder, "encoder_weights": "none", "normalise": 0.2})
    if encoder == "vgg16":
        parser.update({"width": 8})
    with undrawn_weights():
        built = parser.get_parsed_content("network_def")
    outputs = [v for k, v in built.state_dict().items() if k.endswith(("score.bias", "head.bias"))]
    assert outputs
    assert {len(bias) for bias in outputs} == {4}
    (normalise,) = (m for name, m in built.named_modules() if name.endswith("normalise"))
    assert normalise.mean.flatten().tolist() == pytest.approx([0.2] * 3)
