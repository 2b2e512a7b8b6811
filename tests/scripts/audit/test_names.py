import sys

import pytest

from scripts.audit.names import (
    ROOT,
    Names,
    component_of,
    is_installed,
    is_internal,
    is_ours,
    own_source,
    split_module,
)

FILES = {"nets/__init__.py": b"", "nets/one.py": b"x = 1"}


@pytest.mark.parametrize(
    "target",
    [
        *("os.system", "posix.system", "builtins.eval", "eval", "exec", "subprocess.Popen"),
        *("torch.os.system", "scripts.storage.files.write_text", "run_cmd", "optional_import"),
        *("torch.hub.load", "shutil.rmtree", "monai.bundle.ConfigParser", "pickle.loads"),
        *("monai.bundle.scripts.run", "scripts.demo.demo.demo", "json.codecs.builtins.eval"),
        *("scripts.preparation.prepare_command.prepare", "glob.os.system", "torch.nn.__loader__"),
        *("monai.apps.download_and_extract", "importlib.import_module", "torch._C._cuda_init"),
    ],
)
def test_target_known_to_do_harm_then_high(target):
    assert Names().judge(target, target=True).level == "high"


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("a_package.net.Net", "not on the list: it is neither installed nor in the bundle"),
        ("yaml_of_mine", "neither installed"),
        ("sklearn.cluster.KMeans", "not on the list"),
        ("TorchVisiond", "not on the list"),
        ("Compoze", "did you mean Compose"),
        ("torch.optim.Adem", "did you mean torch.optim.Adam"),
        ("scripts.datasets.datalist.load_datalst", "did you mean scripts.datasets.datalist.load_"),
        ("next", "not on the list"),
    ],
)
def test_target_that_is_not_listed_then_medium(target, why):
    sign = Names().judge(target, target=True)
    assert sign.level == "medium"
    assert why in sign.why


@pytest.mark.parametrize(
    "target",
    [
        *("Compose", "LoadImaged", "SaveImaged", "SupervisedTrainer", "monai.data.Dataset"),
        *("torch.optim.Adam", "torch.nn.L1Loss", "ignite.handlers.ProgressBar", "dict"),
        *("scripts.datasets.datalist.load_datalist", "custom_nets.unet.TransferUNet"),
        *("scripts.training.run_record.RunRecord", "monai.losses.dice.DiceLoss", "SpacingD"),
    ],
)
def test_target_that_is_listed_then_low(target):
    assert Names().judge(target, target=True).level == "low"


@pytest.mark.parametrize(
    ("name", "level"),
    [
        *(("torch", "low"), ("monai.transforms", "low"), ("os", "low"), ("glob.glob", "low")),
        *(("os.system", "high"), ("socket", "high"), ("sys", "medium"), ("os.*", "medium")),
        *((".nets", "medium"), ("somebody", "medium"), ("scripts.storage.files", "high")),
    ],
)
def test_import_then_listed_modules_only(name, level):
    assert Names().judge_import(name).level == level


@pytest.mark.parametrize("file", ["nets.py", "monai/__init__.py", "scripts/__init__.py", "math.py"])
def test_module_of_a_bundle_then_stands_before_every_other(file):
    names = Names({file: b"import os"}.get)
    wanted = {"nets.py": "nets.Net", "monai/__init__.py": "Compose", "math.py": "math"}
    name = wanted.get(file, "scripts.training.run_record.RunRecord")
    sign = names.judge(name, target=True)
    assert (sign.level, sign.why) == ("medium", f"runs Python of the bundle: {file}")
    assert names.judge_import(name).level == "medium"


def test_module_of_a_bundle_when_ours_then_judged_as_ours():
    name = "scripts/datasets/datalist.py"
    same, other = Names({name: own_source(name)}.get), Names({name: b"x=1"}.get)
    assert same.judge("scripts.datasets.datalist.load_datalist").level == "low"
    assert other.judge("scripts.datasets.datalist.load_datalist").level == "medium"
    assert other.source_of("scripts.datasets.datalist.a") == (b"x=1", ["a"])


@pytest.mark.parametrize(
    ("name", "module", "rest"),
    [
        ("nets.one.Net.build", "nets/one.py", ["Net", "build"]),
        ("nets.two.Net", "nets/__init__.py", ["two", "Net"]),
        ("other.Net", None, ["other", "Net"]),
    ],
)
def test_dotted_name_then_split_into_file_and_rest(name, module, rest):
    assert split_module(name, FILES.get) == (module, rest)


def test_own_files_then_byte_for_byte():
    name = "scripts/audit/names.py"
    assert own_source(name) == (ROOT / name).read_bytes()
    assert is_ours(name, (ROOT / name).read_bytes())
    assert not is_ours(name, b"x = 1")
    assert own_source("scripts/none.py") is None


def test_package_then_found_without_being_imported():
    before = set(sys.modules)
    assert is_installed("pip") or is_installed("fire")
    assert not is_installed("a_package_of_somebody")
    assert set(sys.modules) == before


def test_target_without_a_module_then_monais_component():
    assert component_of("DiceLoss") == "monai.losses.dice.DiceLoss"
    assert component_of("monai.losses.DiceLoss") is None


def test_private_names_then_internal():
    assert is_internal("__class__")
    assert is_internal("_modules")
    assert not is_internal("_")
