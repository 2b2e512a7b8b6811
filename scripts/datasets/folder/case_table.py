"""Cases that a table lists: a CSV with the columns image, label[, patient, split]."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.datasets.folder.case_files import pair_paths
from scripts.datasets.problems import Problem
from scripts.datasets.shares import PARTITIONS
from scripts.running.reasons import one_line
from scripts.storage.csv_files import read_csv

COLUMNS = ("image", "label")
OPTIONAL_COLUMNS = ("patient", "split")
_SHORT_NAMES = {"train": "training", "val": "validation"}


@dataclass(frozen=True)
class Case:
    """One CT and its labels; ``patient`` and ``group`` (partition) if the source names them.

    ``series_uid`` is that of the image in a folder of DICOM files, if the labels refer to it.
    """

    id: str
    image: Path
    label: Path
    patient: str | None = None
    group: str | None = None
    series_uid: str | None = None


def csv_cases(table: Path) -> tuple[list[Case], list[Problem]]:
    """List the cases of a table; paths are relative to its folder.

    Raises:
        ValueError, OSError: for an invalid table.
    """
    folder = table.parent
    rows = rows_of(table, COLUMNS, OPTIONAL_COLUMNS)
    names = _unique_names([_located(folder, row["image"]) for row in rows.values()])
    cases: list[Case] = []
    problems: list[Problem] = []
    for (line, row), name in zip(rows.items(), names, strict=True):
        row_name = f"{table.name} row {line}"
        empty = [column for column, cell in row.items() if not cell]
        if empty:
            raise ValueError(f"{row_name}: {', '.join(empty)} must not be empty")
        group = partition_named(row["split"], row_name) if "split" in row else None
        image, label = (folder / _located(folder, row[key]) for key in COLUMNS)
        missing = [str(path) for path in (image, label) if not os.path.exists(path)]
        if missing:
            problems.append(Problem(name, row_name, f"missing files: {', '.join(missing)}"))
            continue
        try:
            found = pair_paths(image, label)
        except (OSError, ValueError) as error:
            problems.append(Problem(name, row_name, one_line(error)))
            continue
        paths = found.image, found.label
        cases.append(Case(name, *paths, row.get("patient"), group, found.series_uid))
    return cases, problems


def partition_named(cell: str, row_name: str) -> str:
    """Return the partition that a cell of a table names, also by its short name.

    Raises:
        ValueError: naming the row, for any other name.

    Example:
        >>> partition_named("Train", "meta.csv row 2")
        'training'
    """
    group = _SHORT_NAMES.get(cell.lower(), cell.lower())
    if group not in PARTITIONS:
        raise ValueError(f"{row_name}: split must be one of {', '.join(PARTITIONS)}, got {group!r}")
    return group


def _located(folder: Path, cell: str) -> Path:
    """Return the path that a cell means: with another system's separators or form of accents."""
    from scripts.volumes.formats.stored_voxels import spellings  # slow import, not for the help

    home = os.path.expanduser(cell)
    for name in (*spellings(home), *spellings(home.replace("\\", "/"))):
        if (folder / name).exists():
            return Path(name)
    return Path(cell)


def rows_of(
    table: Path, columns: Sequence[str], optional: Sequence[str]
) -> dict[int, dict[str, str]]:
    """Return line -> cells of each row of a table of cases.

    Raises:
        ValueError: for a row that is not one, naming table and line.
    """
    rows = {}
    for row in read_csv(table, columns, optional=optional):
        try:
            rows[row.line] = row.named()
        except ValueError as error:
            raise ValueError(f"{table} row {row.line}: {error}") from error
    return rows


def _unique_names(paths: Sequence[Path]) -> list[str]:
    """Name each image by its file, with as many parent folders as make all names different."""
    for depth in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        names = ["_".join([*path.parts[-depth:-1], stem_of(path)]).strip("/.") for path in paths]
        if len(set(names)) == len(set(paths)):  # one image in two rows is reported
            return names
    return [stem_of(path) for path in paths]


def stem_of(path: Path) -> str:
    """Return a file's name without the suffix of a volume file."""
    # slow import, not for the help
    from scripts.volumes.volume_files import SEGMENTATION_SUFFIX, VOLUME_SUFFIXES

    known = (*VOLUME_SUFFIXES, SEGMENTATION_SUFFIX)
    endings = [suffix for suffix in known if path.name.lower().endswith(suffix)]
    return path.name[: len(path.name) - len(max(endings, key=len, default=""))]
