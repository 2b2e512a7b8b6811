"""The nodule list of LUNA16 (``annotations.csv``) and its other tables, checked row by row."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from scripts.datasets.problems import Problem
from scripts.storage.csv_files import SERIES_UID, Row, read_csv

COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
LIDC_ROOT = "1.3.6.1.4.1.14519.5.2.1.6279.6001."  # every LIDC-IDRI series uid starts with it
UNMEASURED_MM = 10.0  # diameter that LUNA16's evaluation assumes for findings without one
SAME_PLACE_MM = 1e-3  # rows closer than this, with equal diameters, are duplicates


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
        listed: series of ``seriesuids.csv``; None if that file does not exist.
        all_subsets: whether the source has all ten subset folders. If it has not, and there is no
            list, a uid with LIDC-IDRI's root counts as not downloaded.
    """

    on_disk: Collection[str]
    listed: Collection[str] | None = None
    all_subsets: bool = False

    def not_downloaded(self, uid: str) -> bool:
        """Whether a series that is not on disk is a valid one that was not downloaded."""
        if self.listed is not None:
            return uid in self.listed
        return not self.all_subsets and uid.startswith(LIDC_ROOT)


@dataclass
class AnnotationTable:
    """Nodules of the series on disk, problems, and the number of rows of other subsets."""

    nodules: dict[str, list[Annotation]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    rows_not_downloaded: int = 0

    @property
    def count(self) -> int:
        """Number of usable nodules."""
        return sum(len(rows) for rows in self.nodules.values())


def read_annotations(path: str | Path, known: KnownSeries) -> AnnotationTable:
    """Read the list of nodules; an invalid row is a :class:`Problem`, the others are used.

    An invalid centre or diameter excludes the whole scan: its label would be incomplete, and a
    nodule would be trained as background. A duplicate row does not.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: when it is not a CSV with the columns of :data:`COLUMNS`.
    """
    path = Path(path)
    table = AnnotationTable()
    for row in read_csv(path, COLUMNS, synonyms=SERIES_UID):
        uid = row.get("seriesuid")
        if uid in known.on_disk:
            _add_nodule(table, f"{path.name} row {row.line}", row)
        elif known.not_downloaded(uid):
            table.rows_not_downloaded += 1
        else:
            reason = "unknown uid: neither a scan on disk nor in seriesuids.csv"
            table.problems.append(Problem(uid, f"{path.name} row {row.line}", reason))
    return table


def _add_nodule(table: AnnotationTable, place: str, row: Row) -> None:
    uid = row.get("seriesuid")
    try:
        x, y, z, diameter = row.numbers(COLUMNS[1:])
        if diameter <= 0:
            raise ValueError(f"diameter_mm must be above 0, got {diameter:g}")
    except ValueError as error:
        table.problems.append(Problem(uid, place, str(error)))
        return
    nodule = Annotation(row.line, uid, (x, y, z), diameter)
    others = table.nodules.setdefault(uid, [])
    for other in others:
        if _same(nodule, other):
            reason = f"duplicate row: the same nodule is in row {other.line}, which is used"
            table.problems.append(Problem(uid, place, reason, left_out=False))
            return
    others.append(nodule)


def _same(one: Annotation, other: Annotation) -> bool:
    distance_mm = math.dist(one.centre_lps_mm, other.centre_lps_mm)
    difference_mm = abs(one.diameter_mm - other.diameter_mm)
    return distance_mm < SAME_PLACE_MM and difference_mm < SAME_PLACE_MM


def read_patients(path: str | Path) -> dict[str, str]:
    """Read the patient of each series from a CSV with the columns ``seriesuid,patient_id``.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: for a missing column, an empty cell, or a series with two patients.
    """
    path = Path(path)
    patients: dict[str, str] = {}
    for row in read_csv(path, ("seriesuid", "patient_id"), synonyms=SERIES_UID):
        uid, patient = row.get("seriesuid"), row.get("patient_id")
        if len(row.cells) != len(row.header) or not uid or not patient:
            raise ValueError(
                f"{path.name} row {row.line}: must be seriesuid,patient_id, got {list(row.cells)}"
            )
        if patients.setdefault(uid, patient) != patient:
            raise ValueError(
                f"{path.name} row {row.line}: series {uid} has two patients, "
                f"{patients[uid]} and {patient}"
            )
    return patients


@dataclass(frozen=True)
class Finding:
    """One excluded finding: centre in LPS mm, and diameter in mm; None if it was not measured.

    These are findings that fewer than three readers accepted as nodules: neither reference nodules,
    nor false positives, nor on slices that may be used as slices without a nodule.
    """

    centre_lps_mm: tuple[float, float, float]
    diameter_mm: float | None

    @property
    def point(self) -> tuple[float, float, float, float]:
        """Centre and diameter; an unmeasured finding has :data:`UNMEASURED_MM`."""
        return (*self.centre_lps_mm, self.diameter_mm or UNMEASURED_MM)


@dataclass
class FindingTable:
    """Excluded findings of the series on disk, and problems."""

    findings: dict[str, list[Finding]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_findings(path: str | Path, uids: Collection[str]) -> FindingTable:
    """Read ``annotations_excluded.csv``; what cannot be read is a :class:`Problem`.

    Args:
        path: the file; it need not exist.
        uids: the series whose findings are wanted.
    """
    path, table = Path(path), FindingTable()
    if not path.is_file():
        return table
    try:
        rows = read_csv(path, COLUMNS, synonyms=SERIES_UID)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        table.problems.append(Problem("", path.name, f"not used: {reason}", left_out=False))
        return table
    for row in rows:
        uid = row.get("seriesuid")
        if uid not in uids:
            continue
        try:
            x, y, z, diameter = row.numbers(COLUMNS[1:])
        except ValueError as error:
            place = f"{path.name} row {row.line}"
            table.problems.append(Problem(uid, place, str(error), left_out=False))
            continue
        finding = Finding((x, y, z), diameter if diameter > 0 else None)
        table.findings.setdefault(uid, []).append(finding)
    return table
