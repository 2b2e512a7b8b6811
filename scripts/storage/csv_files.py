"""CSV files that others wrote: a header with named columns, rows with their line numbers.

Cells may be separated by commas, by semicolons (Excel, where the comma is the decimal mark) or by
tabulators, in UTF-8 or UTF-16.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# other names, in tables of series, of the column seriesuid
SERIES_UID = dict.fromkeys(("series_uid", "SeriesInstanceUID", "uid"), "seriesuid")


@dataclass(frozen=True)
class Row:
    """One row of a CSV file.

    Attributes:
        line: its line in the file; the header is line 1.
        header: the names of the columns.
        cells: its cells, without white space around them; their number may be wrong.
        decimal_comma: whether numbers may have a comma as decimal mark.
    """

    line: int
    header: tuple[str, ...]
    cells: tuple[str, ...]
    decimal_comma: bool = False

    def get(self, column: str) -> str:
        """Return the cell of a column; empty where the row ends before it."""
        return dict(zip(self.header, self.cells, strict=False)).get(column, "")

    def named(self) -> dict[str, str]:
        """Return column -> cell.

        Raises:
            ValueError: for a row with more or fewer cells than the header.

        Example:
            >>> Row(2, ("file", "patient"), ("a.nii", "P1")).named()
            {'file': 'a.nii', 'patient': 'P1'}
        """
        if len(self.cells) != len(self.header):
            row = ",".join(self.cells)
            raise ValueError(f"must have {len(self.header)} cells, got {len(self.cells)}: {row!r}")
        return dict(zip(self.header, self.cells, strict=True))

    def numbers(self, columns: Sequence[str]) -> list[float]:
        """Return the cells of some columns as finite numbers.

        Raises:
            ValueError: naming the column and the cell that is not a number, empty, NaN or infinite;
                for a row of another length than the header.

        Example:
            >>> Row(2, ("name", "x", "y"), ("a", "1.5", "-2")).numbers(["x", "y"])
            [1.5, -2.0]
        """
        cells, values = self.named(), []
        for name in columns:
            try:
                value = float(self._with_point(cells[name]))
            except ValueError:
                raise ValueError(f"{name} must be a number, got {cells[name]!r}") from None
            if not math.isfinite(value):
                raise ValueError(f"{name} must be finite, got {cells[name]}")
            values.append(value)
        return values

    def _with_point(self, cell: str) -> str:
        mark = self.decimal_comma and cell.count(",") == 1 and "." not in cell
        return cell.replace(",", ".") if mark else cell


def read_csv(
    path: Path,
    columns: Sequence[str],
    *,
    optional: Sequence[str] | None = None,
    synonyms: Mapping[str, str] | None = None,
) -> list[Row]:
    """Read the rows of a CSV file that are not blank.

    Args:
        path: the file, in UTF-8 with or without byte order mark, or UTF-16 with one.
        columns: columns that it must have, in any order and any case.
        optional: the only further columns that it may have; None for any.
        synonyms: other name of a column -> its name here.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when it cannot be decoded, or has not these columns.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.name}: not found in {path.parent}")
    own = {name.casefold(): name for name in (*columns, *(optional or ()))}
    try:
        text = _decoded(path.read_bytes())
        separator = _separator(text, {*own, *_folded(synonyms or {})})
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        lines = [(reader.line_num, tuple(cell.strip() for cell in row)) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: must be a CSV file in UTF-8: {error}") from error
    header = lines[0][1] if lines else ()
    width = len(header)
    while width and not header[width - 1]:  # a spreadsheet's empty columns
        width -= 1
    empty = len(header) - width
    header = tuple(own.get(name.casefold(), name) for name in header[:width])
    also = {name: own for name, own in (synonyms or {}).items() if own not in header}
    header = tuple(also.get(name, name) for name in header)
    _check_header(path, header, columns, optional)
    return [
        Row(line, header, _without_last(cells, empty), separator == ";")
        for line, cells in lines[1:]
        if any(cells)
    ]


def _folded(names: Iterable[str]) -> set[str]:
    return {name.casefold() for name in names}


def _decoded(content: bytes) -> str:
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if wide else "utf-8-sig")


def _separator(text: str, names: Collection[str]) -> str:
    """Return the character that separates most of some columns' names in the first line."""
    first = text.partition("\n")[0]
    counts = {
        mark: len(_folded(cell.strip(' "\r') for cell in first.split(mark)) & {*names})
        for mark in (",", ";", "\t")
    }
    return max(counts, key=lambda mark: counts[mark])


def _without_last(cells: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Leave out the last cells of a row, if they are empty."""
    return cells[:-count] if count and not any(cells[-count:]) else cells


def _check_header(
    path: Path, header: Sequence[str], columns: Sequence[str], optional: Sequence[str] | None
) -> None:
    missing = [column for column in columns if column not in header]
    excess = [] if optional is None else sorted(set(header) - {*columns, *optional})
    twice = sorted({name for name in header if header.count(name) > 1 and name in columns})
    lists = (("missing", missing), ("not known", excess), ("there twice", twice))
    wrong = [f"{', '.join(names)} {what}" for what, names in lists if names]
    if wrong:
        may = f", and may have {', '.join(optional)}" if optional else ""
        raise ValueError(
            f"{path}: must have the columns {', '.join(columns)}{may}; {wrong[0]}; "
            f"its first row is {','.join(header) or '(empty)'}"
        )
