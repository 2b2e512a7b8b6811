"""The list of what a config may be: every name exists, and every argument is looked at."""

import inspect
import json
import re
import sys

import pytest

from scripts.audit.allowed import (
    COMPONENTS,
    FILE_NAMES,
    LOADED,
    NAMED_CODE,
    ONLY,
    READ,
    WRITTEN,
    definition_of,
    harm_of,
    is_listed,
    listed_modules,
    listed_names,
)
from scripts.audit.arguments import arguments_of
from scripts.audit.names import Names, own_source, split_module
from tests.bundles.config_files import ROOT

JUDGED = READ | WRITTEN | FILE_NAMES | NAMED_CODE | ONLY.keys()
# names that say path, file or code, of arguments that are neither
NO_PATH = {
    *("dir_fd", "dropout_path_rate", "folder_layout", "pickle_protocol", "separate_folder"),
    *("create_dir", "savepath_in_metadict", "extra_files"),
}
SUSPECT = re.compile(r"path|dir(?!ect)|file|url|uri|pickle|^reader|^writer|folder", re.IGNORECASE)


def listed():
    return [f"{package}.{one}" for package, words in COMPONENTS.items() for one in words]


def value_of(name):
    parts = name.split(".")
    length = next(n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in sys.modules)
    value = sys.modules[".".join(parts[:length])]
    for part in parts[length:]:
        value = getattr(value, part)
    return value


def test_every_listed_name_then_exists_and_once():
    names = listed()
    assert len(names) == len(set(names))
    missing = []
    for name in names:
        if name.split(".")[0] in ("scripts", "custom_nets"):
            module, rest = split_module(name, own_source)
            found = len(rest) == 1 and re.search(rf"\b{rest[0]}\b", own_source(module).decode())
        else:
            package, _, short = name.rpartition(".")
            endings = ("", "d") if package == "monai.transforms" else ("",)
            found = any(has(f"{package}.{short}{end}") for end in endings)
        if not found:
            missing.append(name)
    assert missing == []


def targets_of(config):
    """Yield every ``_target_`` of a config."""
    if isinstance(config, dict):
        yield from ([config["_target_"]] if "_target_" in config else [])
    inner = config.values() if isinstance(config, dict) else config
    for value in inner if isinstance(config, (dict, list)) else ():
        yield from targets_of(value)


def test_every_component_of_ours_that_a_shipped_config_names_then_listed():
    files = [*ROOT.glob("configs/*/*.json"), *ROOT.glob("bundles/*/configs/*.json")]
    targets = {name for file in files for name in targets_of(json.loads(file.read_text()))}
    ours = {name for name in targets if name.startswith(("scripts.", "custom_nets."))}
    assert len(ours) > 50
    assert sorted(name for name in ours if not is_listed(name)) == []


def has(name):
    try:
        value_of(name)
    except (AttributeError, StopIteration):
        return False
    return True


def test_every_argument_that_may_be_a_path_then_judged_by_its_value():
    """Looks at new versions of MONAI, and at new components of this project, for new arguments."""
    open_ones = set()
    for name in sorted(listed_names()):
        taken = arguments_of(name, Names())
        for argument in taken.names if taken else ():
            if SUSPECT.search(argument) and argument not in JUDGED | NO_PATH:
                open_ones.add(f"{name}: {argument}")
    assert open_ones == set()


def test_every_argument_with_the_type_of_a_path_then_judged_by_its_value():
    open_ones = set()
    for name in sorted(listed_names()):
        if name.split(".")[0] not in LOADED or not has(name):
            continue
        try:
            parameters = inspect.signature(value_of(name)).parameters.values()
        except (TypeError, ValueError):
            continue
        for one in parameters:
            if "PathLike" in str(one.annotation) and one.name not in JUDGED | NO_PATH:
                open_ones.add(f"{name}: {one.name}")
    assert open_ones == set()


@pytest.mark.parametrize(
    ("name", "is_known"),
    [
        ("monai.transforms.Spacingd", True),
        ("monai.transforms.spatial.dictionary.Spacingd", True),
        ("torch.optim.adam.Adam", True),
        ("len", True),
        ("builtins.len", True),
        ("eval", False),
        ("os", False),
        ("torch", False),
        ("torch.os.path.join", True),
        ("torch.os.system", False),
        ("monai.transforms.TorchVisiond", False),
        ("scripts.training.fine_tuning.stages", False),
    ],
)
def test_name_then_listed_or_not(name, is_known):
    assert is_listed(name) is is_known


def test_modules_then_those_with_listed_names_and_around_them():
    assert {"os", "os.path", "torch.optim", "monai", "scripts.training"} <= listed_modules()
    assert not {"sys", "subprocess", "monai.bundle", "torch.hub"} & listed_modules()


def test_definition_then_found_without_attribute_code():
    assert definition_of("torch.os.system") == "posix.system"
    assert definition_of("not_loaded_at_all.x") == ""


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(
            ("subprocess.run", "process"),
            ("posix.execvp", "process"),
            ("torch.hub.load", "network"),
        ),
        *(("pickle", "pickle"), ("builtins.eval", "code"), ("os.makedirs", "write")),
        *(("evaluate", ""), ("torch.nn.L1Loss", ""), ("os.path.join", "")),
    ],
)
def test_known_harm_then_its_kind(name, kind):
    assert harm_of(name)[0] == kind
