"""A trained network and its evaluation on the test set, made once for all workers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bundles.bundle_commands import files_of, run_words, say
from tests.bundles.conftest import _at_root, cohort, once, trained

__all__ = ["_at_root", "cohort", "once", "trained"]


@pytest.fixture(scope="session")
def evaluated(once: Callable[..., Path], cohort: Path, trained: Path) -> Path:
    """Evaluation of the trained network on the test set of its own split."""

    def build(folder: Path) -> None:
        data = {"dataset_dir": cohort / "prepared", "ckpt_path": trained / "training" / "model.pt"}
        say(*run_words("evaluating", files_of("evaluate"), {**data, "output_dir": folder / "out"}))

    return once("evaluated", build) / "out"
