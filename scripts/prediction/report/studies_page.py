"""index.html: the results of several CTs on one page, each with a link to its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scripts.pages.report_page import Link, Report, Table, report_page
from scripts.prediction.report.appearance import headline
from scripts.prediction.report.page_text import DASH, confidence_text, number
from scripts.prediction.study_task import FAILED, Outcome
from scripts.storage.files import read_json, write_text

FILE = "index.html"
HEADINGS = (
    *("Study", "Status", "Findings", "Lesions", "Longest diameter, mm"),
    *("Highest confidence", "Warnings"),
)


def write_studies_page(
    output: Path,
    outcomes: Sequence[Outcome],
    *,
    refused: Sequence[str] = (),
    skipped: Mapping[str, int] | None = None,
) -> None:
    """Write the page of several studies; of fewer than two there is none.

    It contains no patient data and no path; links lead to the pages of the studies beside it. The
    same results give the same bytes, whether they were predicted now or by an earlier run.

    Args:
        output: folder of all results.
        outcomes: of the studies.
        refused: why each refused file was refused.
        skipped: number of files that are not CTs, by reason.

    Raises:
        OSError: when the page cannot be written.
    """
    if len(outcomes) < 2:
        (output / FILE).unlink(missing_ok=True)
        return
    done = [outcome for outcome in outcomes if outcome.status != FAILED]
    failed = [f"{one.study}: {one.reason}" for one in outcomes if one.status == FAILED]
    facts = [f"Skipped: {count} files, {reason}." for reason, count in (skipped or {}).items()]
    notes = [
        "Select a study to open its page; a heading sorts. Confidence is not a risk of disease."
    ]
    page = Report(
        f"Results of {len(outcomes)} CTs",
        f"{len(done)} done, {len(failed)} failed, {len(refused)} refused",
        facts=facts,
        missing=[*failed, *(f"Refused: {reason}" for reason in refused)],
        tables=[Table("Studies", HEADINGS, [_row(output, one) for one in outcomes], notes)],
    )
    write_text(output / FILE, report_page(page))


def _row(output: Path, outcome: Outcome) -> list[str]:
    study: str = outcome.study
    if outcome.status == FAILED:
        return [study, FAILED, *[DASH] * (len(HEADINGS) - 2)]
    if (output / study / "report.html").is_file():
        study = Link(study, f"{quote(study)}/report.html")
    warnings = "; ".join(outcome.warnings) or DASH
    return [study, "done", *_findings(output / outcome.study, outcome), warnings]


def _findings(folder: Path, outcome: Outcome) -> list[str]:
    """Summarise the statistics of a study; of one without them only the number of segments."""
    file = folder / "statistics.json"
    if not file.is_file():
        return [f"{outcome.segments} segments", *[DASH] * 3]
    statistics: dict[str, Any] = read_json(file)
    lesions = statistics["lesions"]
    lengths = [one["longest_axial_diameter_mm"] for one in lesions]
    sure = [one["probability"] for one in lesions if one["probability"] is not None]
    return [
        headline(statistics),
        str(len(lesions)),
        number(max(lengths), 1) if lengths else DASH,
        confidence_text(max(sure)) if sure else DASH,
    ]
