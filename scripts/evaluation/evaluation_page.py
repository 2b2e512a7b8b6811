"""report.html of an evaluation: its figures, tables and pictures on one page."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scripts.pages.report_page import Report, Row, Table, report_page
from scripts.storage.files import read_json, write_text
from scripts.storage.texts import cell_text

FILE = "report.html"
SUMMARY = "summary.json"
LONG_LISTS = ("candidates", "per_slice")  # tables that are for programs
MOST_ROWS = 500
DECIMALS = 4
_TITLES = {
    "per_nodule": "Each nodule",
    "per_class": "Each class of each series",
    "per_volume": "Each series",
    "confusion": "Confusion matrix, voxels",
    "froc": "FROC: sensitivity by false positives per scan",
    "overlays": "Slices: CT, annotation and prediction",
    "pictures": "Slices: CT, annotation and prediction",
}
_HIDDEN = ("datalist",)  # a path, which may name a patient


def write_evaluation_page(folder: Path) -> None:
    """Write report.html from the files of an evaluation's folder, whole or not at all.

    It has the figures of ``summary.json``, the CSV tables but the long lists of candidates and
    slices, and all pictures; tables of more than 500 rows are cut, and say so. It is written again
    when another file of the folder is.

    Args:
        folder: of the evaluation.

    Raises:
        ValueError: for a summary that is no JSON object.
        OSError: when a file cannot be read or written.
    """
    summary = read_json(folder / SUMMARY)
    data = summary["data"]
    tables = [file for file in sorted(folder.glob("*.csv")) if file.stem not in LONG_LISTS]
    pictures = {_title(file): file for file in sorted(folder.glob("*.png"))}
    report = Report(
        f"Evaluation: {data.get('data_set', 'cases')}, {data['section']}",
        str(summary.get("headline", "")),
        warnings=summary.get("warnings", ()),
        facts=[*summary.get("remarks", ()), *_facts(summary["counts"])],
        tables=[_figures(summary["figures"]), *map(_table, tables)],
        pictures=pictures,
        descriptions={
            "Definitions": [Row(key, [text]) for key, text in summary["definitions"].items()],
            "How it was made": [
                *_descriptions("settings", summary["settings"]),
                *_descriptions("data", data),
                *_descriptions("software", summary["provenance"]["versions"]),
            ],
        },
    )
    write_text(folder / FILE, report_page(report))


def _facts(counts: Mapping[str, Any]) -> list[str]:
    """List the counts that are not zero, in one line."""
    parts = [f"{name.replace('_', ' ')} {number}" for name, number in counts.items() if number]
    return [f"Counts: {', '.join(parts)}."] if parts else []


def _figures(figures: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = []
    for name, one in figures.items():
        low, high = one.get("interval_95") or (None, None)
        interval = f"{_shown(low)} to {_shown(high)}" if low is not None else "-"
        counts = [_shown(one.get(key)) for key in ("n", "patients", "undefined")]
        rows.append([name, _shown(one.get("value")), interval, *counts])
    headings = ["figure", "value", "95 % interval", "n", "patients", "undefined"]
    notes = ["Interval: bootstrap over patients. A figure without a value is shown as -."]
    return Table("Figures", headings, rows, notes)


def _table(file: Path) -> Table:
    with file.open(newline="", encoding="utf-8") as opened:
        headings, *rows = csv.reader(opened)
    cells = [[_cell(text) for text in row] for row in rows[:MOST_ROWS]]
    cut = [f"{MOST_ROWS} of {len(rows):,} rows; {file.name} has all."] * (len(rows) > MOST_ROWS)
    return Table(_title(file), headings, cells, cut)


def _title(file: Path) -> str:
    return _TITLES.get(file.stem, file.stem.replace("_", " ").capitalize())


def _cell(text: str) -> str:
    """Return a cell of a CSV file as it is shown: numbers rounded."""
    try:
        number = float(text)
    except ValueError:
        return cell_text(text) or "-"
    return text if text.lstrip("-").isdigit() else _shown(number)


def _shown(value: object) -> str:
    """Return a number as it is shown.

    Example:
        >>> _shown(0.123456), _shown(12), _shown(None)
        ('0.1235', '12', '-')
    """
    if value is None:
        return "-"
    return f"{value:.{DECIMALS}f}" if isinstance(value, float) else str(value)


def _descriptions(kind: str, entries: Mapping[str, Any]) -> Iterator[Row]:
    for key, value in entries.items():
        if key not in _HIDDEN and value is not None:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield Row(f"{kind}: {key.replace('_', ' ')}", [text])
