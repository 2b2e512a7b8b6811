"""Made once for all workers: an abdomen phantom cohort, its preparation, a trained network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.phantom.abdomen.ircadb import make_cohort
from scripts.preparation.prepare_command import command_of
from tests.bundles.bundle_commands import run_here, run_words, say
from tests.bundles.liver.commands import SMALL, files_of


@pytest.fixture(scope="session")
def abdomens(once: Callable[..., Path]) -> Path:
    """``phantoms`` in 3D-IRCADb's layout, 64 x 64 x 24 voxels each, and ``prepared`` from them.

    One patient of the training section has no outlined kidneys.
    """

    def build(folder: Path) -> None:
        make_cohort(str(folder / "phantoms"), patients=6, size=64, slices=24)
        command_of("ircadb")(str(folder / "phantoms"), str(folder / "prepared"), every=3, jobs=1)

    return once("abdomens", build)


@pytest.fixture(scope="session")
def organs(once: Callable[..., Path], abdomens: Path) -> Path:
    """Result of ``run training``, FCN-8s on ResNet18, typed as a user does."""

    def build(folder: Path) -> None:
        asked = {**SMALL, "dataset_dir": abdomens / "prepared", "output_dir": folder / "training"}
        asked |= {"encoder_weights": "none", "learning_rate": 1e-3, "stage_epochs": 3}
        printed = say(*run_words("training", files_of("train"), asked))
        (folder / "training.log").write_text(printed)

    return once("organs", build)


@pytest.fixture
def train(abdomens: Path, tiny_encoder: str, tmp_path: Path) -> Callable[..., Path]:
    """Train a tiny network in this process, with overlays and overrides; return its folder."""

    def run(*overlays: str, name: str = "run", **overrides: Any) -> Path:
        asked = {**SMALL, "dataset_dir": str(abdomens / "prepared"), "stage_epochs": 1}
        asked |= {"encoder": tiny_encoder, "encoder_weights": "none"}
        asked |= {"decoder_channels": [4] * 5, "output_dir": str(tmp_path / name)}
        run_here("training", [*files_of("train"), *overlays], {**asked, **overrides})
        return tmp_path / name

    return run
