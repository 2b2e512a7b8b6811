"""The bundle's workflows on tiny data: as a user types them, and inside this process."""

from __future__ import annotations

import io
import logging
import os
import runpy
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow
from monai.utils import set_determinism

from scripts.training.fine_tuning import stage_report
from tests.bundles.config_files import LUNG, ROOT

CONFIGS = str(LUNG.relative_to(ROOT))
TRAINED = ("train", "pretrain")  # workflows that build a network anew
NARROW = {"decoder_channels": [16, 8, 8, 8, 8]}
SMALL = {**NARROW, "patch_size": [32, 32], "batch_size": 6, "stage_epochs": 1}
SMALL |= {"val_interval": 1, "checkpoint_interval": 1, "encoder": "resnet18"}


def start(*words: object) -> subprocess.Popen[str]:
    """Start ``python -m monai.bundle`` with these words at the root of the repository."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MONAI_FAIL_ON_DUPLICATE_CONFIG": "1",
        "PYTHONWARNINGS": "default",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "monai.bundle", *map(str, words)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def say(*words: object) -> str:
    """Run a command that must succeed; return what it printed."""
    process = start(*words)
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == 0, printed[-6000:]
    return printed


def say_here(*words: object) -> str:
    """Run a command that verifies or exports in this process; return what it printed.

    It must succeed. A workflow would leave its seed and its loggers to the other tests.
    """
    printed = io.StringIO()
    handler = logging.StreamHandler(printed)
    loggers = [logging.getLogger(name) for name in ("monai.apps", "monai.bundle.scripts")]
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in a process of its own
        patch.chdir(ROOT)
        patch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")
        patch.setattr(sys, "argv", ["monai.bundle", *map(str, words)])
        for logger in loggers:
            logger.addHandler(handler)
        try:
            with redirect_stdout(printed):
                runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
        finally:
            for logger in loggers:
                logger.removeHandler(handler)
    return printed.getvalue()


def kill_when(process: subprocess.Popen[str], file: Path) -> None:
    """Kill a command as ``kill -9`` does, as soon as it has written a file."""
    while not file.exists():
        if process.poll() is not None:
            raise AssertionError(f"ended before {file.name}: {process.communicate()[0][-6000:]}")
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def run_words(
    run_id: str, files: Sequence[str | Path], overrides: Mapping[str, Any] = {}
) -> list[str]:
    """Words of ``run``: the files together, every override as an option."""
    words = ["run", run_id, "--config_file", repr([str(file) for file in files])]
    for key, value in overrides.items():
        words += [f"--{key}", str(value)]
    return words


def files_of(workflow: str, *overlays: str | Path) -> list[str]:
    """Config files of a workflow; a training or pretraining is of a small network by default."""
    usual = ("configs/runtime/small.json",) if workflow in TRAINED else ()
    return [f"{CONFIGS}/{workflow}.json", *map(str, overlays or usual)]


def make_here(
    run_id: str,
    files: Sequence[str | Path],
    overrides: Mapping[str, Any],
    **options: Any,
) -> ConfigWorkflow:
    """Build a workflow in this process; the process must stand at the repository's root."""
    return ConfigWorkflow(
        config_file=[str(file) for file in files],
        run_id=run_id,
        logging_file=False,  # the bundle's would silence the loggers of all other tests
        **options,
        **overrides,
    )


def run_here(
    run_id: str,
    files: Sequence[str | Path],
    overrides: Mapping[str, Any],
    **options: Any,
) -> ConfigWorkflow:
    """Run a workflow in this process, as ``python -m monai.bundle run`` does, and return it.

    Curves are left to the trainings in a process of their own: to draw them takes as long as all
    else in a training of such a size.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage_report, "draw_curves", lambda *_, **__: None)
        workflow = make_here(run_id, files, overrides, **options)
        try:
            workflow.initialize()
            workflow.run()
            workflow.finalize()
        finally:
            set_determinism(None)
    return workflow
