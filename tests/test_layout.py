"""Imports run one way, and every room of the house holds what its name says."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted([*ROOT.glob("custom_nets/**/*.py"), *ROOT.glob("scripts/**/*.py")])
FORBIDDEN = {"custom_nets": {"scripts", "bundles", "tests"}, "scripts": {"bundles", "tests"}}


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_of_a_module_then_never_against_the_arrow(path):
    room = path.relative_to(ROOT).parts[0]
    assert not imported_packages(path) & FORBIDDEN[room]


def test_bundles_and_configs_then_no_python():
    assert not [*ROOT.glob("bundles/**/*.py"), *ROOT.glob("configs/**/*.py")]


@pytest.mark.parametrize("bundle", sorted(ROOT.glob("bundles/*")), ids=lambda p: p.name)
def test_bundle_then_holds_what_the_model_zoo_asks_for(bundle):
    assert "segmentation" in bundle.name  # MONAI Label takes the task from the folder's name
    wanted = ["LICENSE", "configs/metadata.json", "configs/inference.json", "configs/train.json"]
    wanted += ["configs/evaluate.json", "configs/logging.conf"]
    wanted += ["docs/README.md", "docs/data_license.txt"]
    assert not [name for name in wanted if not (bundle / name).is_file()]


def test_tests_then_mirror_the_tree():
    rooms = {p.parent.relative_to(ROOT) for p in MODULES}
    for room in rooms:
        assert (ROOT / "tests" / room).is_dir(), f"no tests for {room}"
