"""The nodule list of LUNA16 (``annotations.csv``), read strictly and row by row."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.datasets.problems import Problem

COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
LIDC_ROOT = "1.3.6.1.4.1.14519.5.2.1.6279.6001."  # every LIDC-IDRI series uid starts with it
UID_NAMES = ("seriesuid", "series_uid", "SeriesInstanceUID", "uid")  # all of them are read
Finding = tuple[float, float, float, float]  # x, y, z, diameter in LPS mm
SAME_PLACE_MM = 1e-3  # rows nearer than this, of equal diameter, are one row written twice


@dataclass(frozen=True)
class Annotation:
    """One nodule: centre in LPS mm, diameter in mm, and its line in the file (header: 1)."""

    line: int
    series_uid: str
    centre_lps_mm: tuple[float, float, float]
    diameter_mm: float


@dataclass(frozen=True)
class KnownSeries:
    """The series uids that may be in a list of nodules.

    Args:
        on_disk: series whose scan is in the source.
        listed: series of ``seriesuids.csv``; None where that file is absent.
        all_subsets: whether the source has all ten subset folders. Where it has not, and no
            list, a uid of LIDC-IDRI's root is taken for one that was not downloaded.
    """

    on_disk: Collection[str]
    listed: Collection[str] | None = None
    all_subsets: bool = False

    def not_downloaded(self, uid: str) -> bool:
        """Whether a series that is not on disk is a real one that simply is elsewhere."""
        if self.listed is not None:
            return uid in self.listed
        return not self.all_subsets and uid.startswith(LIDC_ROOT)


@dataclass
class AnnotationTable:
    """Nodules of the series on disk, what was wrong, and what belongs to other subsets."""

    nodules: dict[str, list[Annotation]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    rows_not_downloaded: int = 0

    @property
    def count(self) -> int:
        """Number of usable nodules."""
        return sum(len(rows) for rows in self.nodules.values())


def read_annotations(path: str | Path, known: KnownSeries) -> AnnotationTable:
    """Read the list of nodules; a bad row is a :class:`Problem`, the others are used.

    A row whose centre or diameter cannot be used leaves its whole scan out: its label would be
    incomplete and a nodule would be trained as background. A row written twice does not.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is no CSV with the columns of :data:`COLUMNS`.
    """
    path = Path(path)
    table = AnnotationTable()
    for line, cells in read_rows(path, COLUMNS):
        uid = cells[0].strip()
        place = f"{path.name} row {line}"
        if len(cells) != len(COLUMNS):
            reason = f"must have {len(COLUMNS)} cells, has {len(cells)}: {','.join(cells)!r}"
            table.problems.append(Problem(uid, place, reason))
        elif uid not in known.on_disk and known.not_downloaded(uid):
            table.rows_not_downloaded += 1
        elif uid not in known.on_disk:
            reason = "unknown uid: neither a scan on disk nor in seriesuids.csv"
            table.problems.append(Problem(uid, place, reason))
        else:
            _add_nodule(table, place, line, cells)
    return table


def _add_nodule(table: AnnotationTable, place: str, line: int, cells: Sequence[str]) -> None:
    uid = cells[0].strip()
    try:
        x, y, z, diameter = numbers(cells[1:], COLUMNS[1:])
        if diameter <= 0:
            raise ValueError(f"diameter_mm must be above 0, got {diameter:g}")
    except ValueError as error:
        table.problems.append(Problem(uid, place, str(error)))
        return
    nodule = Annotation(line, uid, (x, y, z), diameter)
    others = table.nodules.setdefault(uid, [])
    for other in others:
        if _same(nodule, other):
            reason = f"duplicated row: the same nodule is in row {other.line}, which is used"
            table.problems.append(Problem(uid, place, reason, left_out=False))
            return
    others.append(nodule)


def _same(one: Annotation, other: Annotation) -> bool:
    apart = math.dist(one.centre_lps_mm, other.centre_lps_mm)
    return apart < SAME_PLACE_MM and abs(one.diameter_mm - other.diameter_mm) < SAME_PLACE_MM


def numbers(cells: Sequence[str], names: Sequence[str]) -> list[float]:
    """Turn cells into finite numbers.

    Raises:
        ValueError: naming the column and the cell that is no number, empty, NaN or infinite.

    Example:
        >>> numbers(["1.5", " -2"], ["coordX", "coordY"])
        [1.5, -2.0]
    """
    values = []
    for name, cell in zip(names, cells, strict=True):
        try:
            value = float(cell)
        except ValueError:
            raise ValueError(f"{name} must be a number, got {cell!r}") from None
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {cell.strip()}")
        values.append(value)
    return values


def read_rows(path: Path, columns: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Read a CSV with a header; the wanted columns in the wanted order, with line numbers.

    Rows of another length than the header come back as they are, for the caller to report.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it cannot be decoded or a column is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.name}: not found in {path.parent}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: must be a CSV file in UTF-8: {error}") from error
    header = [cell.strip() for cell in rows[0][1]] if rows else []
    header = ["seriesuid" if name in UID_NAMES else name for name in header]
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValueError(
            f"{path}: must have the columns {','.join(columns)}; {','.join(missing)} missing, "
            f"its first row is {','.join(header) or '(empty)'}"
        )
    order = [header.index(column) for column in columns]
    return [
        (line, [row[i] for i in order] if len(row) == len(header) else row)
        for line, row in rows[1:]
        if any(cell.strip() for cell in row)
    ]


def read_patients(path: str | Path) -> dict[str, str]:
    """Read which patient owns which series: a CSV with the columns ``seriesuid,patient_id``.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when a column is missing, a cell empty, or one series has two patients.
    """
    path = Path(path)
    patients: dict[str, str] = {}
    for line, cells in read_rows(path, ("seriesuid", "patient_id")):
        if len(cells) != 2 or not all(cell.strip() for cell in cells):
            raise ValueError(f"{path.name} row {line}: must be seriesuid,patient_id, got {cells}")
        uid, patient = (cell.strip() for cell in cells)
        if patients.setdefault(uid, patient) != patient:
            raise ValueError(
                f"{path.name} row {line}: series {uid} has two patients, "
                f"{patients[uid]} and {patient}"
            )
    return patients


def read_findings(path: str | Path, uids: Collection[str]) -> dict[str, list[Finding]]:
    """Read the measured findings of ``annotations_excluded.csv``: (x, y, z, diameter) in mm.

    These are nodules that fewer than three readers accepted: no truth, but no slice without a
    nodule either. Rows without a diameter (-1) and rows that cannot be read are passed over.
    """
    findings: dict[str, list[Finding]] = {}
    for _, cells in read_rows(Path(path), COLUMNS):
        if len(cells) != len(COLUMNS) or cells[0].strip() not in uids:
            continue
        try:
            x, y, z, diameter = numbers(cells[1:], COLUMNS[1:])
        except ValueError:
            continue
        if diameter > 0:
            findings.setdefault(cells[0].strip(), []).append((x, y, z, diameter))
    return findings
