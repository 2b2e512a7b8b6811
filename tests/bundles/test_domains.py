"""Nodules and organs learnt by one network, by config alone; each domain then by its bundle."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch

from scripts.packaging.domain_model import write_domain
from scripts.preparation.domain_lists import join_domains
from tests.bundles.bundle_commands import CONFIGS, SMALL, run_here

pytestmark = pytest.mark.usefixtures("_at_root")
FILES = [f"{CONFIGS}/train.json", "configs/data/nodules_and_organs.json"]
FILES += ["configs/strategies/full.json"]


def write_organs(folder):
    """Slices of a bright liver and a brighter bone; the kidneys were not annotated."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    lists = {}
    for name, patients in (("training", "AB"), ("validation", "C"), ("test", "D")):
        lists[name] = []
        for patient in patients:
            label = np.zeros((1, 64, 64), np.uint8)
            label[0, 10:40, 8:34], label[0, 45:60, 30:40] = 1, 2
            hu = rng.normal(0, 20, (3, 64, 64)) + np.select([label == 1, label == 2], [120, 240])
            np.save(folder / f"{patient}_image.npy", hu.astype(np.int16))
            np.save(folder / f"{patient}_label.npy", np.repeat(label, 3, axis=0))
            lists[name].append(
                {
                    "image": f"{patient}_image.npy",
                    "label": f"{patient}_label.npy",
                    "series_uid": f"9.{patient}",
                    "patient_id": f"organs-{patient}",
                    "rows": [0, 1, 2],
                    "slice": 1,
                    "affine_lps": np.eye(4).tolist(),
                    "spacing_mm": [1.0, 1.0, 1.0],
                    "label_kind": "masks",
                    "class_known": [True, True, True, False],
                }
            )
    path = folder / "datalist.json"
    path.write_text(json.dumps({"name": "ircadb", "kind": "classes", **lists}))
    return path


def test_joint_training_then_each_domain_is_evaluated_by_its_own_bundle(
    cohort, tiny_encoder, tmp_path
):
    nodules, organs = cohort / "prepared" / "datalist.json", write_organs(tmp_path / "organs")
    join_domains(f"nodules={nodules},organs={organs}", str(tmp_path / "both"))
    asked = {**SMALL, "encoder": tiny_encoder, "encoder_weights": "none", "stage_epochs": 2}
    asked |= {"dataset_dir": str(tmp_path / "both"), "output_dir": str(tmp_path / "out")}
    run_here("training", FILES, {**asked, "device": "cpu", "learning_rate": 0.01})
    with (tmp_path / "out" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert float(rows[1]["train_loss"]) < float(rows[0]["train_loss"])
    state = torch.load(tmp_path / "out" / "model.pt", weights_only=True)["model"]
    assert {name.split(".")[1] for name in state if name.startswith("heads")} == {
        "nodules",
        "organs",
    }
    write_domain(
        str(tmp_path / "out" / "model.pt"),
        "nodules",
        "bundles/lung_nodule_ct_segmentation",
        str(tmp_path / "nodules.pt"),
    )
    evaluated = {"dataset_dir": str(cohort / "prepared"), "output_dir": str(tmp_path / "eval")}
    evaluated |= {"ckpt_path": str(tmp_path / "nodules.pt"), "device": "cpu", "num_workers": 0}
    run_here("evaluating", [f"{CONFIGS}/evaluate.json"], evaluated)
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    assert summary["counts"]["nodules"] > 0
