"""The workflows from one end to the other, on phantoms of 64 x 64 x 24 voxels."""

import csv
import json
import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from scripts.datasets.stored_slices import LoadSlicesd
from scripts.volumes.readers import read_image
from tests.bundles.bundle_commands import run_here
from tests.bundles.config_files import ROOT
from tests.bundles.liver.commands import files_of
from tests.bundles.stored_volumes import assert_same_grid, in_lps, write_forms

pytestmark = pytest.mark.usefixtures("_at_root")
NAMES = ["background", "liver", "bone", "kidney"]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_training_when_run_then_losses_accuracy_and_iou_are_reported(organs):
    rows = rows_of(organs / "training" / "history.csv")
    figures = ["train_loss", "val_loss", "val_accuracy_pooled", "val_iou_pooled", "val_dice_pooled"]
    figures += [f"val_iou_{name}_pooled" for name in NAMES[1:]]
    assert len(rows) == 3
    for row in rows:
        assert all(math.isfinite(float(row[name])) for name in figures)
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    organ_ious = [float(rows[-1][f"val_iou_{name}_pooled"]) for name in NAMES[1:]]
    assert float(rows[-1]["val_iou_pooled"]) == pytest.approx(np.mean(organ_ious), abs=1e-6)


def test_training_when_run_then_curves_and_logs_are_there(organs):
    folder = organs / "training"
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "tensorboard").iterdir())
    printed = (organs / "training.log").read_text()
    assert "train_accuracy" in printed
    assert "run again with: python -m monai.bundle run training" in printed


def test_training_when_run_then_the_mean_of_its_images_is_in_the_weights(organs, abdomens):
    model = torch.load(organs / "training" / "model.pt", weights_only=True)
    datalist = json.loads((abdomens / "prepared" / "datalist.json").read_text())
    mean = torch.tensor(datalist["training_mean"]["windowed"])
    assert torch.equal(model["model"]["normalise.mean"], mean.expand(1, 3, 1, 1))
    assert model["metric"] == "val_iou_pooled"


def test_training_when_stopped_and_resumed_then_bit_equal(train, monkeypatch):
    whole = train(stage_epochs=3, name="whole")
    load, calls = LoadSlicesd.__call__, []

    def load_until_stopped(self, data):
        calls.append(data)
        if len(calls) > 70:  # of 32 + 8 an epoch: in the second one
            raise RuntimeError("stopped")
        return load(self, data)

    monkeypatch.setattr(LoadSlicesd, "__call__", load_until_stopped)
    with pytest.raises(RuntimeError, match="trainer"):
        train(stage_epochs=3, name="stopped")
    monkeypatch.setattr(LoadSlicesd, "__call__", load)
    assert not (whole.parent / "stopped" / "model.pt").exists()
    resumed = train(stage_epochs=3, name="stopped", resume=True)
    expected, found = (torch.load(f / "model.pt", weights_only=True) for f in (whole, resumed))
    for key, tensor in expected.pop("model").items():
        assert torch.equal(found["model"][key], tensor), key
    assert {key: found[key] for key in expected} == expected
    untimed = [[{**r, "seconds": ""} for r in rows_of(f / "history.csv")] for f in (whole, resumed)]
    assert untimed[0] == untimed[1]


def test_evaluating_when_run_then_every_figure_and_a_row_for_every_class(
    organs, abdomens, tmp_path, caplog
):
    asked = {"dataset_dir": str(abdomens / "prepared"), "output_dir": str(tmp_path)}
    asked |= {"ckpt_path": str(organs / "training" / "model.pt"), "seed": 3, "num_workers": 0}
    caplog.set_level("INFO")
    run_here("evaluating", files_of("evaluate"), {**asked, "section": "training"})
    assert "pixel accuracy, pooled" in caplog.text
    summary = json.loads((tmp_path / "summary.json").read_text())
    check_figures(summary["figures"])
    samples = json.loads((abdomens / "prepared" / "datalist.json").read_text())["training"]
    unknown = {s["series_uid"] for s in samples if not s["class_known"][3]}
    assert len(unknown) == 1
    counts = summary["counts"]
    assert counts["slices"] == counts["cases_expected"] == len(samples)
    assert counts["series_in_which_known"] == {"liver": 4, "bone": 4, "kidney": 3}
    rows = rows_of(tmp_path / "per_class.csv")
    assert len(rows) == 3 * counts["series"]
    assert {r["series_uid"] for r in rows if r["known"] == "False"} == unknown
    assert np.sum(summary["confusion"]["voxels"]) == len(samples) * 64 * 64
    assert (tmp_path / "pictures.png").read_bytes().startswith(b"\x89PNG")
    assert summary["data"]["split"]["kind"] == "patient"
    assert summary["provenance"]["seed"] == summary["settings"]["bootstrap_seed"] == 3


def check_figures(figures):
    """Everything that is asked for by name, each with its number of cases and its interval."""
    kinds = [*NAMES[1:], "mean_of_classes"]
    names = {f"{f}_{k}_{unit}" for f in ("iou", "dice") for k in kinds for unit in ("pooled",)}
    names |= {f"{f}_{k}_per_volume_mean" for f in ("iou", "dice") for k in kinds}
    names |= {f"{d}_{k}_per_volume_mean" for d in ("assd_mm", "hd95_mm") for k in NAMES[1:]}
    names |= {"pixel_accuracy_pooled", "pixel_accuracy_per_volume_mean"}
    assert names <= figures.keys()
    for name in names:
        assert {"value", "n", "patients", "interval_95", "interval_reason"} <= figures[name].keys()


@pytest.fixture(scope="module")
def studies(abdomens, organs, tmp_path_factory):
    """Inputs by name, and the folder of their masks; one command predicts all of them."""
    folder = tmp_path_factory.mktemp("studies")
    volume = min((abdomens / "prepared" / "volumes").glob("*_image.nii.gz"))
    image = sitk.Cast(read_image(volume), sitk.sitkInt16)
    inputs = write_forms(image, folder, "scan", "PATIENT_DICOM")
    asked = {"dataset_dir": folder, "output_dir": folder / "masks"}
    asked |= {"ckpt_path": organs / "training" / "model.pt"}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        run_here("inferring", files_of("inference"), {k: str(v) for k, v in asked.items()})
    return inputs, folder / "masks"


@pytest.mark.parametrize("name", ["scan", "turned", "PATIENT_DICOM"])
def test_mask_then_of_classes_in_the_geometry_of_its_input(studies, name):
    inputs, masks = studies
    image, mask = read_image(inputs[name]), sitk.ReadImage(masks / f"{name}_organs.nii.gz")
    assert_same_grid(mask, image)
    voxels = sitk.GetArrayFromImage(mask)
    assert {1} < set(np.unique(voxels)) <= {0, 1, 2, 3}
    liver = sitk.ConnectedComponent(mask == 1)
    assert sitk.GetArrayFromImage(liver).max() == 1


def test_masks_then_equal_voxel_for_voxel_whatever_the_format(studies):
    masks = [sitk.ReadImage(studies[1] / f"{name}_organs.nii.gz") for name in studies[0]]
    first, *others = map(in_lps, masks)
    for other in others:
        np.testing.assert_array_equal(first, other)
