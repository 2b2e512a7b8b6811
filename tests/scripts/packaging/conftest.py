"""Packages for all tests here: a ResNet18 U-Net with random weights, and single convolutions."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.networks.nets import BasicUNet

from custom_nets.plain import PlainNetwork
from custom_nets.unet import TransferUNet
from scripts.packaging.exports.exports import FORMATS
from scripts.packaging.package_command import package
from scripts.prediction.network.model import Model
from scripts.prediction.pipeline import predict_volume
from scripts.prediction.predict_options import Options
from scripts.prediction.writing.products import write_mask
from tests.bundles.conftest import cohort, once
from tests.bundles.model_files import write_model
from tests.scripts.packaging.packages import LIVER, LUNG, OVERLAYS, ROOT, SMALL
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import bright_chest, write_nifti, write_series

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
        network = TransferUNet("resnet18", norm="group", decoder_channels=SMALL["decoder_channels"])
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            write_model(folder / "model.pt", network, LUNG / "configs")

    return once("checkpoint", build) / "model.pt"


@pytest.fixture(scope="session")
def packed(once: Callable[..., Path], checkpoint: Path) -> Path:
    """A folder with ``lung.zip``, made with all exports, and the bundle unpacked from it."""

    def build(folder: Path) -> None:
        (folder / "small.json").write_text(json.dumps(SMALL))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            package(
                str(LUNG),
                str(folder / "lung.zip"),
                config_file=[*OVERLAYS, str(folder / "small.json")],
                ckpt_path=str(checkpoint),
                exports=FORMATS,
            )
        zipfile.ZipFile(folder / "lung.zip").extractall(folder)

    return once("packed", build)


@pytest.fixture(scope="session")
def bundle(packed: Path) -> Path:
    """The unpacked bundle."""
    return packed / LUNG.name


def small_unet(outputs: int, image: torch.Tensor) -> PlainNetwork:
    """A U-Net of 4 channels with random weights that finds a part of an image (3, H, W).

    Of one class a hundredth: each of many specks would be measured as a nodule, in every product.
    """
    torch.manual_seed(outputs)
    unet = partial(
        BasicUNet, spatial_dims=2, in_channels=3, out_channels=outputs, features=(4, 4, 4, 4, 4, 4)
    )
    network = PlainNetwork(unet, in_channels=3, stride=16).eval()
    with torch.no_grad():
        logits = network(image[None])[0].flatten(1)
        network.network.final_conv.bias -= logits.quantile(0.99 if outputs == 1 else 0.5, dim=1)
    return network


@pytest.fixture(scope="session")
def simple(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with packages of small networks for both bundles, and a scan for each.

    ``NAME.zip`` and NAME (unpacked), ``plain/NAME``, ``scans/NAME.nii.gz``, ``dicom`` (a chest),
    and ``NAME.pt``, the weights.
    """
    folder = tmp_path_factory.mktemp("simple")
    drawn = {LUNG: (bright_chest(), 1), LIVER: (abdomen(), 4)}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        for bundle, (scan, outputs) in drawn.items():
            write_nifti(folder / "scans" / f"{bundle.name}.nii.gz", scan)
            middle = torch.from_numpy(scan.hu[9:12].astype(np.float32) / 1400 + 0.7).clamp(0, 1)
            weights = str(folder / f"{bundle.name}.pt")
            told = {"lung_masking": False} if bundle == LUNG else {}
            write_model(Path(weights), small_unet(outputs, middle), bundle / "configs", told)
            plain = {"plain": True, "leave_out": "lung_field" if bundle == LUNG else ()}
            for place, more in ((folder, {}), (folder / "plain", plain)):
                place.mkdir(exist_ok=True)
                files = ["configs/strategies/full.json"]
                package(
                    *(str(bundle), str(place / f"{bundle.name}.zip")),
                    **{"config_file": files, "ckpt_path": weights, **more},
                )
                zipfile.ZipFile(place / f"{bundle.name}.zip").extractall(place)
        write_series(folder / "dicom", bright_chest())
    return folder


@pytest.fixture
def predicted(simple: Path, tmp_path: Path) -> Callable[[Path], nibabel.Nifti1Image]:
    """The mask of predict by the source bundle: of whole slices, in float32, without lung field."""

    def one(bundle: Path) -> nibabel.Nifti1Image:
        config = json.loads((bundle / "configs" / "inference.json").read_text())
        cleaning = config["cleaning"]
        steps = [step for step in cleaning["transforms"] if step.get("mask_key") != "lung"]
        same = {"crop": False, "precision": "float32"}
        same["cleaning"] = {**cleaning, "transforms": steps}
        (tmp_path / "same.json").write_text(json.dumps(same))
        weights = (str(simple / f"{bundle.name}.pt"),)
        files = (str(tmp_path / "same.json"),)
        options = Options(bundle, config_files=files, checkpoints=weights, engine="torch")
        scan = simple / "scans" / f"{bundle.name}.nii.gz"
        write_mask(predict_volume(Model(options), scan, study="scan"), tmp_path / "mask.nii.gz")
        return nibabel.load(tmp_path / "mask.nii.gz")

    return one
