"""A report as one page in the look of all pages: facts, sortable tables, pictures, definitions."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from scripts.pages.page_template import render_page


class Row(NamedTuple):
    """One term with its descriptions; none if it is not stated."""

    term: str
    values: Sequence[str]
    code: bool = False


class Sheet(Protocol):
    """A table: the text above it, headings, cells as shown, and notes below it."""

    @property
    def title(self) -> str:
        """The text above it."""

    @property
    def headings(self) -> Sequence[str]:
        """Headings of the columns."""

    @property
    def rows(self) -> Sequence[Sequence[str]]:
        """Cells, as shown."""

    @property
    def notes(self) -> Sequence[str]:
        """Texts below it."""


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
        holes: what is missing, and why.
        sheets: tables.
        pictures: title -> file in PNG format.
        descriptions: title -> terms with their descriptions.
    """

    title: str
    headline: str = ""
    warnings: Sequence[str] = ()
    facts: Sequence[str] = ()
    holes: Sequence[str] = ()
    sheets: Sequence[Sheet] = ()
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
        holes=report.holes,
        sheets=report.sheets,
        pictures={
            title: base64.b64encode(file.read_bytes()).decode()
            for title, file in report.pictures.items()
        },
        descriptions_of=report.descriptions,
    )
