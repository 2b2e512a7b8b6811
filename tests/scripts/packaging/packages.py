"""What the tests package, and how they run it where the repository is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LUNG = ROOT / "bundles" / "lung_nodule_ct_segmentation"
LIVER = ROOT / "bundles" / "liver_ct_segmentation"
SCHEMA = ROOT / "tests" / "bundles" / "meta_schema_20240725.json"
OVERLAYS = (
    "configs/runtime/small.json",
    "configs/strategies/full.json",
)
SMALL = {
    "encoder": "resnet18",
    "decoder_channels": [16, 8, 8, 8, 8],
    "encoder_weights": "none",
    "patch_size": [32, 32],
    "batch_size": 6,
    "stage_epochs": 1,
    "val_interval": 1,
    "checkpoint_interval": 1000,
    "num_workers": 0,
}

# stands in every process: the repository, installed as it is for tests, cannot be imported
GUARD = """
import sys
from importlib.machinery import PathFinder

class Guard:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in ("scripts", "custom_nets"):
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is None or str(spec.origin).startswith({root!r}):
            raise ModuleNotFoundError(f"no {{name}} but the repository's", name=name)
        return spec

sys.meta_path.insert(0, Guard)
"""

# several commands of `python -m monai.bundle` for the price of one import of torch
DRIVER = """
import json, os, runpy, sys

bundle, commands, inside = sys.argv[1], *map(json.loads, sys.argv[2:])
for number, words in enumerate([*commands, *inside]):
    path = list(sys.path)
    if number == len(commands):  # as python -m there
        os.chdir(bundle)
        sys.path.insert(0, bundle)
    sys.argv = words if words[0].endswith(".py") else ["", *words]
    if words[0].endswith(".py"):
        runpy.run_path(words[0], run_name="__main__")
    else:
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    ours = [m for m in sys.modules if m.split(".")[0] in ("scripts", "custom_nets")]
    files = {m: sys.modules[m].__file__ for m in ours}
    strays = {m: file for m, file in files.items() if not file.startswith(bundle)}
    assert not strays, strays
    print("TOOK", words[0], len(files), "modules of the bundle")
    for module in ours:
        del sys.modules[module]
    sys.path[:] = path
"""


def run_elsewhere(
    program: Sequence[object],
    *,
    folder: Path,
    python_path: Sequence[Path] = (),
    fails: bool = False,
) -> str:
    """Run Python in a folder, without the repository; return what it printed.

    Args:
        program: Python's arguments.
        folder: to stand in.
        python_path: further folders to import from.
        fails: whether it must fail, or must not.
    """
    with tempfile.TemporaryDirectory() as guard:  # not in ``folder``, which may be a package
        Path(guard, "sitecustomize.py").write_text(GUARD.format(root=str(ROOT)))
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, [guard, *python_path])),
            "OMP_NUM_THREADS": "1",
            "MONAI_FAIL_ON_DUPLICATE_CONFIG": "1",
        }
        done = subprocess.run(
            [sys.executable, *map(str, program)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
    printed = done.stdout + done.stderr
    assert bool(done.returncode) == fails, printed[-6000:]
    return printed


def say_elsewhere(
    bundle: Path,
    commands: Sequence[Sequence[object]],
    *,
    folder: Path,
    inside: Sequence[Sequence[object]] = (),
    python_path: Sequence[Path] = (),
) -> str:
    """Run commands of ``python -m monai.bundle``, and .py files, one after the other.

    Args:
        bundle: whose Python they must use.
        commands: their words; they stand in the folder.
        folder: for the driver.
        inside: further ones, which stand in the bundle.
        python_path: further folders to import from.
    """
    words = [
        json.dumps([[str(word) for word in command] for command in those])
        for those in (commands, inside)
    ]
    driver = folder / "driver.py"
    driver.write_text(DRIVER)
    return run_elsewhere([driver, bundle, *words], folder=folder, python_path=python_path)
