"""Texts from data in tables and pages, so that no program takes them for formulas or markup.

Names of files, classes and patients come from others. HTML is escaped by ``html.escape`` and
jinja2.
"""

from __future__ import annotations

import re

# how a cell begins that a spreadsheet may calculate, in ASCII and in full width, quoted or not
_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_MARKUP = re.compile(r"([\\`*\[\]|])")


def spreadsheet_cell(value: object) -> object:
    """Quote a text that a spreadsheet would calculate; numbers stay as they are.

    Example:
        >>> [spreadsheet_cell(value) for value in ("=1+1", "-3.2", -3.2, "-", "liver")]
        ["'=1+1", '-3.2', -3.2, "'-", 'liver']
    """
    if not isinstance(value, str) or _NUMBER.fullmatch(value) or not _FORMULA.match(value):
        return value
    return f"'{value}"


def cell_text(cell: str) -> str:
    """Return the text of which :func:`spreadsheet_cell` made a cell.

    Example:
        >>> cell_text("'=1+1"), cell_text("'quoted'")
        ('=1+1', "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def markdown_text(text: str) -> str:
    """Escape a text for one line of Markdown, which may contain HTML.

    Example:
        >>> print(markdown_text("<script> a|b [x](y)"))
        &lt;script&gt; a\\|b \\[x\\](y)
    """
    line = " ".join(text.split())
    plain = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", plain)
