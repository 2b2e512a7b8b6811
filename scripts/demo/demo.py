"""``make demo`` and ``make demo-liver``: from synthetic CTs to the mask of an unseen CT."""

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
        run_id: id given to ``monai.bundle run``.
        config: name of the bundle's config, without ``.json``.
        folder: its output folder, relative to the demonstration's folder.
        overrides: config ids and values; ``{output}`` is the demonstration's folder.
    """

    title: str
    run_id: str
    config: str
    folder: str
    overrides: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Demo:
    """The steps of the demonstration of one bundle, and the results it shows.

    Args:
        recipe: the bundle with its overlays.
        data_set: name of the data set whose phantoms are made and prepared.
        phantom: options of ``phantom DATASET``.
        prepare: options of ``prepare DATASET``; ``{output}`` is the demonstration's folder.
        workflows: pretraining, training, evaluation.
        unseen: returns the original CT of a test patient, from the demonstration's folder.
        summarise: returns the lines of the results, from the folder and the seed.
        results: description -> path relative to the folder.
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
        """Return the steps that make the cohort and prepare it."""
        cohort, seed_option = str(output / "phantoms"), ["--seed", str(seed)]
        make = [*self.phantom.split(), "--patients", str(patients), "--output", cohort]
        prepare = [word.format(output=output) for word in self.prepare.split()]
        prepare += ["--source", cohort, "--output", str(output / "prepared")]
        return [
            Step("phantom cohort", _scripts("phantom", self.data_set, *make, *seed_option)),
            Step("prepare slices", _scripts("prepare", self.data_set, *prepare, *seed_option)),
        ]

    def workflow_steps(self, output: Path, seed: int) -> list[Step]:
        """Return the steps of training, and of evaluation on the patients of the test partition."""
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
        """Return the step that segments the whole CT of a test patient."""
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
            ValueError: when ``output`` is a folder that was not made by a demonstration.
            SystemExit: when a step fails.
        """
        demonstration = Demonstration(output)
        folder = demonstration.folder
        demonstration.run(self.data_steps(folder, patients, seed))
        *training, evaluation = self.workflow_steps(folder, seed)
        demonstration.run(training)
        demonstration.run_together([evaluation, self.inference_step(folder)])
        lines = [*self.summarise(folder, seed), *demonstration.list_results(self.results)]
        print("\n".join([*lines, f"all in {demonstration.seconds:.0f} s. {SYNTHETIC}"]))


def _scripts(*words: str) -> list[str]:
    return ["-m", "scripts", *words]


def unseen_volume(output: Path) -> Path:
    """Return the file of the first volume of the test partition."""
    return Path(load_datalist(output / "prepared" / "datalist.json", "volumes/test")[0]["image"])


def unseen_series(output: Path) -> Path:
    """Unpack the DICOM images of the first test patient, including nested zips, into a folder.

    Inference reads these original images, without any preparation.
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


STAGE_COLUMNS = {
    "val_sensitivity_pooled": "sensitivity, pooled",
    "val_specificity_pooled": "specificity, pooled",
    "val_dice_per_slice": "Dice per slice",
    "val_iou_per_slice": "IoU per slice",
}


def stage_table(output: Path, seed: int) -> list[str]:
    """Return a table of the stages of fine-tuning, with the best marked, and the test's figures."""
    columns = ("name", *STAGE_COLUMNS, "best")
    with (output / "training" / "stages.csv").open() as file:
        rows = [[row[column] for column in columns] for row in csv.DictReader(file)]
    figures = json.loads((output / "evaluation" / "summary.json").read_text())["figures"]
    dice, found = figures["dice_per_nodule_mean"], figures["nodules_detected_share"]
    return [
        "",
        "stage".ljust(12) + "".join(title.rjust(21) for title in STAGE_COLUMNS.values()),
        *map(_stage_line, rows),
        "",
        f"Unseen phantom patients (seed {seed}): {found['value']:.0%} of {found['n']} nodules "
        f"detected, {figures['false_positives_per_scan_mean']['value']:.2f} false positives per "
        f"scan, Dice per nodule {dice['value']:.3f}",
    ]


def _stage_line(row: list[str]) -> str:
    name, *figures, best = row
    numbers = "".join(f"{float(figure):21.4f}" for figure in figures)
    return f"{name:<12}{numbers}{'   <- best' if best == 'True' else ''}"


def organ_table(output: Path, seed: int) -> list[str]:
    """Return a table of each organ's IoU: mean per volume, pooled, worst, number of patients."""
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
        return f"  {organ:<40}  not annotated in these patients"
    mean, pooled = (figures[f"iou_{organ}_{kind}"] for kind in ("per_volume_mean", "pooled"))
    cells = f"{mean['value']:11.3f}{pooled['value']:11.3f}{min(ious):11.3f}{mean['n']:11}"
    return f"  {organ:<40}{cells}"


KEPT_IN_MEMORY = {"train::dataset::_target_": "CacheDataset"}
"""The few, small slices up to their augmentation: loading a batch takes half as long."""

LUNG = Demo(
    recipe=Recipe(
        "bundles/lung_nodule_ct_segmentation",
        (
            "configs/losses/dice_cross_entropy.json",
            "configs/runtime/native_precision.json",
            "configs/runtime/small.json",
        ),
    ),
    data_set="luna16",
    phantom="--size 256 --slices 110 --jobs 2 --nodule_min_mm 10 --nodule_max_mm 30",
    prepare="--label masks --masks {output}/phantoms/masks --slices all --shares 6:2:2 --jobs 2",
    workflows=(
        Workflow(
            "pretrain the encoder on unlabelled slices",
            *("pretraining", "pretrain", "pretraining"),
            {"encoder": "resnet34", **KEPT_IN_MEMORY},
        ),
        Workflow(
            "block superimposed fine-tuning, five stages",
            *("training", "train", "training"),
            # all slices have one size here: eight at once in validation and evaluation; a
            # stage is validated at its end, where its rate is lowest
            {
                "val_interval": 8,
                "encoder": "resnet34",
                "encoder_weights": "{output}/pretraining/encoder.pt",
                "validate::dataloader::batch_size": 8,
                **KEPT_IN_MEMORY,
            },
        ),
        Workflow(
            "evaluate on unseen patients",
            *("evaluating", "evaluate", "evaluation"),
            {"ckpt_path": "{output}/training/model.pt", "dataloader::batch_size": 8},
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
        "one config to repeat the training": "training/training_config.json",
    },
)
LIVER = Demo(
    recipe=Recipe(
        "bundles/liver_ct_segmentation",
        (
            "configs/runtime/native_precision.json",
            "configs/runtime/small_organs.json",
        ),
    ),
    data_set="ircadb",
    phantom="--size 192 --slices 56 --jobs 2",
    # a quarter of the patients tests, a quarter validates
    prepare="--split fold --folds 4 --jobs 2",
    workflows=(
        Workflow(
            "train the FCN",
            *("training", "train", "training"),
            {
                **{"encoder": "resnet34", "encoder_weights": "none", "stride": 4},
                "patch_size": "[160, 160]",  # of 192 x 192: a third less to compute
                "validate::dataloader::batch_size": 8,
                **KEPT_IN_MEMORY,
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
        "one config to repeat the training": "training/training_config.json",
    },
)


def demo(output: str = "demo_output", *, patients: int = 20, seed: int = 0) -> None:
    """Make phantoms, pretrain, fine-tune in five stages, evaluate and segment an unseen CT.

    Needs no network and no data; about six minutes on two cores. For the other bundle:
    ``python -m scripts demo liver``.

    Args:
        output: folder for all files; the folder of an earlier demo is replaced.
        patients: number of phantom patients.
        seed: seed of the cohort, the split and the training.

    Raises:
        ValueError: when ``output`` is a folder that was not made by a demo.
        SystemExit: when a step fails.
    """
    LUNG.run(output, patients, seed)


def demo_liver(output: str = "demo_liver_output", *, patients: int = 24, seed: int = 0) -> None:
    """Make phantoms in the layout of 3D-IRCADb-01, train an FCN, evaluate, segment an unseen CT.

    Needs no network and no data; about six minutes on two cores.

    Args:
        output: folder for all files; the folder of an earlier demo is replaced.
        patients: number of phantom patients, at least four: half for training, a quarter for test.
        seed: seed of the cohort, the split and the training.

    Raises:
        ValueError: when ``output`` is a folder that was not made by a demo.
        SystemExit: when a step fails.
    """
    LIVER.run(output, patients, seed)
