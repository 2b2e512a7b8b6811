"""How much does a split that is random over slices flatter a network?

    python tests/benchmarks/bench_leak.py [--output leak] [--patients 10] [--slices 40]
                                          [--size 96] [--epochs 30] [--seeds 3]

For each seed: a cohort of abdomen phantoms with liver tumours, one FCN-8s trained on the paper's
random 2,258 : 565 of all slices and one on whole patients. Both see as many training slices, in as
many epochs, from the same random start. Each is measured on what its own split holds back; and both
on the very same slices, those that the random split holds back of the patients that the other
network never saw, where nothing differs but the leak. IoU and Dice are pooled over all voxels.
Prints a table, mean over the seeds and range. About a quarter of an hour on two cores.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

from scripts.bundle.recipe import Recipe
from scripts.demo.steps import Demonstration, Step

RECIPE = Recipe(
    "bundles/liver_ct_segmentation",
    (
        "configs/data/ircadb_classes_tumour.json",
        "configs/runtime/native_precision.json",
        "configs/runtime/small_organs.json",
        "configs/strategies/full.json",
    ),
)
SPLITS = ("slice_random", "patient")
HELD_BACK = {"slice_random": ("validation",), "patient": ("validation", "test")}
CLASSES = ("liver", "bone", "kidney", "liver tumour")
Counts = dict[str, list[int]]


def scripts_step(title: str, words: str, **options: object) -> Step:
    """Build ``python -m scripts ...``."""
    pairs = [text for key, value in options.items() for text in (f"--{key}", str(value))]
    return Step(title, ["-m", "scripts", *words.split(), *pairs])


def train_both(run: Demonstration, seed: int, arguments: argparse.Namespace) -> None:
    """Make a cohort, split it both ways, train on either."""
    folder = run.folder / str(seed)
    cohort = {key: getattr(arguments, key) for key in ("patients", "size", "slices")}
    run.run([scripts_step("cohort", "phantom ircadb", output=folder / "p", seed=seed, **cohort)])
    for split in SPLITS:
        prepared = folder / split
        options = {"source": folder / "p", "output": prepared, "split": split, "seed": seed}
        run.run([scripts_step(f"split {split}", "prepare ircadb --tumour true", **options)])
    share_patients(folder)
    for split in SPLITS:
        asked = {"dataset_dir": folder / split, "output_dir": folder / f"{split}_trained"}
        asked |= {"encoder_weights": "none", "stage_epochs": arguments.epochs, "seed": seed}
        asked |= {"val_interval": arguments.epochs, "validate::dataloader::batch_size": 8}
        asked |= {"final_rate": 0.05, "encoder": "resnet34"}
        run.run([Step(f"train on {split}", RECIPE.command("training", "train", **asked))])


def share_patients(folder: Path) -> None:
    """List, for either network, the slices that both can be measured on; check the numbers."""
    lists = {s: json.loads((folder / s / "datalist.json").read_text()) for s in SPLITS}
    counts = {s: len(lists[s]["training"]) for s in SPLITS}
    if len(set(counts.values())) != 1:
        raise SystemExit(f"training slices differ: {counts}; take a multiple of 10 patients")
    unseen = {s["patient_id"] for part in HELD_BACK["patient"] for s in lists["patient"][part]}
    both = [s for s in lists["slice_random"]["validation"] if s["patient_id"] in unseen]
    shared = {**lists["slice_random"], "test": both, "volumes": {}}
    (folder / "shared").mkdir()
    (folder / "shared" / "datalist.json").write_text(json.dumps(shared))
    (folder / "shared" / "scans").symlink_to((folder / "slice_random" / "scans").resolve())


def measure(run: Demonstration, seed: int) -> dict[str, Counts]:
    """Voxels (TP, FP, FN) of each class: on what a split holds back, and on what both can be."""
    folder = run.folder / str(seed)
    found = {}
    for split in SPLITS:
        own = [(folder / split, section) for section in HELD_BACK[split]]
        for name, parts in (("own", own), ("same", [(folder / "shared", "test")])):
            found[f"{name} {split}"] = evaluate(run, folder / f"{split}_trained", parts)
    return found


def evaluate(run: Demonstration, trained: Path, parts: list[tuple[Path, str]]) -> Counts:
    """Evaluate a network on sections of prepared folders; add up the voxels of each class."""
    totals: Counts = defaultdict(lambda: [0, 0, 0])
    for prepared, section in parts:
        output = trained / f"{prepared.name}_{section}"
        asked: dict[str, Any] = {"dataset_dir": prepared, "section": section, "pictures": 1}
        asked |= {"ckpt_path": trained / "model.pt", "output_dir": output}
        asked |= {"dataloader::batch_size": 8}
        title = f"evaluate {trained.name} on {section} of {prepared.name}"
        run.run([Step(title, RECIPE.command("evaluating", "evaluate", **asked))])
        with (output / "per_class.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                if row["known"] == "True":
                    counts = [int(float(row[key])) for key in ("tp", "fp", "fn")]
                    totals[row["name"]] = [
                        a + b for a, b in zip(totals[row["name"]], counts, strict=True)
                    ]
    return dict(totals)


def figures(counts: list[int]) -> dict[str, float]:
    """IoU and Dice of voxels (TP, FP, FN)."""
    tp, fp, fn = counts
    return {"IoU": tp / max(1, tp + fp + fn), "Dice": 2 * tp / max(1, 2 * tp + fp + fn)}


def table(seeds: list[dict[str, Counts]]) -> str:
    """Lay out means and ranges over the seeds as Markdown."""
    heads = ["class", "figure"]
    heads += [f"{where}: {what}" for where in ("own", "same") for what in (*SPLITS, "difference")]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for name in CLASSES:
        for figure in ("IoU", "Dice"):
            cells = [name, figure]
            for where in ("own", "same"):
                random, patient = (
                    [figures(seed[f"{where} {split}"][name])[figure] for seed in seeds]
                    for split in SPLITS
                )
                more = [a - b for a, b in zip(random, patient, strict=True)]
                cells += [spread(random), spread(patient), spread(more, sign="+")]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(values: list[float], *, sign: str = "") -> str:
    """Mean and range."""
    low, high = (f"{value:{sign}.2f}" for value in (min(values), max(values)))
    return f"{mean(values):{sign}.3f} ({low} to {high})"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default="leak")
    parser.add_argument("--patients", type=int, default=10)
    parser.add_argument("--slices", type=int, default=40)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    run = Demonstration(arguments.output)
    seeds = []
    for seed in range(arguments.seeds):
        train_both(run, seed, arguments)
        seeds.append(measure(run, seed))
        (run.folder / "counts.json").write_text(json.dumps(seeds, indent=1))
    print(f"\n{arguments}, all in {run.seconds:.0f} s\n\n{table(seeds)}")


if __name__ == "__main__":
    main()
