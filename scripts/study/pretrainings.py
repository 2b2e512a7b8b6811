"""The pretrainings in a study's report: their data, and their last validation."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from scripts.datasets.known import data_set_class
from scripts.pages.report_page import Table
from scripts.preparation.splits import splits_of
from scripts.study.cells import Cell
from scripts.study.declaration import Study
from scripts.study.further_data import Pretraining
from scripts.study.procedures import read_derivation
from scripts.study.reporting.tables import number
from scripts.study.sample_sources import Source
from scripts.study.workshop import Task, Workshop

RESTORING = "bundles/lung_nodule_ct_segmentation/configs/pretrain.json"
LAYERWISE = "configs/pretrainings/"  # files that make it a pretraining of one layer at a time
FIGURES = "metrics.csv"  # of a pretraining that validates: lines of a name and a value


def describe_pretrainings(study: Study, source: Source) -> list[str]:
    """Describe the data of every pretraining that is used."""
    used = {method.weights for method in study.methods}
    descriptions = []
    for name, one in study.pretrainings.items():
        if name in used:
            where = "the data of the training"
            if one.bundle is not None:
                where = source.of_pretraining.describe(one.bundle, one.data)
            by = " with ".join([one.config, *(file for file in one.files if LAYERWISE in file)])
            descriptions.append(f"Weights {name}: pretrained by {by} on {where}.{_how(one)}")
    return descriptions


def describe_continued(study: Study) -> list[str]:
    """Say which rows continue the training of another network, or learn from derived data."""
    facts = []
    for method in study.methods:
        start = study.pretrainings.get(method.weights)
        if start is not None and start.segments:
            facts.append(
                f"CONTINUED: {method.name} starts from a network that was trained as a whole "
                f"(weights {start.name}); its updates come on top of those."
            )
        if method.derived is not None:
            facts.append(read_derivation(method.derived).remark(method.name, method.settings))
    return list(filter(None, facts))


def _how(pretraining: Pretraining) -> str:
    """Describe a pretraining without labels; empty for others."""
    if any(LAYERWISE in file for file in pretraining.files):
        return " Its layers are trained one after the other and see no label."
    if pretraining.config == RESTORING:
        return " It restores hidden parts of slices and sees no label."
    return ""


def pretraining_table(cells: Sequence[Cell], workshop: Workshop) -> Table | None:
    """List the last validation of each pretraining that has one; None if there is none."""
    steps = {step.key: step for cell in cells for step in pretrainings_of(cell)}
    validated = [
        (step, figures) for step in steps.values() if (figures := _figures(step, workshop))
    ]
    headings = list(dict.fromkeys(name for _, figures in validated for name in figures))
    body = [
        [step.name, split_of(step) or "given", *(number(figures.get(name)) for name in headings)]
        for step, figures in validated
    ]
    notes = [
        "Last validation of the pretraining; auc is the area under the ROC curve, 0.5 is chance. "
        "Pretrainings that do not validate are not listed."
    ]
    leaking = sorted({str(split_of(step)) for step, _ in validated if _leaks(step)})
    if leaking:
        names = ", ".join(leaking)
        notes.append(
            f"LEAK: with the split {names} it includes patients of the training partition."
        )
    elif all(split_of(step) is not None for step, _ in validated):
        notes.append("It does not include patients of the training partition.")
    return (
        Table("Pretraining", ["weights", "split", *headings], body, tuple(notes)) if body else None
    )


def split_of(step: Task) -> str | None:
    """Return the kind of split of a pretraining's data; None for data prepared by the user."""
    words = step.needs[0].words
    return words[words.index("--split") + 1] if "--split" in words else None


def _leaks(step: Task) -> bool:
    words, split = step.needs[0].words, split_of(step)
    if split is None:
        return False
    return bool(splits_of(data_set_class(words[words.index("prepare") + 1]))[split].leak)


def pretrainings_of(cell: Cell) -> list[Task]:
    """Return the pretraining of a cell's initial weights, if any."""
    needs = () if cell.training is None else cell.training.needs
    return [need for need in needs if need.kind == "pretraining"]


def _figures(step: Task, workshop: Workshop) -> dict[str, float]:
    file = step.out(workshop.work) / FIGURES
    if workshop.record(step) is None or not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8") as lines:
        return {name: float(value) for name, value in csv.reader(lines)}
