"""What the cells of a study found: figures case by case, curves, costs."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.datasets.shares import PARTITIONS
from scripts.evaluation.confusion import Confusion
from scripts.evaluation.summary import FRACTIONS
from scripts.study.cells import Cell
from scripts.study.declaration import Study
from scripts.study.workshop import Workshop

TABLES = {"_per_nodule_mean": "per_nodule", "_per_slice_mean": "per_slice"}
KEYS = ("series_uid", "nodule", "slice", "name")
Table = list[dict[str, str]]


@dataclass(frozen=True)
class CaseValue:
    """One case's part of a figure, which is a sum of ``over`` by a sum of ``under``.

    Args:
        patient: groups the cases of one patient; never shown.
        case: names the case.
        over: the value, or the numerator of a pooled figure.
        under: 1, or the denominator.
        size: group of a nodule's size.
    """

    patient: str
    case: tuple[str, ...]
    over: float
    under: float
    size: str = ""


@dataclass(frozen=True)
class Result:
    """What one row of a report has from one seed.

    Args:
        row: its name.
        seed: of split and training.
        values: heading of a figure -> the cases that it is made of.
        summary: of the evaluation.
        stages: of the training: a row a stage.
        history: of the training: a row an epoch.
        peak_mb: memory of the training's process.
        folder: of the evaluation.
        revision: of the software that trained.
    """

    row: str
    seed: int
    values: Mapping[str, Sequence[CaseValue]]
    summary: Mapping[str, Any] = field(default_factory=dict)
    stages: Table = field(default_factory=list)
    history: Table = field(default_factory=list)
    peak_mb: float | None = None
    folder: Path | None = None
    revision: str | None = None

    def figure(self, heading: str) -> float:
        """Value of a figure; NaN where nothing contributes."""
        cases = self.values.get(heading, ())
        under = sum(case.under for case in cases)
        return sum(case.over for case in cases) / under if under else math.nan

    @property
    def seconds(self) -> float:
        """Of all epochs, training and validation, whether or not it was stopped in between."""
        return sum(float(row["seconds"]) for row in self.history)


def collect(study: Study, cells: Sequence[Cell], workshop: Workshop) -> list[Result]:
    """Read what is done."""
    found = []
    for cell in cells:
        if study.rows == "validated_stages":
            found += _validated(study, cell, workshop)
            continue
        for row, task in cell.evaluations.items():
            if workshop.record(task) is not None:
                found.append(_result(study, cell, workshop, row))
    return found


def _training(cell: Cell, workshop: Workshop) -> dict[str, Any]:
    record = None if cell.training is None else workshop.record(cell.training)
    if cell.training is None or record is None:
        return {}
    out = cell.training.out(workshop.work)
    return {
        "stages": read_table(out / "stages.csv"),
        "history": read_table(out / "history.csv"),
        "peak_mb": record["peak_mb"],
        "revision": _revision(record["git"]),
    }


def _revision(git: Mapping[str, Any]) -> str | None:
    """Short revision of the software, and whether files differed from it."""
    if git["revision"] is None:
        return None
    return f"{git['revision'][:12]}{' with changes' if git['dirty'] else ''}"


def _result(study: Study, cell: Cell, workshop: Workshop, row: str) -> Result:
    task = cell.evaluations[row]
    out = task.out(workshop.work)
    patients = patients_of(task.needs[-1].out(workshop.work) / "datalist.json")
    return Result(
        row,
        cell.seed,
        {heading: case_values(out, name, patients) for heading, name in study.figures.items()},
        summary=json.loads((out / "summary.json").read_text(encoding="utf-8")),
        folder=out,
        **_training(cell, workshop),
    )


def _validated(study: Study, cell: Cell, workshop: Workshop) -> list[Result]:
    """Make a result of every stage from the table that the training wrote."""
    training = _training(cell, workshop)
    several = len(study.methods) > 1
    found = []
    for stage in training.get("stages", []):
        row = f"{cell.method.name} · {stage['name']}" if several else stage["name"]
        values = {
            heading: [CaseValue("", (), float(stage[name]), 1.0)]
            for heading, name in study.figures.items()
        }
        own = {**training, "history": _of_stage(training["history"], stage["stage"])}
        found.append(Result(row, cell.seed, values, **own))
    return found


def _of_stage(history: Table, stage: str) -> Table:
    return [row for row in history if row["stage"] == stage]


def read_table(path: Path) -> Table:
    """Read a CSV file; nothing where there is none."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def patients_of(datalist: Path) -> dict[str, str]:
    """Map every series to its patient."""
    content = json.loads(datalist.read_text(encoding="utf-8"))
    lists = [content, content.get("volumes", {})]
    entries = [entry for one in lists for name in PARTITIONS for entry in one.get(name, ())]
    return {str(entry["series_uid"]): str(entry["patient_id"]) for entry in entries}


def case_values(out: Path, name: str, patients: Mapping[str, str]) -> list[CaseValue]:
    """Read the cases that a figure of a summary is made of.

    Args:
        out: folder of an evaluation.
        name: of the figure, such as dice_per_nodule_mean, sensitivity_pooled or
            iou_liver_per_volume_mean.
        patients: series -> patient.

    Raises:
        ValueError: for a figure whose cases are in none of the evaluation's tables.
    """
    if name.endswith("_pooled"):
        return _pooled(out, name.removesuffix("_pooled"), patients)
    for ending, table in TABLES.items():
        if name.endswith(ending):
            rows = read_table(out / f"{table}.csv")
            return _values(rows, name.removesuffix(ending), patients)
    column, _, of_class = name.removesuffix("_per_volume_mean").partition("_")
    if not name.endswith("_per_volume_mean"):
        raise ValueError(f"figures: {name} is neither per nodule, slice or volume nor pooled")
    if not (out / "per_class.csv").is_file():
        return _values(read_table(out / "per_volume.csv"), column, patients)
    rows = read_table(out / "per_class.csv")
    chosen = [row for row in rows if row["name"].replace(" ", "_") == of_class]
    return _values([row for row in chosen if row["known"] == "True"], column, patients)


def _case(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row[key] for key in KEYS if key in row)


def _patient(row: Mapping[str, str], patients: Mapping[str, str]) -> str:
    return patients.get(row["series_uid"], row["series_uid"])


def _values(rows: Table, column: str, patients: Mapping[str, str]) -> list[CaseValue]:
    """Read a column; undefined values are left out."""
    return [
        CaseValue(
            _patient(row, patients), _case(row), float(row[column]), 1.0, row.get("size_group", "")
        )
        for row in rows
        if row[column] != ""
    ]


def _pooled(out: Path, figure: str, patients: Mapping[str, str]) -> list[CaseValue]:
    """Read voxel counts; of a class where the figure names one (iou_liver)."""
    figure, _, of_class = figure.partition("_")
    rows = read_table(out / ("per_class.csv" if of_class else "per_volume.csv"))
    if of_class:
        rows = [row for row in rows if row["name"].replace(" ", "_") == of_class and row["tp"]]
    found = []
    for row in rows:
        counts = Confusion(*(int(row[name]) for name in ("tp", "fp", "fn", "tn")))
        over, under = FRACTIONS[figure](counts)
        found.append(CaseValue(_patient(row, patients), _case(row), over, under))
    return found
