"""What can be known of the configs without running them."""

import ast
import json
import pydoc
import re

import pytest
import torch
from monai.bundle import ComponentLocator, ConfigComponent, ConfigParser, ReferenceResolver

from custom_nets.framing import pad_to_stride
from tests.bundles.config_files import (
    FRAGMENTS,
    LUNG,
    ROOT,
    names_of,
    parser_of,
    transfer_networks,
)
from tests.custom_nets.encoders import KINDS
from tests.custom_nets.undrawn import undrawn_weights

SHIPPED = [*FRAGMENTS, *sorted(ROOT.glob("bundles/*/configs/*.json"))]
WORKFLOWS = ["train", "pretrain", "evaluate", "inference"]


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")


def items(config, prefix=""):
    """Every nested value with its id."""
    if isinstance(config, dict):
        for key, value in config.items():
            yield from items(value, f"{prefix}::{key}" if prefix else key)
    elif isinstance(config, list):
        for index, value in enumerate(config):
            yield from items(value, f"{prefix}::{index}")
    else:
        yield prefix, config


def resolved(name):
    parser = parser_of(LUNG / f"{name}.json")
    parser.resolve_macro_and_relative_ids()
    return parser


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_reference_then_resolves(name):
    parser = resolved(name)
    for where, value in items(parser.get()):
        if isinstance(value, str) and value[:1] in "@$" and not where.startswith("_meta_"):
            for reference in ReferenceResolver.match_refs_pattern(value):
                assert reference in parser, f"{where}: {value} refers to nothing"


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_target_then_imports(name):
    locator = ComponentLocator()
    for where, value in items(resolved(name).get()):
        if where.endswith("::_target_"):
            path = ConfigComponent({"_target_": value}, locator=locator).resolve_module_name()
            assert callable(pydoc.locate(path)), f"{where}: no {value}"


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_top_level_id_then_used(name):
    config = resolved(name).get()
    spoken = {"imports", "_meta_", "initialize", "run", "finalize", "bundle_root"}
    spoken |= {"training", "pretraining", "evaluating", "inferring", "train", "validate"}
    spoken.add("segments")  # read by `python -m scripts predict`
    text = json.dumps({k: v for k, v in config.items() if k != "_meta_"})
    for key in config.keys() - spoken:
        assert re.search(rf"@{key}\b", text), f"{name}.json: nothing uses {key!r}"


def test_preprocessing_of_train_and_evaluation_then_one_and_the_same():
    train, evaluation = resolved("train"), resolved("evaluate")
    assert train["sample_transforms"] == evaluation["sample_transforms"]


@pytest.mark.parametrize("name", ["evaluate", "inference"])
def test_input_and_classes_then_taken_from_the_model_and_compared_with_it(name):
    train, other = resolved("train"), resolved(name)
    assert other["model_settings"] == train["model_settings"]
    for key in set(train["model_settings"]) - {"input_kind"}:
        assert other[key] == f"$@trained['{key}']"
    assert other["input_kind"] == train["input_kind"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: f"{p.parts[-3]}-{p.stem}")
def test_expression_then_no_loop_or_function_inside(path):
    for where, value in items(json.loads(path.read_text())):
        if isinstance(value, str) and value.startswith("$") and not value.startswith("$import "):
            code = re.sub(r"@[\w:]+", "reference", value[1:])
            nodes = {type(node) for node in ast.walk(ast.parse(code, mode="eval"))}
            assert nodes.isdisjoint({ast.comprehension, ast.Lambda}), f"{where}: {value}"


@pytest.mark.parametrize(
    "bundle", sorted(ROOT.glob("bundles/*/configs")), ids=lambda p: p.parts[-2]
)
@pytest.mark.parametrize("name", ["pretrain", "evaluate", "inference"])
def test_components_of_training_then_written_in_train_alone(bundle, name):
    train, other = (json.loads((bundle / f"{n}.json").read_text()) for n in ("train", name))
    repeated = [key for key, value in other.items() if train.get(key) == value]
    assert not [key for key in repeated if isinstance(other[key], dict)]


VOLUMES = [path for path in FRAGMENTS if "SlidingWindow" in path.read_text()]


@pytest.mark.parametrize("path", VOLUMES, ids=lambda p: p.stem)
def test_file_for_volumes_then_its_windows_can_be_set_on_the_command_line(path):
    of_ct = path.stem.startswith(("ct_", "abdomen_"))
    bundle, id_ = ("inference", "inferer::inferer") if of_ct else ("train", "inferer")
    parser = ConfigParser()
    parser.read_config([LUNG / f"{bundle}.json", path])
    parser[f"{id_}::sw_batch_size"] = 7  # which fails below a macro
    assert parser[id_]["_target_"] == "SlidingWindowInferer"
    assert parser[id_]["sw_batch_size"] == 7


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda p: p.stem)
def test_fragment_then_sets_only_ids_that_a_workflow_knows(path):
    workflows = [json.loads(p.read_text()) for p in ROOT.glob("bundles/*/configs/*.json")]
    known = set().union(*workflows)
    text = path.read_text()
    taken = [(ROOT / name).read_text() for name in re.findall(r"%(configs/[\w/]+\.json)::", text)]
    used = "\n".join([text, *taken])  # with the files that it takes entries from
    own = {key for key in json.loads(text) if f"@{key}" in used} | {"volume_transforms"}
    own |= {"context_channels"}  # of a network's file
    own |= {"initialize", "finalize"}
    asked = {key.removeprefix("+").split("::")[0] for key in json.loads(text)}
    assert asked <= known | own


@pytest.mark.parametrize("encoder", KINDS)
@pytest.mark.parametrize("network", transfer_networks())
def test_network_and_every_strategy_then_combine(network, encoder):
    asked = {"encoder": encoder, "encoder_weights": "none"}
    asked |= {"width": 8} if "fcn" in network and encoder == "vgg16" else {}
    parser = parser_of(LUNG / "train.json", network, **asked)
    with undrawn_weights():
        built = parser.get_parsed_content("network_def")
    for name in names_of("strategies"):
        overlay = parser_of(LUNG / "train.json", network, name, encoder_weights="none")
        overlay["network_def"] = built
        stages = overlay.get_parsed_content("strategy")["stages"]
        assert stages, name
        for stage in stages:
            if "norms" in stage["trainable"] and not built.has_norms:
                with pytest.raises(ValueError, match="this encoder has none"):
                    built.check_names(stage["trainable"])
            else:
                built.check_names(stage["trainable"])


@pytest.mark.parametrize("loss", names_of("losses"))
def test_loss_then_replaces_the_default(loss):
    parser = parser_of(LUNG / "train.json", loss)
    assert parser["loss"] == json.loads((ROOT / loss).read_text())["loss"]
    assert callable(parser.get_parsed_content("train::loss"))


def test_crop_smaller_than_a_patch_then_padded_in_training_as_the_network_pads_it():
    config = json.loads((LUNG / "train.json").read_text())
    declared = {**config["augmentation"][0], "spatial_size": [64, 64], "_disabled_": False}
    parser = ConfigParser({"pad": declared})
    crop = torch.rand(3, 43, 50)
    padded = parser.get_parsed_content("pad")({"image": crop, "label": crop[:1]})
    assert torch.equal(padded["image"].as_tensor()[None], pad_to_stride(crop[None], 3)[0])
