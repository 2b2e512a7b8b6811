"""``make demo``: the whole path on a phantom cohort, by the commands a user would type."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.samples import load_datalist

BUNDLE = "bundles/lung_nodule_ct_segmentation"
OVERLAYS = (
    "configs/networks/unet_resnet34.json",
    "configs/losses/dice_cross_entropy.json",
    "configs/runtime/bfloat16.json",
    "configs/runtime/small.json",
)
COLUMNS = ("name", "sensitivity", "specificity", "dice", "iou", "best")


@dataclass(frozen=True)
class Step:
    """One command of the demo and what it is for."""

    title: str
    command: list[str]


def bundle_command(run_id: str, config: str, **overrides: object) -> list[str]:
    """Build ``python -m monai.bundle run RUN_ID`` for a config of the bundle and the overlays."""
    files = [f"{BUNDLE}/configs/{config}.json", *OVERLAYS]
    options = [text for key, value in overrides.items() for text in (f"--{key}", str(value))]
    return ["-m", "monai.bundle", "run", run_id, "--config_file", repr(files), *options]


def data_steps(output: Path, patients: int, seed: int) -> list[Step]:
    """Make the cohort and prepare it."""
    cohort, prepared = output / "phantoms", output / "prepared"
    make = f"phantom luna16 --patients {patients} --size 256 --slices 110 --jobs 2"
    prepare = "prepare luna16 --label masks --slices all --shares 6:2:2"
    folders = ["--source", str(cohort), "--masks", str(cohort / "masks")]
    seeded = ["--seed", str(seed)]
    sizes = ["--nodule_min_mm", "8", "--nodule_max_mm", "20"]
    return [
        Step(
            "phantom cohort",
            ["-m", "scripts", *make.split(), "--output", str(cohort), *sizes, *seeded],
        ),
        Step(
            "prepare slices",
            ["-m", "scripts", *prepare.split(), *folders, "--output", str(prepared), *seeded],
        ),
    ]


def training_steps(output: Path, seed: int) -> list[Step]:
    """Pretrain an encoder without labels, fine-tune it in five stages, evaluate on the test set."""
    prepared, pretrained = str(output / "prepared"), str(output / "pretraining")
    trained = str(output / "training")
    common = {"dataset_dir": prepared, "seed": seed}
    weights = {"encoder_weights": f"{pretrained}/encoder.pt"}
    return [
        Step(
            "pretrain the encoder on unlabelled slices",
            bundle_command("pretraining", "pretrain", **common, output_dir=pretrained),
        ),
        Step(
            "block superimposed fine-tuning, five stages",
            bundle_command("training", "train", **common, **weights, output_dir=trained),
        ),
        Step(
            "evaluate on unseen patients",
            bundle_command(
                "evaluating",
                "evaluate",
                **common,
                ckpt_path=f"{trained}/model.pt",
                output_dir=output / "evaluation",
            ),
        ),
    ]


def inference_step(output: Path) -> Step:
    """Segment a whole CT of a patient that training never saw."""
    volumes = load_datalist(output / "prepared" / "datalist.json", "volumes/test")
    return Step(
        f"segment an unseen CT, {Path(volumes[0]['image']).name}",
        bundle_command(
            "inferring",
            "inference",
            dataset_dir=volumes[0]["image"],
            ckpt_path=output / "training" / "model.pt",
            output_dir=output / "prediction",
        ),
    )


def run(step: Step, log: Path) -> float:
    """Run one command, its output into a log; return the seconds it took.

    Raises:
        SystemExit: with the command's exit code, after showing the end of its log.
    """
    print(f"\n{step.title}\n  python {shlex.join(step.command)}", flush=True)
    started = time.perf_counter()
    with log.open("w") as sink:
        done = subprocess.run(
            [sys.executable, *step.command], stdout=sink, stderr=subprocess.STDOUT, check=False
        )
    seconds = time.perf_counter() - started
    if done.returncode:
        print("\n".join(log.read_text(errors="replace").splitlines()[-20:]))
        print(f"failed with exit code {done.returncode}; the whole log: {log}")
        raise SystemExit(done.returncode)
    print(f"  done in {seconds:.0f} s, log: {log}", flush=True)
    return seconds


def stage_line(row: list[str]) -> str:
    """Lay out a stage: its name, its validation figures, and whether it won."""
    name, *figures, best = row
    numbers = "".join(f"{float(figure):13.4f}" for figure in figures)
    return f"{name:<12}{numbers}{'   <- best' if best == 'True' else ''}"


def summarise(output: Path, seconds: float) -> str:
    """Say what came out and where it lies."""
    with (output / "training" / "stages.csv").open() as file:
        rows = [[row[column] for column in COLUMNS] for row in csv.DictReader(file)]
    stages = "\n".join(stage_line(row) for row in rows)
    summary = json.loads((output / "evaluation" / "summary.json").read_text())
    dice = summary["figures"]["dice_per_nodule_mean"]
    places = {
        "outlines on slices": "evaluation/overlays.png",
        "curves of the five stages": "training/curves.png",
        "table of the stages": "training/stages.csv",
        "numbers per nodule, slice, volume": "evaluation/per_nodule.csv",
        "mask of the unseen CT": "prediction",
        "one config that repeats the training": "training/training_config.json",
    }
    lines = [f"  {what:<40}{output / where}" for what, where in places.items()]
    return "\n".join(
        [
            "",
            "stage".ljust(12) + "".join(column.rjust(13) for column in COLUMNS[1:-1]),
            stages,
            "",
            f"Dice per nodule, unseen phantom patients: {dice['value']:.3f} (n = {dice['n']})",
            *lines,
            f"all in {seconds:.0f} s. Synthetic scans: not a measure of accuracy in patients.",
        ]
    )


def demo(output: str = "demo_output", *, patients: int = 20, seed: int = 0) -> None:
    """Make phantoms, pretrain, fine-tune in five stages, evaluate and segment an unseen CT.

    Needs no network and no data; about five minutes on two cores.

    Args:
        output: folder for everything; an earlier demo's folder is replaced.
        patients: number of phantom patients.
        seed: seed of the cohort, the split and the training.

    Raises:
        ValueError: when ``output`` is a folder that no demo made.
    """
    folder = Path(output)
    marker = folder / ".demo"
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise ValueError(f"output: {folder} exists and is not a demo's folder; choose another")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "logs").mkdir(parents=True)
    marker.touch()
    started = time.perf_counter()
    steps = [*data_steps(folder, patients, seed), *training_steps(folder, seed)]
    for number, step in enumerate(steps, start=1):
        run(step, folder / "logs" / f"{number}.log")
    run(inference_step(folder), folder / "logs" / f"{len(steps) + 1}.log")
    print(summarise(folder, time.perf_counter() - started))
