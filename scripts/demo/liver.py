"""``make demo-liver``: liver, bone and kidney from 3D-IRCADb's own DICOM archives, by an FCN."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from scripts.bundle.recipe import Recipe
from scripts.datasets.datalist import load_datalist
from scripts.datasets.ircadb.patients import find_patients, list_files
from scripts.demo.steps import SYNTHETIC, Demonstration, Step
from scripts.storage.archive import ArchiveReader

RECIPE = Recipe(
    "bundles/liver_ct_segmentation",
    (
        "configs/networks/fcn4s_resnet34.json",
        "configs/runtime/bfloat16.json",
        "configs/runtime/small_organs.json",
    ),
)
FOLDS = 4  # of the patients a quarter tests and a quarter validates
AT_ONCE = 8  # slices in a batch of validation and evaluation: all have one size here
ORGANS = ("liver", "bone", "kidney")
PLACES = {
    "CT, annotation and network on slices": "evaluation/pictures.png",
    "curves of loss, accuracy and IoU": "training/curves.png",
    "IoU of every organ, epoch by epoch": "training/history.csv",
    "numbers per organ and patient": "evaluation/per_class.csv",
    "mask of the unseen patient": "prediction",
    "one config that repeats the training": "training/training_config.json",
}


def data_steps(output: Path, patients: int, seed: int) -> list[Step]:
    """Make the cohort, list what is outlined in it, and prepare it."""
    cohort, prepared = str(output / "phantoms"), str(output / "prepared")
    make = f"phantom ircadb --patients {patients} --size 192 --slices 56 --jobs 2"
    prepare = f"prepare ircadb --split fold --folds {FOLDS}"
    seeded = ["--seed", str(seed)]
    return [
        Step("phantom cohort", ["-m", "scripts", *make.split(), "--output", cohort, *seeded]),
        Step(
            "prepare slices from DICOM",
            [
                *("-m", "scripts", *prepare.split(), "--source", cohort, "--output", prepared),
                *seeded,
            ],
        ),
    ]


def training_steps(output: Path, seed: int) -> list[Step]:
    """Train an FCN from random weights, evaluate it on the test patients."""
    common = {"dataset_dir": output / "prepared", "seed": seed}
    trained = output / "training"
    return [
        Step(
            "train the FCN",
            RECIPE.command(
                "training",
                "train",
                **common,
                encoder_weights="none",
                output_dir=trained,
                **{"validate::dataloader::batch_size": AT_ONCE},
            ),
        ),
        Step(
            "evaluate on unseen patients",
            RECIPE.command(
                "evaluating",
                "evaluate",
                **common,
                ckpt_path=trained / "model.pt",
                output_dir=output / "evaluation",
                **{"dataloader::batch_size": AT_ONCE},
            ),
        ),
    ]


def unpack_unseen(output: Path) -> Path:
    """Unpack the DICOM images of a patient that training never saw; return their folder.

    The network reads them as they are: nothing of their preparation is used.
    """
    name = load_datalist(output / "prepared" / "datalist.json", "volumes/test")[0]["patient_id"]
    folder = output / "unseen" / str(name)
    folder.mkdir(parents=True)
    found = find_patients(output / "phantoms").patients
    with ArchiveReader() as reader:
        files = list_files(reader, next(patient for patient in found if patient.name == name))
        for file in files.ct:
            (folder / file.parts[-1]).write_bytes(reader.read(file.location))
    return folder


def inference_step(output: Path, folder: Path) -> Step:
    """Segment the DICOM images of an unseen patient."""
    return Step(
        f"segment the DICOM images of an unseen patient, {folder.name}",
        RECIPE.command(
            "inferring",
            "inference",
            dataset_dir=folder,
            ckpt_path=output / "training" / "model.pt",
            output_dir=output / "prediction",
        ),
    )


def summarise(output: Path, seed: int) -> list[str]:
    """Say what came out: IoU of every organ, of how many patients, and the worst of them."""
    summary = json.loads((output / "evaluation" / "summary.json").read_text())
    with (output / "evaluation" / "per_class.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["known"] == "True"]
    heads = ("per volume", "pooled", "worst", "patients")
    return [
        "",
        f"IoU, unseen phantom patients (seed {seed})".ljust(42)
        + "".join(head.rjust(11) for head in heads),
        *(organ_line(organ, summary["figures"], rows) for organ in ORGANS),
        "",
    ]


def organ_line(organ: str, figures: dict[str, Any], rows: list[dict[str, str]]) -> str:
    """Lay out an organ: mean over volumes, all voxels together, the worst volume, how many."""
    ious = [float(row["iou"]) for row in rows if row["name"] == organ]
    if not ious:
        return f"  {organ:<40}  outlined in none of them"
    mean, pooled = (figures[f"iou_{organ}_{kind}"] for kind in ("per_volume_mean", "pooled"))
    worst = min(ious)
    cells = f"{mean['value']:11.3f}{pooled['value']:11.3f}{worst:11.3f}{mean['n']:11}"
    return f"  {organ:<40}{cells}"


def demo(output: str = "demo_liver_output", *, patients: int = 24, seed: int = 0) -> None:
    """Make phantoms in 3D-IRCADb's files, train an FCN, evaluate, segment an unseen patient.

    Needs no network and no data; about five minutes on two cores.

    Args:
        output: folder for everything; an earlier demo's folder is replaced.
        patients: number of phantom patients, at least four: half train, a quarter tests.
        seed: seed of the cohort, the split and the training.

    Raises:
        ValueError: when ``output`` is a folder that no demo made.
    """
    run = Demonstration(output)
    run.run(data_steps(run.folder, patients, seed))
    run.run(training_steps(run.folder, seed))
    run.run([inference_step(run.folder, unpack_unseen(run.folder))])
    lines = [*summarise(run.folder, seed), *run.places(PLACES)]
    print("\n".join([*lines, f"all in {run.seconds:.0f} s. {SYNTHETIC}"]))
