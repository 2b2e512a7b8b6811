"""Where the trainings and evaluations of a study lie: the table ``cells.csv`` of its report."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scripts.study.cells import Cell
from scripts.study.workshop import Workshop

COLUMNS = ("row", "seed", "fold", "validation", "training", "evaluation")


def cell_rows(cells: Iterable[Cell], workshop: Workshop, metric: str) -> list[dict[str, Any]]:
    """Return a row for each finished evaluation, with the folders that ``release`` takes.

    Args:
        cells: of the study.
        workshop: of the steps.
        metric: column of ``stages.csv``, by whose best value a network to release is chosen: choice
            by the test set would make its figures too good.

    Returns:
        Row, seed, fold, best validation of the training, and the two folders; without training for
        a method that is not trained.
    """
    return [
        {
            "row": row,
            "seed": cell.seed,
            "fold": cell.fold,
            "validation": None
            if training is None
            else best_validation(training / "stages.csv", metric),
            "training": training,
            "evaluation": evaluation.out(workshop.work),
        }
        for cell in cells
        for training in [None if cell.training is None else cell.training.out(workshop.work)]
        for row, evaluation in cell.evaluations.items()
        if workshop.record(evaluation) is not None
    ]


def best_validation(stages: Path, metric: str) -> float | None:
    """Return a figure of the validation at the stage that was kept.

    Args:
        stages: ``stages.csv`` of a training.
        metric: its column.
    """
    if not stages.is_file():
        return None
    with stages.open(newline="", encoding="utf-8") as file:
        kept = [row.get(metric) for row in csv.DictReader(file) if row.get("best") == "True"]
    return float(kept[0]) if kept and kept[0] else None
