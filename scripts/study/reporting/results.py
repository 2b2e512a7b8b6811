"""The results of a study's cells: figures case by case, curves, costs."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.datasets.shares import PARTITIONS
from scripts.evaluation.figures.confusion import Confusion
from scripts.evaluation.figures.summary import FRACTIONS
from scripts.storage.texts import cell_text
from scripts.study.cells import Cell
from scripts.study.declaration import Study
from scripts.study.workshop import Task, Workshop

TABLES = {"_per_nodule_mean": "per_nodule", "_per_slice_mean": "per_slice"}
DETECTIONS = {
    "nodules_detected_share": ("per_nodule", "detected"),
    "false_positives_per_scan_mean": ("per_volume", "false_positives"),
}
KEYS = ("series_uid", "nodule", "slice", "name")
Table = list[dict[str, str]]


@dataclass(frozen=True)
class CaseValue:
    """The contribution of one case to a figure, the sum of ``over`` divided by that of ``under``.

    Args:
        patient: groups the cases of one patient; never shown.
        case: identifies the case.
        over: the value, or the numerator of a pooled figure.
        under: 1, or the denominator.
        size: size group of a lesion.
        texture: group of its texture, if it was rated.
    """

    patient: str
    case: tuple[str, ...]
    over: float
    under: float
    size: str = ""
    texture: str = ""


@dataclass(frozen=True)
class Result:
    """The result of one row of a report for one seed, of all its test folds together.

    Training and folder are those of the first fold.

    Args:
        row: its name.
        seed: of split and training.
        values: heading of a figure -> its cases.
        summary: of the evaluation.
        stages: of the training: one row per stage.
        history: of the training: one row per epoch.
        peak_mb: peak memory of the training process.
        folder: of the evaluation.
        revision: of the software that was trained with.
        lesion: class name of lesions in the evaluated data; None for classes.
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
    lesion: str | None = None

    def figure(self, heading: str) -> float:
        """Value of a figure; NaN without cases."""
        cases = self.values.get(heading, ())
        under = sum(case.under for case in cases)
        return sum(case.over for case in cases) / under if under else math.nan

    @property
    def seconds(self) -> float:
        """Time of training and validation in all epochs, also of an interrupted training."""
        return sum(float(row["seconds"]) for row in self.history)


def collect(study: Study, cells: Sequence[Cell], workshop: Workshop) -> list[Result]:
    """Read the results of finished steps; those of a seed's test folds are joined."""
    results: dict[tuple[str, int], Result] = {}
    for cell in cells:
        for result in _of_cell(study, cell, workshop):
            key = (result.row, result.seed)
            results[key] = _joined(results[key], result) if key in results else result
    return list(results.values())


def _of_cell(study: Study, cell: Cell, workshop: Workshop) -> list[Result]:
    if study.rows == "validated_stages":
        return _validated(study, cell, workshop)
    return [
        _result(study, cell, workshop, row)
        for row, task in cell.evaluations.items()
        if workshop.record(task) is not None
    ]


def collect_others(study: Study, cells: Sequence[Cell], workshop: Workshop) -> list[Result]:
    """Read the evaluations of networks for several domains on the other domain."""
    if study.other_domain is None:
        return []
    of_domain = replace(study, figures=study.other_domain.figures)
    return [
        _result(of_domain, replace(cell, evaluations=cell.others), workshop, row)
        for cell in cells
        for row, task in cell.others.items()
        if workshop.record(task) is not None
    ]


def _joined(first: Result, other: Result) -> Result:
    """Add the cases of another test fold."""
    values = {heading: [*cases, *other.values[heading]] for heading, cases in first.values.items()}
    return replace(first, values=values)


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
    """Short revision of the software, marked if files were changed."""
    if git["revision"] is None:
        return None
    return f"{git['revision'][:12]}{' with changes' if git['dirty'] else ''}"


def evaluated_data(evaluation: Task) -> Task:
    """Return the step whose data an evaluation reads; it may also need a training."""
    return next(need for need in reversed(evaluation.needs) if need.kind != "trainings")


def _result(study: Study, cell: Cell, workshop: Workshop, row: str) -> Result:
    task = cell.evaluations[row]
    out = task.out(workshop.work)
    datalist = evaluated_data(task).out(workshop.work) / "datalist.json"
    content = json.loads(datalist.read_text(encoding="utf-8"))
    patients = patients_of(content)
    return Result(
        row,
        cell.seed,
        {heading: case_values(out, name, patients) for heading, name in study.figures.items()},
        summary=json.loads((out / "summary.json").read_text(encoding="utf-8")),
        folder=out,
        lesion=content.get("classes", {}).get("1") if content.get("kind") == "instances" else None,
        **_training(cell, workshop),
    )


def _validated(study: Study, cell: Cell, workshop: Workshop) -> list[Result]:
    """Return one result per stage, from the table of stages that the training wrote."""
    training = _training(cell, workshop)
    several = len(study.methods) > 1
    results = []
    for stage in training.get("stages", []):
        row = f"{cell.method.name} · {stage['name']}" if several else stage["name"]
        values = {
            heading: [CaseValue("", (), float(stage[name]), 1.0)]
            for heading, name in study.figures.items()
        }
        own = {**training, "history": _of_stage(training["history"], stage["stage"])}
        results.append(Result(row, cell.seed, values, **own))
    return results


def _of_stage(history: Table, stage: str) -> Table:
    return [row for row in history if row["stage"] == stage]


def read_table(path: Path) -> Table:
    """Read a CSV file; empty if it does not exist."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{cell_text(key): cell_text(cell) for key, cell in row.items()} for row in rows]


def patients_of(datalist: Mapping[str, Any]) -> dict[str, str]:
    """Map each series of a datalist to its patient."""
    lists = [datalist, datalist.get("volumes", {})]
    entries = [entry for one in lists for name in PARTITIONS for entry in one.get(name, ())]
    return {str(entry["series_uid"]): str(entry["patient_id"]) for entry in entries}


def case_values(out: Path, name: str, patients: Mapping[str, str]) -> list[CaseValue]:
    """Read the cases of a figure of the summary.

    Args:
        out: folder of an evaluation.
        name: of the figure, such as dice_per_nodule_mean, sensitivity_pooled or
            iou_liver_per_volume_mean.
        patients: series -> patient.

    Raises:
        ValueError: for a figure whose cases are not in the tables of the evaluation.
    """
    if name in DETECTIONS:
        table, column = DETECTIONS[name]
        return _values(read_table(out / f"{table}.csv"), column, patients)
    if name.endswith("_pooled"):
        return _pooled(out, name.removesuffix("_pooled"), patients)
    for ending, table in TABLES.items():
        if name.endswith(ending):
            rows = read_table(out / f"{table}.csv")
            return _values(rows, name.removesuffix(ending), patients)
    column, _, of_class = name.removesuffix("_per_volume_mean").partition("_")
    if not name.endswith("_per_volume_mean"):
        raise ValueError(f"figures: {name} must be per nodule, slice or volume, or pooled")
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
            _patient(row, patients),
            _case(row),
            _number(row[column]),
            1.0,
            row.get("size_group", ""),
            row.get("texture", ""),
        )
        for row in rows
        if row[column] != ""
    ]


def _number(cell: str) -> float:
    return float(cell == "True") if cell in ("True", "False") else float(cell)


def _pooled(out: Path, figure: str, patients: Mapping[str, str]) -> list[CaseValue]:
    """Read voxel counts; of one class if the figure names it (iou_liver)."""
    figure, _, of_class = figure.partition("_")
    rows = read_table(out / ("per_class.csv" if of_class else "per_volume.csv"))
    if of_class:
        rows = [row for row in rows if row["name"].replace(" ", "_") == of_class and row["tp"]]
    cases = []
    for row in rows:
        counts = Confusion(*(int(row[name]) for name in ("tp", "fp", "fn", "tn")))
        over, under = FRACTIONS[figure](counts)
        cases.append(CaseValue(_patient(row, patients), _case(row), over, under))
    return cases
