"""A bundle for a user's own CTs, written from a shipped one, from preparation to DICOM SEG."""

import json
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from scripts.audit.audit import audit_paths
from scripts.audit.findings import LOW
from scripts.packaging.new_bundle import new_bundle
from scripts.packaging.package_command import package
from scripts.phantom.dicom_images import SliceGeometry, slice_files
from scripts.prediction.predict_command import predict
from scripts.preparation.prepare_command import command_of
from tests.bundles.bundle_commands import run_here, say_here
from tests.bundles.config_files import ROOT

SCHEMA = ROOT / "tests" / "bundles" / "meta_schema_20240725.json"
QUICK = {
    "encoder_weights": "none",
    "num_workers": 0,
    "batch_size": 8,
    "stage_epochs": 2,
    "checkpoint_interval": 1000,
    "learning_rate": 0.01,
    "patch_size": [32, 32],
    "loss": "%configs/losses/dice_cross_entropy.json::loss",
    "strategy": "%configs/strategies/full.json::strategy",
}
NETWORK = {
    "network_def": {
        "_target_": "custom_nets.unet.TransferUNet",
        "encoder": "tiny",
        "in_channels": 3,
        "out_channels": "@out_channels",
        "decoder_channels": [4, 4, 4, 4, 4],
        "norm": "group",
        "weights": "none",
    }
}


def draw(folder: Path, *, objects: int) -> np.ndarray:
    """Write six CTs with bright balls and their label maps; return one CT's HU."""
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[:6, :48, :48]
    for number in range(6):
        hu = rng.normal(-20, 10, (6, 48, 48))
        hu[:, :4] = -1000
        label = np.zeros(hu.shape, np.uint8)
        for k in range(objects):
            ball = (2 * (z - 3)) ** 2 + (y - 14 - 18 * k) ** 2 + (x - 16 - number) ** 2 < 40
            label[ball], hu[ball] = k + 1, 150 * (k + 1)
        for name, array in (("image", hu.astype(np.int16)), ("label", label)):
            path = folder / f"case{number}" / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    return hu.astype(np.int16)


def prepare(**options):
    """Prepare drawn CTs as ``prepared``, and write one as ``dicom``."""
    hu = draw(Path("scans"), objects=1 if options.get("kind") else 2)
    command_of("folder")("scans", "prepared", shares="4:1:1", jobs=1, **options)
    Path("dicom").mkdir()
    geometry = SliceGeometry((0.0, 0.0, 0.0), (1.0, 1.0, 2.0), descending=False)
    for name, content in slice_files(hu, "P1", "ct", geometry):
        Path("dicom", name).write_bytes(content)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Stand in a copy of the repository's configs, where all paths are relative."""
    kept = shutil.ignore_patterns("models", "eval", "predictions")
    for name in ("configs", "bundles"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=kept)
    monkeypatch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_overlays(root, **changes):
    """Write a tiny network and a quick training."""
    contents = {"network": NETWORK, "quick": {**QUICK, **changes}}
    for name, content in contents.items():
        (root / f"{name}.json").write_text(json.dumps(content))


@pytest.mark.usefixtures("tiny_encoder")
def test_lesions_of_ones_own_then_trained_evaluated_predicted_and_packaged(root):
    prepare(kind="instances", class_names="1:liver tumour", slices="all")
    write_overlays(root)
    bundle = "bundles/tumour_ct_segmentation"
    new_bundle("prepared/datalist.json", bundle)
    assert {one.level for one in audit_paths([bundle])} == {LOW}
    configs = f"{bundle}/configs"
    run_here("training", [f"{configs}/train.json", "network.json", "quick.json"], {})
    run_here("evaluating", [f"{configs}/evaluate.json"], {"num_workers": 0})
    summary = json.loads(Path(bundle, "eval", "summary.json").read_text())
    assert "dice_per_nodule_mean" in json.dumps(summary)
    predict(bundle, "dicom", "predicted", threshold=0.2, products="mask,seg,statistics")
    (statistics,) = Path("predicted").glob("*/statistics.json")
    measured = json.loads(statistics.read_text())
    assert {one["kind"] for one in measured["lesions"]} == {"liver tumour"}
    assert measured["organs"] == []
    (file,) = Path("predicted").glob("*/segmentation.dcm")
    segments = pydicom.dcmread(file).SegmentSequence
    assert all(one.SegmentLabel.startswith("liver tumour ") for one in segments)
    types = {one.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for one in segments}
    assert types == {"Neoplasm"}
    package(bundle, "tumour.zip")
    meta = ("--meta_file", root / configs / "metadata.json", "--filepath", SCHEMA)
    assert "metadata is verified with no error" in say_here("verify_metadata", *meta)


@pytest.mark.usefixtures("tiny_encoder")
def test_classes_of_ones_own_then_trained_on_them(root):
    prepare(class_names="1:liver,2:spleen")
    write_overlays(root, loss="%configs/class_losses/marginal_cross_entropy.json::loss")
    bundle = Path("bundles/organs_ct_segmentation")
    new_bundle("prepared/datalist.json", str(bundle))
    assert {one.level for one in audit_paths([str(bundle)])} == {LOW}
    files = [f"{bundle}/configs/train.json", "network.json", "quick.json"]
    run_here("training", files, {})
    history = (bundle / "models" / "history.csv").read_text().splitlines()[0]
    assert (bundle / "models" / "model.pt").is_file()
    assert "val_iou_pooled" in history
    assert "kidney" not in history
