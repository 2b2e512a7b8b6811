"""A study's pretrainings in its report: what each learned from, and how well it learned it."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from scripts.study.cells import Cell
from scripts.study.choices import OWN
from scripts.study.declaration import Study
from scripts.study.sources import Source
from scripts.study.tables import Table, number
from scripts.study.tasks import Task
from scripts.study.workshop import Workshop

FIGURES = "metrics.csv"  # of a pretraining that validates: lines of a name and a value


def describe_pretrainings(study: Study, source: Source) -> list[str]:
    """Say of every pretraining that is used, but the study's own, what it is run on."""
    used = {method.weights for method in study.methods} - {OWN}
    told = []
    for name, one in study.pretrainings.items():
        if name in used:
            where = "the training's own data"
            if one.bundle is not None:
                where = source.of_pretraining.describe(one.bundle, one.data)
            told.append(f"Weights {name}: pretrained by {one.config} on {where}.")
    return told


def pretraining_table(cells: Sequence[Cell], workshop: Workshop) -> Table | None:
    """List the last validation of every pretraining that has one; None without any."""
    found = {
        step.name: figures
        for cell in cells
        for step in pretrainings_of(cell)
        if (figures := _figures(step, workshop))
    }
    headings = list(dict.fromkeys(name for figures in found.values() for name in figures))
    body = [
        [name, *(number(figures.get(heading)) for heading in headings)]
        for name, figures in found.items()
    ]
    notes = (
        "Last validation of the pretraining, on patients it did not train on; auc is the area "
        "under the ROC curve, 0.5 by chance. Pretrainings that do not validate are not listed.",
    )
    return Table("Pretraining", ["weights", *headings], body, notes) if body else None


def pretrainings_of(cell: Cell) -> list[Task]:
    """Return the pretraining that a cell's training starts from, if any."""
    needs = () if cell.training is None else cell.training.needs
    return [need for need in needs if need.kind == "pretraining"]


def _figures(step: Task, workshop: Workshop) -> dict[str, float]:
    file = step.out(workshop.work) / FIGURES
    if workshop.record(step) is None or not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8") as lines:
        return {name: float(value) for name, value in csv.reader(lines)}
