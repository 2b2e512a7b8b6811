"""``make demo``: lung nodules, pretraining without labels and five stages of fine-tuning."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from scripts.bundle.recipe import Recipe
from scripts.datasets.datalist import load_datalist
from scripts.demo.steps import SYNTHETIC, Demonstration, Step

RECIPE = Recipe(
    "bundles/lung_nodule_ct_segmentation",
    (
        "configs/networks/unet_resnet34.json",
        "configs/losses/dice_cross_entropy.json",
        "configs/runtime/bfloat16.json",
        "configs/runtime/small.json",
    ),
)
COLUMNS = ("name", "sensitivity", "specificity", "dice", "iou", "best")
PLACES = {
    "outlines on slices": "evaluation/overlays.png",
    "curves of the five stages": "training/curves.png",
    "table of the stages": "training/stages.csv",
    "numbers per nodule, slice, volume": "evaluation/per_nodule.csv",
    "mask of the unseen CT": "prediction",
    "one config that repeats the training": "training/training_config.json",
}


def data_steps(output: Path, patients: int, seed: int) -> list[Step]:
    """Make the cohort and prepare it."""
    cohort, prepared = output / "phantoms", output / "prepared"
    make = f"phantom luna16 --patients {patients} --size 256 --slices 110 --jobs 2"
    prepare = "prepare luna16 --label masks --slices all --shares 6:2:2"
    folders = ["--source", str(cohort), "--masks", str(cohort / "masks")]
    seeded = ["--seed", str(seed)]
    sizes = ["--nodule_min_mm", "10", "--nodule_max_mm", "30"]
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
            RECIPE.command("pretraining", "pretrain", **common, output_dir=pretrained),
        ),
        Step(
            "block superimposed fine-tuning, five stages",
            RECIPE.command("training", "train", **common, **weights, output_dir=trained),
        ),
        Step(
            "evaluate on unseen patients",
            RECIPE.command(
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
        RECIPE.command(
            "inferring",
            "inference",
            dataset_dir=volumes[0]["image"],
            ckpt_path=output / "training" / "model.pt",
            output_dir=output / "prediction",
        ),
    )


def stage_line(row: list[str]) -> str:
    """Lay out a stage: its name, its validation figures, and whether it won."""
    name, *figures, best = row
    numbers = "".join(f"{float(figure):13.4f}" for figure in figures)
    return f"{name:<12}{numbers}{'   <- best' if best == 'True' else ''}"


def summarise(output: Path) -> list[str]:
    """Say what came out."""
    with (output / "training" / "stages.csv").open() as file:
        rows = [[row[column] for column in COLUMNS] for row in csv.DictReader(file)]
    summary = json.loads((output / "evaluation" / "summary.json").read_text())
    dice = summary["figures"]["dice_per_nodule_mean"]
    return [
        "",
        "stage".ljust(12) + "".join(column.rjust(13) for column in COLUMNS[1:-1]),
        *map(stage_line, rows),
        "",
        f"Dice per nodule, unseen phantom patients: {dice['value']:.3f} (n = {dice['n']})",
    ]


def demo(output: str = "demo_output", *, patients: int = 20, seed: int = 0) -> None:
    """Make phantoms, pretrain, fine-tune in five stages, evaluate and segment an unseen CT.

    Needs no network and no data; about five minutes on two cores. For the other bundle:
    ``python -m scripts demo liver``.

    Args:
        output: folder for everything; an earlier demo's folder is replaced.
        patients: number of phantom patients.
        seed: seed of the cohort, the split and the training.

    Raises:
        ValueError: when ``output`` is a folder that no demo made.
    """
    run = Demonstration(output)
    run.run(data_steps(run.folder, patients, seed))
    run.run(training_steps(run.folder, seed))
    run.run([inference_step(run.folder)])
    lines = [*summarise(run.folder), *run.places(PLACES)]
    print("\n".join([*lines, f"all in {run.seconds:.0f} s. {SYNTHETIC}"]))
