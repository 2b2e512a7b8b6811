"""Made once for all workers: a phantom cohort, its preparation, a trained network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from custom_nets.encoders import ENCODERS
from scripts.phantom.chest.luna16 import make_cohort
from scripts.preparation.prepare_command import command_of
from tests.bundles.bundle_commands import SMALL, files_of, run_here, run_words, say
from tests.bundles.config_files import ROOT
from tests.custom_nets.tiny import TinyEncoder


@pytest.fixture
def _at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand where configs expect it, and refuse a key that is written twice."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")


@pytest.fixture
def tiny_encoder(monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of an encoder that trains in milliseconds, known during one test."""
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    return TinyEncoder.name


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Build a folder in the first worker that asks; the others wait for it and share it."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def build_once(name: str, build: Callable[[Path], None]) -> Path:
        folder = root / name
        with FileLock(root / f"{name}.lock"):
            if not (folder / "complete").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                build(folder)
                (folder / "complete").touch()
        return folder

    return build_once


@pytest.fixture(scope="session")
def cohort(once: Callable[..., Path]) -> Path:
    """``phantoms`` in LUNA16's layout, 64 x 64 x 24 voxels each, and ``prepared`` from them."""

    def build(folder: Path) -> None:
        phantoms = folder / "phantoms"
        make_cohort(
            str(phantoms), patients=8, size=64, slices=24, nodule_min_mm=14, nodule_max_mm=30
        )
        command_of("luna16")(
            str(phantoms),
            str(folder / "prepared"),
            label="masks",
            masks=str(phantoms / "masks"),
            patients=str(phantoms / "patients.csv"),
            jobs=1,
        )

    return once("cohort", build)


@pytest.fixture(scope="session")
def trained(once: Callable[..., Path], cohort: Path) -> Path:
    """Results of pretraining (in this process) and of ``run training`` from it, in two folders."""

    def build(folder: Path) -> None:
        data = {**SMALL, "dataset_dir": str(cohort / "prepared")}
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            pretraining = {**data, "max_epochs": 1, "output_dir": str(folder / "pretraining")}
            run_here("pretraining", files_of("pretrain"), pretraining)
        training = {
            **data,
            "output_dir": folder / "training",
            "encoder_weights": folder / "pretraining" / "encoder.pt",
            "learning_rate": 2e-3,
        }
        printed = say(*run_words("training", files_of("train"), training))
        (folder / "training.log").write_text(printed)
        shutil.rmtree(folder / "training" / "checkpoints")  # 700 MB

    return once("trained", build)
