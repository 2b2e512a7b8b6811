"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _one_thread_per_worker() -> None:
    """Keep parallel test workers from competing for the cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real CT scans; the test is skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real CT scans at {REAL_DATA}")
    return REAL_DATA
