"""Imports run one way, and every folder holds what its name says."""

import ast
import configparser
import functools
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted([*ROOT.glob("custom_nets/**/*.py"), *ROOT.glob("scripts/**/*.py")])
FORBIDDEN = {"custom_nets": {"scripts", "bundles", "tests"}, "scripts": {"bundles", "tests"}}
# What is in one layer imports from the layers below it only, not from its neighbours.
LAYERS = (
    ("storage", "running"),
    ("volumes", "bundle", "phantom", "pages"),
    ("transforms",),
    ("datasets", "training", "audit"),
    ("preparation", "evaluation", "packaging", "commands"),
    ("suspicion", "unsupervised"),
    ("prediction", "study", "demo", "release"),
    ("retraining",),
    ("__main__",),
)
LAYER = {folder: number for number, folders in enumerate(LAYERS) for folder in folders}


@functools.cache
def imported_modules(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def folder_of(module: str) -> str:
    """The folder of scripts/ that a module lies in, or the module itself.

    >>> folder_of("scripts.volumes.readers.read_image"), folder_of("scripts.commands")
    ('volumes', 'commands')
    """
    return module.split(".")[1]


@functools.cache
def imports_between_folders() -> dict[str, set[str]]:
    """Folder -> the other folders of scripts/ that it imports from."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in ROOT.glob("scripts/**/*.py"):
        if path == ROOT / "scripts" / "__init__.py":
            continue
        folder = path.relative_to(ROOT / "scripts").parts[0].removesuffix(".py")
        modules = {name for name in imported_modules(path) if name.startswith("scripts.")}
        found[folder] |= {folder_of(name) for name in modules} - {folder}
    return found


def test_imports_of_a_module_then_never_against_the_arrow():
    against = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in MODULES
        for name in imported_modules(path)
        if name.partition(".")[0] in FORBIDDEN[path.relative_to(ROOT).parts[0]]
    ]
    assert not against


def test_folders_of_scripts_then_all_have_a_layer():
    modules = (ROOT / "scripts").rglob("*.py")  # a folder left with compiled files is no package
    folders = {p.relative_to(ROOT / "scripts").parts[0].removesuffix(".py") for p in modules}
    assert folders - {"__init__"} == set(LAYER)


@pytest.mark.parametrize("folder", LAYER)
def test_imports_between_folders_then_downwards_only(folder):
    upwards = {
        other for other in imports_between_folders()[folder] if LAYER[other] >= LAYER[folder]
    }
    assert not upwards, f"scripts/{folder} must not import from {', '.join(sorted(upwards))}"


def test_bundles_and_configs_then_no_python():
    assert not [*ROOT.glob("bundles/**/*.py"), *ROOT.glob("configs/**/*.py")]


@pytest.mark.parametrize("bundle", sorted(ROOT.glob("bundles/*")), ids=lambda p: p.name)
def test_bundle_then_holds_what_the_model_zoo_asks_for(bundle):
    assert "segmentation" in bundle.name  # MONAI Label takes the task from the folder's name
    wanted = ["LICENSE", "configs/metadata.json", "configs/inference.json", "configs/train.json"]
    wanted += ["configs/evaluate.json", "configs/logging.conf"]
    wanted += ["docs/README.md", "docs/data_license.txt"]
    assert not [name for name in wanted if not (bundle / name).is_file()]


def test_module_then_has_a_test_file_of_its_name():
    modules = [path.relative_to(ROOT) for path in MODULES if path.stem != "__init__"]
    tests = {path: f"tests/{path.parent}/test_{path.stem.strip('_')}.py" for path in modules}
    assert not [f"{path}: no {test}" for path, test in tests.items() if not (ROOT / test).is_file()]


def test_modules_that_make_mutate_changes_then_there_with_their_tests_on_the_list():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    changed = settings["mutmut"]["only_mutate"].split()
    listed = settings["mutmut"]["pytest_add_cli_args_test_selection"].split()
    own = {f"tests/{Path(name).parent}/test_{Path(name).name}" for name in changed}
    assert not [name for name in (*changed, *listed) if not (ROOT / name).is_file()]
    assert not own - set(listed)
