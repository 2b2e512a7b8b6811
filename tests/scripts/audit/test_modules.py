import sys

import pytest

from scripts.audit.modules import (
    ROOT,
    component_of,
    follow_loaded,
    is_installed,
    is_ours,
    leads_to,
    missing_in_loaded,
    own_source,
    split_module,
    top_names,
)

FILES = {"nets/__init__.py": b"", "nets/one.py": b"x = 1"}


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


def test_top_names_then_what_a_module_defines_and_imports():
    source = b"import os.path\nimport numpy as np\nfrom a.b import c as d\nX = 1\ndef f(): ...\n"
    assert top_names(source) == {"os": "os.path", "np": "numpy", "d": "a.b.c", "X": "", "f": ""}
    assert top_names(b"def (") == {}


@pytest.mark.parametrize(
    ("rest", "found"), [([], ""), (["X"], ""), (["d", "e"], "a.b.c.e"), (["none"], None)]
)
def test_attribute_of_a_module_then_what_it_leads_to(rest, found):
    assert leads_to(b"from a.b import c as d\nX = 1", rest) == found


def test_name_in_loaded_modules_then_followed_home_without_attribute_code():
    assert follow_loaded(["torch", "os", "system"]) == "posix.system"
    assert follow_loaded(["monai", "transforms", "Compose"]) == "monai.transforms.compose.Compose"
    assert follow_loaded(["not_loaded_at_all", "x"]) == ""


def test_name_that_a_loaded_module_lacks_then_missing():
    assert missing_in_loaded("torch.optim.Adem")
    assert not missing_in_loaded("torch.optim.Adam")
    assert not missing_in_loaded("not_loaded_at_all.x")


def test_own_files_then_byte_for_byte():
    name = "scripts/audit/modules.py"
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
