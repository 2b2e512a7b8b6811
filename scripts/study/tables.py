"""The tables of a study's report: headings and cells in words, nothing drawn yet."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.evaluation.nodules import SIZE_GROUPS
from scripts.study.choices import GRAPH_CUT, data_file
from scripts.study.declaration import Study
from scripts.study.methods import Method
from scripts.study.results import Result
from scripts.study.statistics import Comparison, Estimate, compare, estimate

NOTHING = "-"
REGION = "nodule_region"  # id of the configs that show a network only what is around a nodule
HOLE = "missing"
Rows = Mapping[str, Sequence[Result]]


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        title: above it.
        headings: of the columns.
        rows: cells, as shown.
        notes: below it.
    """

    title: str
    headings: list[str]
    rows: list[list[str]]
    notes: tuple[str, ...] = ()


def by_row(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Group results by row, in their order."""
    rows: dict[str, list[Result]] = {}
    for result in results:
        rows.setdefault(result.row, []).append(result)
    return rows


def row_names(study: Study, rows: Rows, planned: Sequence[str]) -> list[str]:
    """Name every row: those planned, those found, and those only the paper has."""
    return list(dict.fromkeys([*planned, *rows, *study.paper.get("rows", {})]))


ON_PHANTOMS = (
    "Ours are of phantoms, the paper's of patients: the difference shows how far apart the figures "
    "are and tells nothing about either method."
)


def main_table(
    study: Study, rows: Rows, names: Sequence[str], *, on_phantoms: bool = False
) -> Table:
    """Set the paper's figure, ours and the difference side by side."""
    headings = ["method"]
    for heading in study.figures:
        headings += [f"{heading}: paper", "ours", "95 % interval", "ours - paper"]
    body = []
    for name in names:
        cells = [name]
        for heading in study.figures:
            printed = study.paper.get("rows", {}).get(name, {}).get(heading)
            cells += _figure_cells(estimate(rows.get(name, ()), heading), printed)
        body.append([*cells, seeds_words(rows.get(name, ()))])
    notes = [f"Paper: {study.paper['source']}."] if study.paper.get("source") else []
    note = str(study.paper.get("note", ""))
    notes += [f"{note[0].upper()}{note[1:]}."] if note else []
    if on_phantoms and study.paper.get("rows"):
        notes.append(ON_PHANTOMS)
    told = "; ".join(f"{heading} is {name}" for heading, name in study.figures.items())
    where = (
        "columns of stages.csv, which each training writes of its validation slices"
        if study.rows == "validated_stages"
        else "as summary.json of each evaluation defines them"
    )
    notes.append(
        f"Ours: {told}, {where}. Interval: bootstrap over seeds and patients, 2000 resamples."
    )
    return Table("Paper and ours", [*headings, "seeds, patients, cases"], body, tuple(notes))


def _figure_cells(ours: Estimate, printed: float | None) -> list[str]:
    if ours.seeds == 0:
        return [number(printed), HOLE, NOTHING, NOTHING]
    ends = ours.interval_95
    interval = NOTHING if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}"
    difference = NOTHING if printed is None else f"{ours.value - printed:+.3f}"
    return [number(printed), number(ours.value), interval, difference]


def number(value: float | None, digits: int = 3) -> str:
    """Show a number; a dash where there is none."""
    return NOTHING if value is None or math.isnan(value) else f"{value:.{digits}f}"


def seeds_words(results: Sequence[Result]) -> str:
    """Count what the first figure of a row rests on."""
    values = [case for result in results for case in next(iter(result.values.values()))]
    patients, cases = ({c.patient for c in values}, {c.case for c in values})
    return f"{len(results)}, {len(patients)}, {len(cases)}" if results else NOTHING


def test_table(study: Study, rows: Rows) -> Table | None:
    """Compare every row with the reference on the same cases; None where there are no cases."""
    if study.rows == "validated_stages":
        return None
    heading = next(iter(study.figures))
    reference = reference_of(study, rows)
    found: list[Comparison] = compare(rows, reference, heading)
    body = [
        [one.row, str(one.pairs), _signed(one.difference), number(one.p, 4), number(one.p_holm, 4)]
        for one in found
    ]
    headings = ["against " + reference, "shared cases", f"mean difference of {heading}"]
    notes = (
        "Wilcoxon signed-rank test, two-sided, on the cases that both were tested on (means over "
        f"seeds); p corrected after Holm for the {sum(one.p is not None for one in found)} tests "
        "of this table. Fewer than six shared cases are not tested. Nodules of one patient are not "
        "independent, so that p is rather too small.",
    )
    return Table("Paired tests", [*headings, "p", "p after Holm"], body, notes)


def reference_of(study: Study, rows: Rows) -> str:
    """Name the row to test against: the declared one, else the first that there is."""
    return study.reference if study.reference in rows or not rows else next(iter(rows))


def _signed(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:+.3f}"


def size_table(study: Study, rows: Rows) -> Table | None:
    """Split the first figure by the nodules' size; None where cases have no size."""
    heading = next(iter(study.figures))
    body = []
    for name, results in rows.items():
        cases = [c for result in results for c in result.values[heading]]
        if not any(case.size for case in cases):
            continue
        cells = [name]
        for group in SIZE_GROUPS:
            own = [case.over for case in cases if case.size == group]
            cells += [number(sum(own) / len(own) if own else None), str(len(own))]
        body.append(cells)
    headings = ["method"]
    for group in SIZE_GROUPS:
        headings += [group.replace("_", " "), "n"]
    note = "n counts a nodule once for every seed that tested it."
    return Table(f"{heading} by size of the nodule", headings, body, (note,)) if body else None


def cost_table(rows: Rows) -> Table:
    """Say what every row cost: parameters, seconds, memory."""
    body = []
    for name, results in rows.items():
        trained = [result for result in results if result.stages]
        if not trained:
            body.append([name, *["learns nothing"] * 2, *[NOTHING] * 3])
            continue
        last = trained[-1].stages[-1]
        peaks = [result.peak_mb for result in trained if result.peak_mb is not None]
        body.append(
            [
                name,
                f"{int(last['total_parameters']) / 1e6:.2f} M",
                " / ".join(_millions(stage) for stage in trained[-1].stages[:6]),
                str(len(trained[-1].history)),
                f"{sum(result.seconds for result in trained) / len(trained):.0f}",
                f"{max(peaks):.0f}" if peaks else NOTHING,
            ]
        )
    headings = ["method", "parameters", "trainable, stage by stage", "epochs"]
    note = (
        "Seconds: training and validation of all epochs, mean over seeds, by the clock; without "
        "pretraining. Memory: the most that the training's process held."
    )
    return Table("Cost", [*headings, "seconds", "peak memory, MB"], body, (note,))


def _millions(stage: Mapping[str, Any]) -> str:
    return f"{int(stage['trainable_parameters']) / 1e6:.2f}"


def is_told(method: Method) -> str | None:
    """Say what a method is told of where the nodule is; None for those that search."""
    if method.network == GRAPH_CUT:
        return "centre and diameter of each nodule"
    if method.data is not None and REGION in json.loads(data_file(method.data).read_text()):
        return "a box around each nodule"
    return None
