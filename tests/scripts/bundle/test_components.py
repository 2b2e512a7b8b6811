import json
from copy import deepcopy

import pytest
import torch
from monai.bundle import ConfigParser

from scripts.bundle.components import built, naming_faults
from scripts.bundle.compose import Composition, compose
from scripts.bundle.config_files import files_below

BASE = {
    "inferer": {"_target_": "SimpleInferer"},
    "activation": {"_target_": "Activations", "sigmoid": True},
    "threshold": 0.5,
}


def build(folder, part, *, base=None, overrides=None):
    """Build the id `wanted` of two files as MONAI does."""
    paths = [folder / "base.json", folder / "over.json"]
    for path, content in zip(paths, (base or BASE, part), strict=True):
        path.write_text(json.dumps({**content}))
    files = [path.name for path in paths]
    composition = compose(files, files_below(folder), overrides=overrides)
    parser = ConfigParser(json.loads(json.dumps(composition.config)))
    with naming_faults(composition):
        parser.get_parsed_content("wanted")


FAULTS = {
    "class misspelt": (
        {"_target_": "torch.nn.Conv-1d"},
        "wanted: _target_: torch.nn.Conv-1d does not exist; did you mean torch.nn.Conv1d or ",
    ),
    "module": ({"_target_": "scripts.nothing.X"}, "wanted: _target_: scripts.nothing.X does not"),
    "package": (
        {"_target_": "torhc.nn.ReLU"},
        "wanted: _target_: torhc.nn.ReLU does not exist; did you mean torch.nn.ReLU",
    ),
    "component of MONAI": (
        {"_target_": "SimpleInfererr"},
        "wanted: _target_: SimpleInfererr does not exist; did you mean SimpleInferer",
    ),
    "nested": (
        [{"a": {"_target_": "no.X"}}],
        "wanted::0::a: _target_: no.X does not exist",
    ),
    "reference": ("@treshold", "wanted: @treshold refers to nothing; did you mean @threshold?"),
    "reference in an expression": ("$@inferer#a.b + 1", "wanted: @inferer::a refers to nothing"),
    "circle": ("@wanted", "wanted: refers to itself, through @wanted"),
    "syntax": ("$1 +", r"wanted: \$1 \+: SyntaxError: invalid syntax"),
    "name": ("$nothing.x", r"wanted: \$nothing.x: NameError: name 'nothing' is not defined"),
    "attribute": (
        "$@inferer.nothing",
        r"wanted: \$@inferer.nothing: AttributeError: .* no attribute 'nothing'",
    ),
    "argument": (
        {"_target_": "SimpleInferer", "roi": 3},
        "wanted: .*unexpected keyword argument 'roi'",
    ),
    "missing argument": (
        {"_target_": "monai.transforms.LoadImaged"},
        "wanted: .*missing 1 required positional argument: 'keys'",
    ),
    "kind of argument": (
        {"_target_": "monai.transforms.Activations", "other": 1},
        "wanted: other must be None or callable but is int",
    ),
}


@pytest.mark.parametrize(("part", "reason"), FAULTS.values(), ids=FAULTS)
def test_part_that_cannot_be_built_then_its_id_and_file_and_what_it_says(tmp_path, part, reason):
    with pytest.raises(ValueError, match=f"^over.json: {reason}"):
        build(tmp_path, {"wanted": part})


def test_part_that_the_command_sets_then_no_file_is_blamed(tmp_path):
    with pytest.raises(ValueError, match=r"^the command line: wanted: _target_: no\.X does not"):
        build(tmp_path, {"wanted": 1}, overrides={"wanted": {"_target_": "no.X"}})


@pytest.mark.parametrize(
    "part",
    [
        {"_target_": "scripts.running.options.check_whole", "name": "n", "value": 0, "low": 1},
        "$__import__('json').loads('{')",
        {"_target_": "json.loads", "s": 3},
    ],
    ids=["refused by a function", "error in a library", "type error in a library"],
)
def test_error_inside_what_a_config_calls_then_unchanged(tmp_path, part):
    with pytest.raises(RuntimeError, match="Failed to"):
        build(tmp_path, {"wanted": part})


def convolution(**arguments):
    target = {"_target_": "torch.nn.Conv2d", "in_channels": 2, "out_channels": 1, "kernel_size": 1}
    return {"width": 3, "net": {**target, **arguments}}


def build_id(config, id_):
    return built(ConfigParser(deepcopy(config)), id_, Composition(("a.json",), config))


def test_component_then_of_its_class_with_its_arguments():
    network = build_id(convolution(in_channels="@width"), "net")
    assert isinstance(network, torch.nn.Conv2d)
    assert network.in_channels == 3
    assert build_id(convolution(), "net::in_channels") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"_target_": "torch.nn.Conv0.5d"},
            "net: _target_: torch.nn.Conv0.5d does not exist",
        ),
        ({"kernel_size": 1e99}, "a.json: net: "),
        ({"colour": "red"}, "a.json: net: .*unexpected .*'colour'"),
        ({"groups": 2, "in_channels": 3}, "in_channels must be divisible by groups"),
        ({"in_channels": "$1 // 0"}, "a.json: net::in_channels: .*: ZeroDivisionError"),
    ],
)
def test_component_that_cannot_be_built_then_an_error_of_the_user(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        build_id(convolution(**arguments), "net")
    assert "_mode_=debug" not in str(caught.value)  # MONAI's advice, which needs a terminal


def test_component_whose_file_is_missing_then_an_oserror_as_it_is():
    config = {"content": "$open('/no/such/file')"}
    with pytest.raises(FileNotFoundError, match="/no/such/file"):
        build_id(config, "content")
