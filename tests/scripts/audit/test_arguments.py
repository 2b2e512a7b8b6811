"""Arguments that components take, held against overrides and configs."""

import pytest

from scripts.audit.arguments import (
    arguments_of,
    check_argument,
    check_foreign_argument,
    judge_arguments,
    takes_paths,
    unknown_argument,
)
from scripts.audit.names import Names
from scripts.audit.static_values import UNKNOWN
from scripts.bundle.ids import refuse_unknown_ids

NAMES = Names()


@pytest.mark.parametrize(
    ("target", "argument"),
    [
        ("DiceLoss", "sigmoid"),
        ("torch.optim.Adam", "lr"),
        ("scripts.transforms.crops.RandCropWithLabeld", "share"),
        ("custom_nets.unet.TransferUNet", "weights"),
    ],
)
def test_component_of_monai_torch_or_here_then_its_arguments(target, argument):
    assert argument in arguments_of(target, NAMES).names
    assert unknown_argument(target, [argument, "_disabled_"], NAMES) == ""
    assert unknown_argument(target, [f"{argument}s"], NAMES).startswith(f"takes no {argument}s")


@pytest.mark.parametrize(
    "target", ["a_package.Net", "dict", "scripts.transforms.crops.none", "$@a"]
)
def test_component_whose_arguments_are_not_known_then_nothing_said(target):
    assert arguments_of(target, NAMES) is None
    assert unknown_argument(target, ["anything"], NAMES) == ""


def test_component_that_passes_arguments_on_then_open_with_its_own_first():
    taken = arguments_of("resnet18", NAMES)
    assert taken.is_open
    assert taken.names[0] == "pretrained"
    assert unknown_argument("resnet18", ["spatial_dims"], NAMES) == ""
    assert "pretrained" in arguments_of("EfficientNetBN", NAMES).default_true


@pytest.mark.parametrize(
    ("target", "takes"),
    [("SaveImaged", True), ("torch.load", True), ("DiceLoss", False), ("a_package.Net", False)],
)
def test_component_with_folders_or_files_then_distinguished_from_others(target, takes):
    assert takes_paths(target, NAMES) is takes


@pytest.mark.parametrize(
    ("given", "levels"),
    [
        ({"save_dir": "out/a", "save_dict": {}}, ["low"]),
        ({"save_dir": UNKNOWN}, ["medium"]),
        ({"save_dir": ["out/a", "/etc"]}, ["low", "high"]),
        ({"save_dir": None, "file_prefix": "a/b"}, ["high"]),
        ({"name": "log.txt"}, []),
    ],
)
def test_values_of_arguments_then_judged_by_kind(given, levels):
    found = judge_arguments("CheckpointSaver", given, NAMES)
    assert [sign.level for key, sign in found if key] == levels


def test_target_that_is_no_text_then_nothing_said():
    assert unknown_argument({"a": 1}, ["anything"], NAMES) == ""


def test_argument_that_a_component_has_then_taken_though_no_config_sets_it():
    config = {"loss": {"_target_": "DiceLoss"}, "any": {"_target_": "dict"}}
    given = ["loss#sigmoid", "loss#_disabled_", "any#thing"]
    refuse_unknown_ids(config, given, check_argument=check_argument)


@pytest.mark.parametrize(
    "overrides",
    [
        {"loss#_target_": "DiceCELoss", "loss#lambda_ce": "0.5"},
        {"loss::lambda_ce": 0.5, "loss::_target_": "DiceCELoss"},
        {"loss": "{'_target_': 'DiceCELoss'}", "loss#lambda_ce": 0.5},
        {"loss#_target_": "$@rate", "loss#lambda_ce": 0.5},
        ["loss#_target_", "loss#lambda_ce"],
    ],
    ids=["target first", "target last", "whole component", "expression", "no values"],
)
def test_argument_of_a_component_given_with_it_then_taken(overrides):
    config = {"rate": 1, "loss": {"_target_": "DiceLoss"}}
    refuse_unknown_ids(config, overrides, check_argument=check_argument)


def test_argument_that_the_component_given_with_it_has_not_then_refused():
    config = {"loss": {"_target_": "DiceCELoss"}}
    given = {"loss#_target_": "DiceLoss", "loss#lambda_ce": 1}
    with pytest.raises(ValueError, match="loss#lambda_ce: DiceLoss takes no lambda_ce"):
        refuse_unknown_ids(config, given, check_argument=check_argument)


def test_python_of_a_bundle_then_its_arguments_are_not_judged_by_ours():
    config = {"sampler": {"_target_": "scripts.transforms.crops.RandCropWithLabeld"}}
    with pytest.raises(ValueError, match="takes no wide"):
        refuse_unknown_ids(config, ["sampler#wide"], check_argument=check_argument)
    refuse_unknown_ids(config, ["sampler#wide"], check_argument=check_foreign_argument)
    loss = {"loss": {"_target_": "DiceLoss"}}
    with pytest.raises(ValueError, match="takes no wide"):  # no bundle stands before MONAI
        refuse_unknown_ids(loss, ["loss#wide"], check_argument=check_foreign_argument)
