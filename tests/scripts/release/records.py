"""Records of a training and its evaluation, as the software writes them, for a made-up network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from scripts.bundle.model_file import content_of
from scripts.bundle.record import sha256_of
from scripts.datasets.training_data import training_data
from scripts.evaluation.figures.summary import NODULE_HEADLINES, nodule_definitions

SETTINGS = {
    "network_def": {"_target_": "custom_nets.unet.TransferUNet", "encoder": "vgg16"},
    "input_kind": "window",
    "window_hu": [-1000, 400],
    "outside_window": "zero",
    "lung_masking": False,
    "in_channels": 3,
    "out_channels": 1,
    "class_names": ["background", "nodule"],
    "threshold": 0.5,
}
STRATEGY = {"name": "full", "stages": [{"name": "all", "epochs": 5}]}
SIZES = ("under_6_mm", "6_to_10_mm", "10_to_20_mm", "over_20_mm")


def figure(value: float, n: int = 12) -> dict[str, Any]:
    """One figure of a summary."""
    ends = [value - 0.1, value + 0.1]
    return {"value": value, "n": n, "patients": 4, "interval_95": ends, "interval_reason": None}


def write_run(folder: Path, *, data_set: str = "lidc_nodules") -> Path:
    """Write model.pt with the record of its data, and the records of the training."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = {
        part: [
            {"series_uid": f"{part}-{n}", "patient_id": f"{part}{n // 2}", "slice": n}
            | {"label_kind": "votes", "spacing_mm": [0.7, 0.7, 1.25]}
            for n in range(count)
        ]
        for part, count in (("training", 8), ("validation", 2), ("test", 4))
    }
    split = {"kind": "fold", "seed": 0, "folds": 5, "test_fold": 0}
    made = {"split": split, "min_readers": 2, "slices": "all", "source": "/secret/folder"}
    content = {"name": data_set, "kind": "instances", **samples, "provenance": made}
    (folder / "datalist.json").write_text(json.dumps(content))
    data = training_data(folder / "datalist.json", samples["training"])
    model = content_of({"w": torch.zeros(1)}, SETTINGS, data)
    model |= {"strategy": STRATEGY, "stage": "all", "epoch": 5}
    torch.save({**model, "metric": "val_dice_per_slice", "value": 0.75}, folder / "model.pt")
    config = {"encoder_weights": "/secret/vgg16.pth", "batch_size": 32, "start_from": None}
    (folder / "training_config.json").write_text(json.dumps(config))
    record = {"device": "cpu", "versions": {"torch": "2.0"}, "seed": 3, "git": {"revision": "abc"}}
    (folder / "training_record.json").write_text(json.dumps(record))
    rows = [{"name": "all", "seconds": 1800.0, "epochs": 5}]
    (folder / "stages.json").write_text(json.dumps({"stages": rows}))
    return folder


def summary_of(run: Path, **changes: Any) -> dict[str, Any]:
    """Return the summary of an evaluation of the whole test set; ``changes`` replace entries."""
    names = [f"dice_per_nodule_{size}_mean" for size in SIZES]
    names += [f"nodules_detected_share_{size}" for size in SIZES]
    summary: dict[str, Any] = {
        "warnings": [],
        "remarks": [],
        "figures": {name: figure(0.8) for name in (*NODULE_HEADLINES, *names)},
        "counts": {"patients": 2, "series": 4, "slices": 9, "series_whole": 4},
        "definitions": nodule_definitions(5),
        "cases": {"evaluated": 4, "of_training": 0, "of_validation": 0, "of_test": 4}
        | {"not_evaluated": 0},
        "data": {
            "section": "test",
            "only_sampled_slices": False,
            "label_kinds": ["votes"],
            "min_readers": 2,
            "datalist": "/secret/datalist.json",
            "data_set": "lidc_nodules",
            "model_sha256": sha256_of(run / "model.pt"),
            "scans_left_out": 1,
        },
        "provenance": {"command": "/secret/command", "versions": {"torch": "2.1"}},
    }
    for name, entries in changes.items():
        summary[name] = (
            {**(summary.get(name) or {}), **entries} if isinstance(entries, dict) else entries
        )
    return summary


def write_evaluation(folder: Path, run: Path, **changes: Any) -> Path:
    """Write the summary of an evaluation."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary_of(run, **changes)))
    return folder
