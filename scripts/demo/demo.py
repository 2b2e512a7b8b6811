"""``make demo`` and ``make demo-liver``: from synthetic CTs to the mask of an unseen one."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.bundle.recipe import Recipe
from scripts.datasets.datalist import load_datalist
from scripts.demo.steps import SYNTHETIC, Demonstration, Step
from scripts.storage.archive import ArchiveReader, File
from scripts.storage.file_tree import tree_files


@dataclass(frozen=True)
class Workflow:
    """One workflow of the bundle.

    Args:
        title: shown while it runs.
        run_id: of ``monai.bundle run``.
        config: of the bundle, without ``.json``.
        folder: its output, below the demonstration's folder.
        overrides: config ids and values; ``{output}`` is the demonstration's folder.
    """

    title: str
    run_id: str
    config: str
    folder: str
    overrides: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Demo:
    """What the demonstration of one bundle runs, and what it shows at the end.

    Args:
        recipe: the bundle with its overlays.
        data_set: whose phantoms are made and prepared.
        phantom: options of ``phantom DATASET``.
        prepare: options of ``prepare DATASET``; ``{output}`` as above.
        workflows: pretraining, training, evaluation.
        unseen: returns the CT of a test patient, as the scanner or the data set gives it.
        summarise: lays out the figures, from the folder and the seed.
        results: what -> where below the folder.
    """

    recipe: Recipe
    data_set: str
    phantom: str
    prepare: str
    workflows: tuple[Workflow, ...]
    unseen: Callable[[Path], Path]
    summarise: Callable[[Path, int], list[str]]
    results: Mapping[str, str]

    def data_steps(self, output: Path, patients: int, seed: int) -> list[Step]:
        """Make the cohort and prepare it."""
        cohort, prepared, seeded = output / "phantoms", output / "prepared", ["--seed", str(seed)]
        make = [*self.phantom.split(), "--patients", str(patients), "--output", str(cohort)]
        options = [word.format(output=output) for word in self.prepare.split()]
        folders = ["--source", str(cohort), "--output", str(prepared)]
        return [
            Step("phantom cohort", _scripts("phantom", self.data_set, *make, *seeded)),
            Step("prepare slices", _scripts("prepare", self.data_set, *options, *folders, *seeded)),
        ]

    def workflow_steps(self, output: Path, seed: int) -> list[Step]:
        """Train, and evaluate on the patients of the test partition."""
        common = {"dataset_dir": output / "prepared", "seed": seed}
        return [
            Step(
                one.title,
                self.recipe.command(
                    one.run_id,
                    one.config,
                    **common,
                    output_dir=output / one.folder,
                    **{key: str(v).format(output=output) for key, v in one.overrides.items()},
                ),
            )
            for one in self.workflows
        ]

    def inference_step(self, output: Path) -> Step:
        """Segment the whole CT of a patient that training never saw."""
        source = self.unseen(output)
        command = self.recipe.command(
            "inferring",
            "inference",
            dataset_dir=source,
            ckpt_path=output / "training" / "model.pt",
            output_dir=output / "prediction",
        )
        return Step(f"segment an unseen CT, {source.name}", command)

    def run(self, output: str, patients: int, seed: int) -> None:
        """Run all steps and print the results.

        Raises:
            ValueError: when ``output`` is a folder that no demonstration made.
        """
        run = Demonstration(output)
        run.run(self.data_steps(run.folder, patients, seed))
        run.run(self.workflow_steps(run.folder, seed))
        run.run([self.inference_step(run.folder)])
        lines = [*self.summarise(run.folder, seed), *run.places(self.results)]
        print("\n".join([*lines, f"all in {run.seconds:.0f} s. {SYNTHETIC}"]))


def _scripts(*words: str) -> list[str]:
    return ["-m", "scripts", *words]


def unseen_volume(output: Path) -> Path:
    """Return the file of the first volume of the test partition."""
    return Path(load_datalist(output / "prepared" / "datalist.json", "volumes/test")[0]["image"])


def unseen_series(output: Path) -> Path:
    """Unpack the DICOM images of the first test patient, zips in zips included, into a folder.

    The network reads them as the scanner wrote them, without any preparation.
    """
    test = load_datalist(output / "prepared" / "datalist.json", "volumes/test")
    name = str(test[0]["patient_id"])
    folder = output / "unseen" / name
    folder.mkdir(parents=True)
    with ArchiveReader() as reader:
        for file in list(tree_files(reader, output / "phantoms")):
            if isinstance(file, File) and {name, "PATIENT_DICOM"} <= set(file.parts):
                (folder / file.parts[-1]).write_bytes(reader.read(file.location))
    return folder


def stage_table(output: Path, seed: int) -> list[str]:
    """Lay out the stages of fine-tuning, the best marked, and Dice of the test patients."""
    columns = ("name", "sensitivity", "specificity", "dice", "iou", "best")
    with (output / "training" / "stages.csv").open() as file:
        rows = [[row[column] for column in columns] for row in csv.DictReader(file)]
    summary = json.loads((output / "evaluation" / "summary.json").read_text())
    dice = summary["figures"]["dice_per_nodule_mean"]
    return [
        "",
        "stage".ljust(12) + "".join(column.rjust(13) for column in columns[1:-1]),
        *map(_stage_line, rows),
        "",
        f"Dice per nodule, unseen phantom patients (seed {seed}): "
        f"{dice['value']:.3f} (n = {dice['n']})",
    ]


def _stage_line(row: list[str]) -> str:
    name, *figures, best = row
    numbers = "".join(f"{float(figure):13.4f}" for figure in figures)
    return f"{name:<12}{numbers}{'   <- best' if best == 'True' else ''}"


def organ_table(output: Path, seed: int) -> list[str]:
    """Lay out IoU of every organ: over volumes, of all voxels, the worst patient, their number."""
    summary = json.loads((output / "evaluation" / "summary.json").read_text())
    with (output / "evaluation" / "per_class.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["known"] == "True"]
    heads = ("per volume", "pooled", "worst", "patients")
    return [
        "",
        f"IoU, unseen phantom patients (seed {seed})".ljust(42)
        + "".join(head.rjust(11) for head in heads),
        *(_organ_line(organ, summary["figures"], rows) for organ in ("liver", "bone", "kidney")),
        "",
    ]


def _organ_line(organ: str, figures: Mapping[str, Any], rows: list[dict[str, str]]) -> str:
    ious = [float(row["iou"]) for row in rows if row["name"] == organ]
    if not ious:
        return f"  {organ:<40}  annotated in none of them"
    mean, pooled = (figures[f"iou_{organ}_{kind}"] for kind in ("per_volume_mean", "pooled"))
    cells = f"{mean['value']:11.3f}{pooled['value']:11.3f}{min(ious):11.3f}{mean['n']:11}"
    return f"  {organ:<40}{cells}"


LUNG = Demo(
    recipe=Recipe(
        "bundles/lung_nodule_ct_segmentation",
        (
            "configs/losses/dice_cross_entropy.json",
            "configs/runtime/bfloat16.json",
            "configs/runtime/small.json",
        ),
    ),
    data_set="luna16",
    phantom="--size 256 --slices 110 --jobs 2 --nodule_min_mm 10 --nodule_max_mm 30",
    prepare="--label masks --masks {output}/phantoms/masks --slices all --shares 6:2:2",
    workflows=(
        Workflow(
            "pretrain the encoder on unlabelled slices",
            *("pretraining", "pretrain", "pretraining"),
            {"encoder": "resnet34"},
        ),
        Workflow(
            "block superimposed fine-tuning, five stages",
            *("training", "train", "training"),
            {"encoder": "resnet34", "encoder_weights": "{output}/pretraining/encoder.pt"},
        ),
        Workflow(
            "evaluate on unseen patients",
            *("evaluating", "evaluate", "evaluation"),
            {"ckpt_path": "{output}/training/model.pt"},
        ),
    ),
    unseen=unseen_volume,
    summarise=stage_table,
    results={
        "outlines on slices": "evaluation/overlays.png",
        "curves of the five stages": "training/curves.png",
        "table of the stages": "training/stages.csv",
        "numbers per nodule, slice, volume": "evaluation/per_nodule.csv",
        "mask of the unseen CT": "prediction",
        "one config that repeats the training": "training/training_config.json",
    },
)
LIVER = Demo(
    recipe=Recipe(
        "bundles/liver_ct_segmentation",
        (
            "configs/runtime/bfloat16.json",
            "configs/runtime/small_organs.json",
        ),
    ),
    data_set="ircadb",
    phantom="--size 192 --slices 56 --jobs 2",
    prepare="--split fold --folds 4",  # a quarter of the patients tests, a quarter validates
    workflows=(
        Workflow(
            "train the FCN",
            *("training", "train", "training"),
            # all slices have one size here: eight at once in validation and evaluation
            {
                **{"encoder": "resnet34", "encoder_weights": "none", "stride": 4},
                "validate::dataloader::batch_size": 8,
            },
        ),
        Workflow(
            "evaluate on unseen patients",
            *("evaluating", "evaluate", "evaluation"),
            {"ckpt_path": "{output}/training/model.pt", "dataloader::batch_size": 8},
        ),
    ),
    unseen=unseen_series,
    summarise=organ_table,
    results={
        "CT, annotation and network on slices": "evaluation/pictures.png",
        "curves of loss, accuracy and IoU": "training/curves.png",
        "IoU of every organ, epoch by epoch": "training/history.csv",
        "numbers per organ and patient": "evaluation/per_class.csv",
        "mask of the unseen patient": "prediction",
        "one config that repeats the training": "training/training_config.json",
    },
)


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
    LUNG.run(output, patients, seed)


def demo_liver(output: str = "demo_liver_output", *, patients: int = 24, seed: int = 0) -> None:
    """Make phantoms in 3D-IRCADb's files, train an FCN, evaluate, segment an unseen patient.

    Needs no network and no data; about five minutes on two cores.

    Args:
        output: folder for everything; an earlier demo's folder is replaced.
        patients: number of phantom patients, at least four: half train, a quarter tests.
        seed: seed of the cohort, the split and the training.

    Raises:
        ValueError: when ``output`` is a folder that no demo made.
    """
    LIVER.run(output, patients, seed)
