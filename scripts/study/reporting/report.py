"""The report of a study: a page that opens from disk, Markdown, a CSV of results, pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from scripts.pages.report_page import Report, Table, report_page
from scripts.storage.files import write_csv, write_text
from scripts.storage.texts import markdown_text
from scripts.study.cells import Cell
from scripts.study.declaration import Study
from scripts.study.folders import COLUMNS, cell_rows
from scripts.study.pretrainings import (
    describe_continued,
    describe_pretrainings,
    pretraining_table,
)
from scripts.study.reporting.drawings import draw_comparison, draw_curves, draw_same_slices
from scripts.study.reporting.results import Result, collect, collect_others, read_table
from scripts.study.reporting.speed import draw_speed, speed_table, timings
from scripts.study.reporting.tables import (
    Rows,
    by_row,
    cost_table,
    domain_table,
    given_position,
    group_tables,
    lesion_word,
    main_table,
    paired_table,
    row_names,
)
from scripts.study.runner import failure_of, is_done
from scripts.study.sample_sources import Source
from scripts.study.steps import mixes_units
from scripts.study.workshop import Workshop

CSV_COLUMNS = (
    *("row", "seed", "figure", "name", "value", "cases", "patients"),
    *("epochs", "seconds", "peak_mb", "parameters", "revision"),
)


def write_report(
    study: Study, cells: Sequence[Cell], workshop: Workshop, folder: Path, *, source: Source
) -> None:
    """Write all files of the report from the finished steps, each whole or not at all.

    Args:
        study: the declared study.
        cells: all cells, finished or not.
        workshop: of the steps.
        folder: of the report.
        source: of the samples.
    """
    results, done = collect(study, cells, workshop), [c for c in cells if is_done(c, workshop)]
    rows = by_row(results)
    names = row_names(study, rows, _planned(study, cells))
    pictures = draw(study, cells, rows, names, (workshop, folder))
    main = main_table(study, rows, names, on_phantoms=source.data is None)
    others = by_row(collect_others(study, cells, workshop))
    parts = [main, domain_table(study, others), paired_table(study, rows)]
    parts += group_tables(study, rows)
    timed = timings(cells, workshop)
    if timed:
        draw_speed(study, rows, timed, folder / "speed.png")
        pictures["Figure and seconds for a whole CT"] = "speed.png"
    parts += [speed_table(study, rows, timed), cost_table(rows)]
    parts += [pretraining_table(cells, workshop)]
    tables = [table for table in parts if table is not None and table.rows]
    facts = describe(study, cells, results, source, done=len(done))
    missing = [f"{cell.name}: {failure_of(cell, workshop)}" for cell in cells if cell not in done]
    write_csv(folder / "results.csv", csv_rows(study, results), columns=CSV_COLUMNS)
    folders = cell_rows(cells, workshop, study.bundle.data.metric)
    write_csv(folder / "cells.csv", folders, columns=COLUMNS)
    write_text(folder / "report.md", as_markdown(study, facts, missing, (tables, pictures)))
    page = Report(
        study.title,
        study.question,
        facts=facts,
        missing=missing,
        tables=tables,
        pictures={title: folder / name for title, name in pictures.items()},
    )
    write_text(folder / "report.html", report_page(page))


def _planned(study: Study, cells: Sequence[Cell]) -> list[str]:
    if study.rows == "validated_stages":
        return []  # stages are only known from the trainings
    return [row for cell in cells for row in cell.evaluations]


def describe(
    study: Study, cells: Sequence[Cell], results: Sequence[Result], source: Source, *, done: int
) -> list[str]:
    """Describe the data and settings that the figures are based on."""
    methods = study.methods
    labels = sorted({f"{m.label} (tested on {m.tested_label})" for m in methods})
    facts = [
        f"Form: {'small' if study.small else 'full'}.",
        f"Run on: {source.describe(study.bundle, study.data)}.",
        *_further_test(study, results, source),
        f"Labels: {', '.join(labels)}.",
        f"Splits: {', '.join(sorted({m.split for m in methods}))}.",
        f"Seeds: {', '.join(map(str, study.seeds))}; they determine "
        f"{'' if source.is_prepared else 'split, '}weights and batches.",
        _epochs(study),
        f"Encoder weights: {', '.join(sorted({m.weights for m in methods}))}.",
        *describe_pretrainings(study, source),
        *describe_continued(study),
        *_domains(study, source),
        f"Done: {done} of {len(cells)} trainings and methods, "
        f"{len({(r.row, r.seed) for r in results})} results.",
    ]
    facts += _limits(study, results)
    revisions = sorted({r.revision for r in results if r.revision})
    return [*facts, f"Software: {', '.join(revisions) or 'unknown'}."]


def _domains(study: Study, source: Source) -> list[str]:
    """Describe the other domain that networks for several domains learn."""
    if study.other_domain is None:
        return []
    other = study.other_domain
    where = source.of_pretraining.describe(other.bundle, other.data)
    return [f"Domain {other.name}: learnt together with {other.own}, on {where}."]


def _further_test(study: Study, results: Sequence[Result], source: Source) -> list[str]:
    """Describe a test set of further scans, and how many of them a network was trained on."""
    if source.test_data is None:
        return []
    facts = [f"Tested on: all scans of {source.test_data}, in place of the test partitions."]
    known = [r.summary.get("cases") or {} for r in results]
    worst = max((cases.get("of_training") or 0 for cases in known), default=0)
    if worst:
        facts.append(
            f"LEAK: up to {worst} of them are of patients that a network was trained on; its "
            "figures are too high."
        )
    return facts


def _epochs(study: Study) -> str:
    """Describe how long the methods are trained."""
    ((kind, number),) = study.epochs.items()
    return {
        "updates": f"Updates: {number} of the optimiser for each method, in whole epochs, divided "
        "among the stages of a strategy.",
        "total": f"Epochs: {number} in total, divided among the stages of a strategy.",
        "per_stage": f"Epochs: {number} at most in each stage: a strategy of several stages is "
        "trained longer than one of a single stage.",
    }[kind]


def _limits(study: Study, results: Sequence[Result]) -> list[str]:
    """Describe what limits the comparison of the figures."""
    facts = []
    methods = study.methods
    if study.rows == "validated_stages":
        facts.append(
            "Figures are those of the training's own validation, on its slices: per slice is a "
            "mean over slices, pooled the ratio of the voxels of all slices together."
        )
    if mixes_units(study):
        facts.append(
            "Networks on volumes are evaluated on the slices of the test partition, as the others."
        )
    leaking = sorted({m.split for m in methods} & set(study.bundle.leaking))
    if leaking:
        facts.append(
            f"LEAK: with the split {', '.join(leaking)} one patient is in several partitions; its "
            "figures are too high, as this comparison is meant to show."
        )
    untested = sorted({m.split for m in methods} & set(study.bundle.untested))
    if untested:
        facts.append(
            f"The split {', '.join(untested)} has no test partition: its figures are of the "
            "validation partition, on which the best epoch was selected as well."
        )
    return facts + [
        f"{m.name} solves an easier task: it is given {position}."
        for m in methods
        if (position := given_position(m, lesion_word(study, results))) is not None
    ]


def draw(
    study: Study,
    cells: Sequence[Cell],
    rows: Rows,
    names: Sequence[str],
    folders: tuple[Workshop, Path],
) -> dict[str, str]:
    """Draw the pictures that have data; return title -> file name."""
    workshop, folder = folders
    heading = next(iter(study.figures))
    printed = study.paper.get("rows", {})
    paper = {name: row[heading] for name, row in printed.items() if heading in row}
    pictures = {}
    if names:
        draw_comparison(rows, names, heading, paper, folder / "comparison.png")
        pictures[f"{heading} of each row"] = "comparison.png"
    histories = {}
    for method in study.methods:
        own = [c for c in cells if c.method is method and c.training is not None]
        done = [training for c in own if (training := _history(c, workshop))]
        if done:
            histories[method.name] = done
    if histories:
        metric = study.bundle.data.metric
        draw_curves(histories, metric, folder / "curves.png")
        pictures["Loss and validation over the epochs, mean over seeds"] = "curves.png"
    evaluated = {name: results[0].folder for name, results in rows.items() if results[0].folder}
    if draw_same_slices(evaluated, folder / "same_slices.png"):
        pictures["The same slices, stage by stage"] = "same_slices.png"
    return pictures


def _history(cell: Cell, workshop: Workshop) -> list[dict[str, str]]:
    if cell.training is None or workshop.record(cell.training) is None:
        return []
    return read_table(cell.training.out(workshop.work) / "history.csv")


def csv_rows(study: Study, results: Sequence[Result]) -> list[dict[str, object]]:
    """Return one row per figure and result."""
    rows: list[dict[str, object]] = []
    for result in results:
        parameters = result.stages[-1]["total_parameters"] if result.stages else None
        for heading, name in study.figures.items():
            cases, value = result.values[heading], result.figure(heading)
            rows.append(
                {
                    "row": result.row,
                    "seed": result.seed,
                    "figure": heading,
                    "name": name,
                    "value": None if math.isnan(value) else value,
                    "cases": len(cases),
                    "patients": len({case.patient for case in cases}),
                    "epochs": len(result.history) or None,
                    "seconds": round(result.seconds, 2) if result.history else None,
                    "peak_mb": result.peak_mb,
                    "parameters": parameters,
                    "revision": result.revision,
                }
            )
    return rows


Parts = tuple[Sequence[Table], dict[str, str]]


def as_markdown(study: Study, facts: Sequence[str], missing: Sequence[str], parts: Parts) -> str:
    """Return the report as Markdown, with links to the pictures."""
    say = markdown_text
    lines = [f"# {say(study.title)}", "", say(study.question), ""]
    lines += ["Research only. Not for diagnosis.", "", *[f"- {say(fact)}" for fact in facts]]
    if missing:
        lines += ["", "## Missing", "", *[f"- {say(one)}" for one in missing]]
    for table in parts[0]:
        lines += ["", f"## {say(table.title)}", "", _line(table.headings)]
        lines.append(_line(["---"] * len(table.headings)))
        lines += [_line(row) for row in table.rows]
        lines += ["", *map(say, table.notes)]
    for title, name in parts[1].items():
        lines += ["", f"## {say(title)}", "", f"![{say(title)}]({name})"]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(markdown_text, cells)) + " |"
