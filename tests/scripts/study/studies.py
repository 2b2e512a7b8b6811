"""Small studies and a launcher that pretends: what the tests of the runner need."""

import csv
import json
from pathlib import Path

from scripts.evaluation.tables import NODULE_COLUMNS, VOLUME_COLUMNS
from scripts.study.cells import make_cells
from scripts.study.declaration import read_study
from scripts.study.processes import Outcome
from scripts.study.sample_sources import Source

SMALL = [  # shipped studies with a small form
    path.stem
    for path in sorted(Path("configs/studies").glob("*.json"))
    if "small" in json.loads(path.read_text())
]
STUDY = {
    "title": "A study",
    "question": "Which?",
    "bundle": "lung_nodule_ct_segmentation",
    "figures": {"Dice": "dice_per_nodule_mean", "sensitivity": "sensitivity_pooled"},
    "methods": [
        {"name": "BSFT", "network": "unet", "encoder": "resnet34", "strategy": "bsft"},
        {"name": "scratch", "network": "unet", "encoder": "resnet34", "strategy": "scratch"},
    ],
    "seeds": [0],
    "epochs": {"total": 10},
    "data": {"phantoms": {"patients": 6}, "prepare": {"slices": "central"}},
    "paper": {"source": "A paper, table 1", "rows": {"BSFT": {"Dice": 0.8954}}},
    "small": {"seeds": [0]},
}
HISTORY = (
    "epoch,stage,stage_epoch,train_loss,val_dice_per_slice,seconds\n1,1,1,0.9,0.1,2\n2,2,1,0.5,,3\n"
)
STAGES = (
    "stage,name,trainable_parameters,total_parameters,val_sensitivity_pooled,val_specificity_pooled,val_dice_per_slice,seconds\n"
    "1,A: block5,1000000,2000000,0.5,0.9,0.4,2\n2,B: block4,1500000,2000000,0.6,0.9,0.7,3\n"
)


def write_study(folder, **changes):
    path = Path(folder) / "mine.json"
    path.write_text(json.dumps({**STUDY, **changes}))
    return path


def cells_of(folder, source=None, **changes):
    study = read_study(write_study(folder, **changes))
    return make_cells(study, source or Source())


def rows_of(columns, count, values):
    return [{**dict.fromkeys(columns, ""), **values(k)} for k in range(count)]


def write_rows(path, columns, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def write_evaluation(out, dice):
    counts = {"tp": 6, "fp": 2, "fn": 2, "tn": 90}
    nodules = rows_of(
        NODULE_COLUMNS,
        8,
        lambda k: {
            "series_uid": f"1.{k // 2}",
            "nodule": k,
            "dice": dice + 0.01 * k,
            "size_group": "6_to_10_mm" if k % 2 else "under_6_mm",
        },
    )
    write_rows(out / "per_nodule.csv", NODULE_COLUMNS, nodules)
    volumes = rows_of(VOLUME_COLUMNS, 4, lambda k: {"series_uid": f"1.{k}", **counts})
    write_rows(out / "per_volume.csv", VOLUME_COLUMNS, volumes)
    (out / "summary.json").write_text("{}")


def write_datalist(
    folder, *, name="luna16", kind="instances", label="ball", split="patient", **options
):
    """Write what a prepared folder says of itself, with one test sample."""
    Path(folder).mkdir(exist_ok=True)
    content = {
        "name": name,
        "kind": kind,
        **{"training": [], "validation": []},
        "test": [{"series_uid": "1.0", "patient_id": "p0", "label_kind": label}],
        "provenance": {"split": {"kind": split, "seed": 5, "shares": [8, 1, 1]}, **options},
    }
    (Path(folder) / "datalist.json").write_text(json.dumps(content))
    return str(folder)


def write_manifest(out, engine):
    content = {
        "engine": {"name": engine, "version": "1.0", "precision": "float32"},
        "parts": {"start": 1.0, "network": 4.0 if engine == "torch" else 2.0, "writing": 0.5},
        "peak_memory_mb": 900.0,
    }
    (out / "ct").mkdir()
    (out / "ct/manifest.json").write_text(json.dumps(content))


class Pretender:
    """A launcher that writes what the commands would; ``breaks`` are words of those that fail."""

    def __init__(self, *, breaks=(), says="ValueError: it broke"):
        self.breaks, self.says, self.run = breaks, says, []

    def __call__(self, words, log, lock):
        text = " ".join(words)
        self.run.append(text)
        log.write_text("starting\n")
        if any(word in text for word in self.breaks):
            log.write_text(f"{self.says}\nRuntimeError: Failed to instantiate\n")
            return Outcome(1, 0.1, 10.0, 0.1)
        out = log.parent / "out"
        out.mkdir(exist_ok=True)
        if "prepare" in words:
            entries = [{"series_uid": f"1.{k}", "patient_id": f"p{k}"} for k in range(4)]
            (out / "datalist.json").write_text(json.dumps({"test": entries}))
        elif "training" in words:
            (out / "history.csv").write_text(HISTORY)
            (out / "stages.csv").write_text(STAGES)
        elif "evaluating" in words or "graph_cut" in words:
            write_evaluation(out, 0.5 if "bsft" in str(log) else 0.4)
        elif "predict" in words:
            write_manifest(out, words[words.index("--engine") + 1])
        return Outcome(0, 1.5, 123.0, 2.5)


def derive(
    datalist: str, output: str, *, seed: int = 0, bundle: str, config_file: list[str], share: float
) -> None:
    """A command that would make other data, for the tests of derivations."""


def tune(datalist: str, output: str, *, model: str, section: str = "test", seed: int = 0) -> None:
    """A command that would evaluate a trained network, for the tests of procedures."""
