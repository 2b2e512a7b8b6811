"""The tables of a study's report: headings, cells and notes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scripts.datasets.ratings import TEXTURE_GROUPS
from scripts.evaluation.figures.nodules import SIZE_GROUPS
from scripts.pages.report_page import Table
from scripts.study.choices import data_file
from scripts.study.declaration import Study
from scripts.study.methods import Method
from scripts.study.procedures import read_procedure
from scripts.study.reporting.results import Result
from scripts.study.reporting.statistics import Comparison, Estimate, compare, estimate

NOTHING = "-"
REGION = "nodule_region"  # id of configs that give a network only a box around the nodule
MISSING = "missing"
Rows = Mapping[str, Sequence[Result]]


def by_row(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Group results by row, in their order."""
    rows: dict[str, list[Result]] = {}
    for result in results:
        rows.setdefault(result.row, []).append(result)
    return rows


def row_names(study: Study, rows: Rows, planned: Sequence[str]) -> list[str]:
    """List the names of rows: planned ones, those with results, and those of the paper only."""
    return list(dict.fromkeys([*planned, *rows, *study.paper.get("rows", {})]))


ON_PHANTOMS = (
    "Our figures are of phantoms, the paper's of patients: their difference does not allow any "
    "conclusion about the methods."
)


def main_table(
    study: Study, rows: Rows, names: Sequence[str], *, on_phantoms: bool = False
) -> Table:
    """Compare the paper's figures, if there are any, with ours: both and their difference."""
    printed_rows = study.paper.get("rows", {})
    headings = ["method"]
    for heading, name in study.figures.items():
        headings += _figure_headings(titled(heading, name), printed=bool(printed_rows))
    body = []
    for name in names:
        cells = [name]
        for heading in study.figures:
            printed = printed_rows.get(name, {}).get(heading)
            value, interval = _figure_cells(ours := estimate(rows.get(name, ()), heading))
            difference = number(ours.value - printed, sign="+") if printed is not None else NOTHING
            all_cells = [number(printed), value, interval, difference]
            cells += all_cells if printed_rows else [value, interval]
        body.append([*cells, seeds_words(rows.get(name, ()))])
    notes = [f"Paper: {study.paper['source']}."] if study.paper.get("source") else []
    note = str(study.paper.get("note", ""))
    notes += [f"{note[0].upper()}{note[1:]}."] if note else []
    if on_phantoms and printed_rows:
        notes.append(ON_PHANTOMS)
    notes.append(_meanings(study))
    title = "Paper and ours" if printed_rows else "Results"
    return Table(title, [*headings, "seeds, patients, cases"], body, tuple(notes))


def _figure_headings(title: str, *, printed: bool) -> list[str]:
    interval = "95 % interval"
    return [f"{title}: paper", "ours", interval, "ours - paper"] if printed else [title, interval]


def _meanings(study: Study) -> str:
    """Say what each figure is and how its interval is found."""
    meanings = "; ".join(f"{heading} is {name}" for heading, name in study.figures.items())
    where = (
        "columns of stages.csv, which each training writes for its validation slices"
        if study.rows == "validated_stages"
        else "as defined in summary.json of each evaluation"
    )
    return (
        f"Ours: {meanings}, {where}. Interval: bootstrap over seeds and patients, 2000 resamples."
    )


def domain_table(study: Study, rows: Rows) -> Table | None:
    """List the figures of the other domain; None for a study of one domain."""
    other = study.other_domain
    if other is None or not rows:
        return None
    headings = ["method"]
    for heading, name in other.figures.items():
        headings += [titled(heading, name), "95 % interval"]
    body = []
    for name, results in rows.items():
        cells = [name]
        for heading in other.figures:
            cells += _figure_cells(estimate(results, heading))
        body.append([*cells, seeds_words(results)])
    note = f"The same networks on the test patients of {other.bundle.data_set}."
    title = f"The other domain: {other.name}"
    return Table(title, [*headings, "seeds, patients, cases"], body, (note,))


def titled(heading: str, name: str) -> str:
    """Return the heading of a figure with the average that it is, as its name says.

    Example:
        >>> titled("Dice", "dice_per_nodule_mean"), titled("sensitivity", "sensitivity_pooled")
        ('Dice per nodule', 'sensitivity, pooled')
    """
    plain = name.removesuffix("_mean")
    for unit in ("per_nodule", "per_slice", "per_volume", "per_scan"):
        words = unit.replace("_", " ")
        if plain.endswith(unit) and words not in heading:
            return f"{heading} {words}"
    return (
        f"{heading}, pooled" if plain.endswith("_pooled") and "pooled" not in heading else heading
    )


def _figure_cells(ours: Estimate) -> list[str]:
    if ours.seeds == 0:
        return [MISSING, NOTHING]
    return [number(ours.value), _range(ours.interval_95)]


def _range(ends: tuple[float, float] | None, *, sign: str = "") -> str:
    return NOTHING if ends is None else " to ".join(number(end, sign=sign) for end in ends)


def number(value: float | None, digits: int = 3, *, sign: str = "") -> str:
    """Format a number, with ``sign="+"`` also its plus; a dash for a missing one."""
    return NOTHING if value is None or math.isnan(value) else f"{value:{sign}.{digits}f}"


def p_words(value: float | None) -> str:
    """Format a p value.

    Example:
        >>> p_words(0.0312), p_words(2e-7), p_words(None)
        ('0.0312', '< 0.0001', '-')
    """
    return "< 0.0001" if value is not None and value < 1e-4 else number(value, 4)


def seeds_words(results: Sequence[Result]) -> str:
    """Count the seeds, patients and cases of a row's first figure."""
    values = [case for result in results for case in next(iter(result.values.values()))]
    patients, cases = ({c.patient for c in values}, {c.case for c in values})
    return f"{len(results)}, {len(patients)}, {len(cases)}" if results else NOTHING


def paired_table(study: Study, rows: Rows) -> Table | None:
    """Compare every row with the reference on the same cases; None without cases."""
    if study.rows == "validated_stages":
        return None
    heading, name = next(iter(study.figures.items()))
    reference = reference_of(study, rows)
    comparisons: list[Comparison] = compare(rows, reference, heading)
    body = [
        [
            one.row,
            f"{one.pairs}, {one.patients}",
            number(one.difference, sign="+"),
            _range(one.interval_95, sign="+"),
            p_words(one.p),
            p_words(one.p_holm),
        ]
        for one in comparisons
    ]
    tests = sum(one.p is not None for one in comparisons)
    headings = [
        "against " + reference,
        "shared cases, patients",
        f"mean difference of {titled(heading, name)}",
        "95 % interval",
    ]
    notes = (
        "Mean over the cases of both methods (means over seeds), its interval by bootstrap over "
        "patients; p by Wilcoxon's signed-rank test, two-sided, of the patients' mean differences, "
        f"corrected by Holm for the {tests} tests of this table. With fewer than six patients "
        "there is no test.",
    )
    return Table("Paired tests", [*headings, "p", "p after Holm"], body, notes)


def reference_of(study: Study, rows: Rows) -> str:
    """Return the row to test against: the declared one, or else the first."""
    return study.reference if study.reference in rows or not rows else next(iter(rows))


def group_tables(study: Study, rows: Rows) -> list[Table | None]:
    """Split the first figure by the size of the lesions, and by their texture where it is rated."""
    return [
        _group_table(study, rows, "size", SIZE_GROUPS),
        _group_table(study, rows, "texture", TEXTURE_GROUPS),
    ]


def _group_table(study: Study, rows: Rows, kind: str, groups: Sequence[str]) -> Table | None:
    """Split the first figure by a kind of groups; None if no case has one."""
    heading, figure = next(iter(study.figures.items()))
    body = []
    for name, results in rows.items():
        cases = [c for result in results for c in result.values[heading]]
        if not any(getattr(case, kind) for case in cases):
            continue
        cells = [name]
        for group in groups:
            own = [case.over for case in cases if getattr(case, kind) == group]
            cells += [number(sum(own) / len(own) if own else None), str(len(own))]
        body.append(cells)
    headings = ["method"]
    for group in groups:
        headings += [group.replace("_", " "), "n"]
    if not body:
        return None
    lesion = lesion_word(study, [result for results in rows.values() for result in results])
    note = f"n counts a {lesion} once per seed that tested it."
    return Table(f"{titled(heading, figure)} by {kind} of the {lesion}", headings, body, (note,))


def cost_table(rows: Rows) -> Table:
    """List the cost of each row: parameters, seconds, memory."""
    body = []
    for name, results in rows.items():
        trained = [result for result in results if result.stages]
        if not trained:
            body.append([name, *["not trained"] * 2, *[NOTHING] * 3])
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
    headings = ["method", "parameters", "trainable, by stage", "epochs"]
    note = (
        "Seconds: wall-clock time of training and validation of all epochs, mean over seeds, "
        "without pretraining. Memory: peak of the training process."
    )
    return Table("Cost", [*headings, "seconds", "peak memory, MB"], body, (note,))


def _millions(stage: Mapping[str, Any]) -> str:
    return f"{int(stage['trainable_parameters']) / 1e6:.2f}"


def lesion_word(study: Study, results: Iterable[Result]) -> str:
    """Return the word for a lesion: its class in the evaluated data, or else in the data set."""
    evaluated = [result.lesion for result in results if result.lesion]
    return evaluated[0] if evaluated else str(study.bundle.data.classes()[1])


def given_position(method: Method, lesion: str) -> str | None:
    """Describe what a method is given of the position of each lesion; None if nothing."""
    name = method.network if method.is_procedure else method.evaluated_by
    if name is not None and (given := read_procedure(name).given) is not None:
        return given.format(lesion=lesion)
    if method.data is not None and REGION in json.loads(data_file(method.data).read_text()):
        return f"a box around each {lesion}"
    return None
