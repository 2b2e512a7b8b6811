"""One package for all tests here: a tiny ResNet34 U-Net with random weights, unpacked."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from custom_nets.unet import TransferUNet
from scripts.packaging.package_command import package
from tests.bundles.conftest import cohort, once
from tests.bundles.model_files import write_model
from tests.scripts.packaging.packages import LUNG, OVERLAYS, ROOT, SMALL

__all__ = ["cohort", "once"]


@pytest.fixture
def _at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand where configs expect it, and refuse a key that is written twice."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")


@pytest.fixture(scope="session")
def checkpoint(once: Callable[..., Path]) -> Path:
    """What training would have left: ``{"model": ...}``, of random weights."""

    def build(folder: Path) -> None:
        torch.manual_seed(0)
        network = TransferUNet("resnet34", norm="group", decoder_channels=SMALL["decoder_channels"])
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            write_model(folder / "model.pt", network, LUNG / "configs")

    return once("checkpoint", build) / "model.pt"


@pytest.fixture(scope="session")
def packed(once: Callable[..., Path], checkpoint: Path) -> Path:
    """A folder with ``lung.zip``, made with both exports, and the bundle unpacked from it."""

    def build(folder: Path) -> None:
        (folder / "small.json").write_text(json.dumps(SMALL))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            package(
                str(LUNG),
                str(folder / "lung.zip"),
                config_file=[*OVERLAYS, str(folder / "small.json")],
                ckpt_path=str(checkpoint),
                with_torchscript=True,
                with_onnx=True,
            )
        zipfile.ZipFile(folder / "lung.zip").extractall(folder)

    return once("packed", build)


@pytest.fixture(scope="session")
def bundle(packed: Path) -> Path:
    """The unpacked bundle."""
    return packed / LUNG.name
