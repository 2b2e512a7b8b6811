"""A report as one page in the look of all pages: facts, sortable tables, pictures, definitions."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from scripts.pages.page_template import render_page


class Row(NamedTuple):
    """One term with its descriptions; none if it is not stated."""

    term: str
    values: Sequence[str]
    code: bool = False


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
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


class Link(str):
    """A cell that leads to a file in the page's folder."""

    def __new__(cls, text: str, address: str) -> Link:
        """Make one.

        Args:
            text: of the cell.
            address: relative to the page, quoted as a URL.
        """
        made = super().__new__(cls, text)
        made.address = address
        return made

    address: str


@dataclass(frozen=True)
class Report:
    """The content of a report.

    Attributes:
        title: above it.
        headline: what it is about, in a sentence.
        warnings: what a reader should know first.
        facts: what the figures are based on.
        missing: what is missing, and why.
        tables: sortable ones.
        pictures: title -> file in PNG format.
        descriptions: title -> terms with their descriptions.
    """

    title: str
    headline: str = ""
    warnings: Sequence[str] = ()
    facts: Sequence[str] = ()
    missing: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Mapping[str, Path] = field(default_factory=dict)
    descriptions: Mapping[str, Sequence[Row]] = field(default_factory=dict)


def report_page(report: Report) -> str:
    """Return a report as HTML that opens from disk: pictures are part of it.

    Raises:
        OSError: when a picture cannot be read.
    """
    return render_page(
        "report.html",
        title=report.title,
        headline=report.headline,
        warnings=report.warnings,
        facts=report.facts,
        missing=report.missing,
        tables=report.tables,
        pictures={
            title: base64.b64encode(file.read_bytes()).decode()
            for title, file in report.pictures.items()
        },
        descriptions_of=report.descriptions,
    )
