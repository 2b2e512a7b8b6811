"""``python -m scripts prepare ircadb``: from 3D-IRCADb-01 as downloaded to slices that train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from scripts.bundle.record import provenance
from scripts.datasets.ircadb.audit import (
    COLUMNS,
    PatientAudit,
    audit_patient,
    audit_rows,
    audit_table,
)
from scripts.datasets.ircadb.options import PatientOptions, SplitOptions, WindowOptions
from scripts.datasets.ircadb.patient_samples import (
    PatientOutcome,
    PatientTask,
    find_prepared,
    prepare_patient,
)
from scripts.datasets.ircadb.patients import Download, find_patients, natural_key
from scripts.datasets.ircadb.problems import Problem
from scripts.datasets.ircadb.report import Report, summary, write_report
from scripts.datasets.ircadb.sections import PreparedPatient, divide, training_mean, volume_lists
from scripts.datasets.ircadb.splits import assign_folds, assign_patients
from scripts.datasets.ircadb.structures import class_names
from scripts.datasets.shares import SECTIONS
from scripts.storage.files import write_csv, write_json
from scripts.storage.options import check_whole, cores, read_truth
from scripts.storage.output_folder import claim_output, portable_path
from scripts.storage.workers import work_through


def prepare(
    source: str,
    output: str | None = None,
    *,
    audit: bool = False,
    tumour: bool = False,
    split: str = "patient",
    folds: int = 5,
    test_fold: int = 0,
    block: int = 10,
    seed: int = 0,
    slices: str = "all",
    every: int = 1,
    neighbours: int = 1,
    window_hu: tuple[float, float] = (-150, 250),
    jobs: int | None = None,
    volumes: bool = True,
) -> None:
    """Prepare 3D-IRCADb-01 for training: slices as arrays, class maps, splits, one datalist.

    Writes OUTPUT/datalist.json, scans/, volumes/, report.json and report.csv. Labels: 0
    background, 1 liver (with its tumours and cysts), 2 bone, 3 kidney; an organ that a patient's
    folders do not outline is unknown there and not in its known_classes. A patient that cannot be
    used is reported and left out, the others go on, and the exit code is 1. Interrupted, the same
    command goes on where it stopped.

    Args:
        source: the download as it comes: folder or zip, of all patients or of some.
        output: folder to write; for an audit, where audit.csv goes if anywhere.
        audit: only print the table patient x structure: voxels, mL, mean HU.
        tumour: a fifth class, 4, for liver tumours.
        split: patient (8:1:1), fold (k folds by patient), slice_random (the paper's; leaks
            patients) or slice_block (blocks of slices; for trying on one patient, measures no
            generalisation).
        folds: for fold: how many.
        test_fold: for fold: this one tests, the next validates.
        block: for slice_block: slices in a block.
        seed: of the split.
        slices: all, or organ for those that show liver or kidney.
        every: of those, each n-th.
        neighbours: slices on either side of each, for 2.5D input.
        window_hu: window in HU for the mean of the training images.
        jobs: patients at once; by default one per core.
        volumes: write whole volumes as NIfTI too, and list them.

    Raises:
        ValueError: for an option that is wrong or does not suit the data.
        OSError: when no patient is in the source, or the output cannot be written.
        SystemExit: 1 when a patient or file could not be used, or only with a doubt.
    """
    workers = cores() if jobs is None else jobs
    check_whole("jobs", workers, 1)
    if read_truth("audit", audit):
        problems = run_audit(str(source), output, jobs=workers)
    else:
        if output is None:
            raise ValueError("output: must name a folder to write, got nothing (or ask --audit)")
        request = Request(
            Path(str(source)),
            Path(str(output)),
            PatientOptions(
                read_truth("tumour", tumour),
                slices,
                every,
                neighbours,
                read_truth("volumes", volumes),
            ),
            SplitOptions(split, seed, folds, test_fold, block),
            _window(window_hu),
            workers,
        )
        report = prepare_cohort(request)
        print(summary(report))
        problems = list(report.problems)
    if problems:
        raise SystemExit(1)


def _window(window_hu: object) -> WindowOptions:
    pair = window_hu if isinstance(window_hu, (tuple, list)) else ()
    if len(pair) != 2 or not all(isinstance(bound, (int, float)) for bound in pair):
        raise ValueError(f"window_hu: must be two numbers like [-150,250], got {window_hu!r}")
    return WindowOptions(float(pair[0]), float(pair[1]))


@dataclass(frozen=True)
class Request:
    """One preparation: see :func:`prepare` for the meaning of each part."""

    source: Path
    output: Path
    options: PatientOptions = field(default_factory=PatientOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    window: WindowOptions = field(default_factory=WindowOptions)
    jobs: int = 1


def run_audit(source: str, output: str | None = None, *, jobs: int = 1) -> list[Problem]:
    """Print what lies in a download, and write ``audit.csv`` where an output is named.

    Returns:
        What could not be used, or only with a doubt.

    Raises:
        ValueError, OSError: see :func:`prepare`.
    """
    download = find_patients(source)
    refused = PatientAudit("", problems=tuple(_refused(download)))
    audits = list(
        tqdm(
            work_through(audit_patient, download.patients, jobs),
            total=len(download.patients),
            unit="patient",
            desc="audit",
            dynamic_ncols=True,
        )
    )
    audits = [refused, *sorted(audits, key=lambda audit: natural_key(audit.patient_id))]
    print(audit_table(audits))
    if output is not None:
        claim_output(Path(str(output)))
        write_csv(Path(str(output)) / "audit.csv", audit_rows(audits), columns=COLUMNS)
    return [problem for one in audits for problem in one.problems]


def _refused(download: Download) -> list[Problem]:
    return [Problem("", reason) for reason in download.refused]


def prepare_cohort(request: Request) -> Report:
    """Prepare a download and write datalist and report.

    Raises:
        ValueError: when the options do not suit the data, or no patient could be used.
        OSError: when no patient is in the source, or the output cannot be written.
    """
    download = find_patients(request.source)
    _check_split_early([patient.name for patient in download.patients], request.split)
    claim_output(request.output)
    tasks = [PatientTask(p, request.output, request.options) for p in download.patients]
    outcomes = _work(tasks, request.jobs)
    problems = _refused(download)
    prepared = []
    for outcome in outcomes:
        if outcome.problem is not None:
            problems.append(outcome.problem)
        if outcome.record is not None:
            doubts = outcome.record["doubts"]
            problems += [Problem(outcome.patient_id, doubt, left_out=False) for doubt in doubts]
            prepared.append(PreparedPatient(outcome.patient_id, outcome.record))
    if not prepared:
        reasons = "; ".join(map(str, problems[:3]))
        raise ValueError(f"source: none of the {len(tasks)} patients can be used: {reasons}")
    lists = divide(prepared, request.options, request.split)
    report = Report(
        request.output,
        [patient.name for patient in download.patients],
        prepared,
        sum(outcome.reused for outcome in outcomes),
        problems,
        lists,
        training_mean(lists["training"], request.output, request.window),
        request.options,
        request.split,
    )
    write_json(request.output / "datalist.json", datalist(report, request))
    write_report(report)
    return report


def _check_split_early(names: Sequence[str], split: SplitOptions) -> None:
    """Refuse, before any patient is read, a split that so many cannot give."""
    if split.kind == "patient":
        assign_patients(dict.fromkeys(names, True))
    if split.kind == "fold":
        assign_folds(names, folds=split.folds)


def _work(tasks: Sequence[PatientTask], jobs: int) -> list[PatientOutcome]:
    found = [(task, find_prepared(task)) for task in tasks]
    outcomes = [outcome for _, outcome in found if outcome is not None]
    remaining = [task for task, outcome in found if outcome is None]
    with tqdm(total=len(remaining), unit="patient", desc="prepare", dynamic_ncols=True) as progress:
        for outcome in work_through(prepare_patient, remaining, jobs):
            progress.update()
            if outcome.problem is not None:
                progress.write(f"  {outcome.problem}")
            outcomes.append(outcome)
    return sorted(outcomes, key=lambda outcome: natural_key(outcome.patient_id))


def datalist(report: Report, request: Request) -> dict[str, Any]:
    """Return the datalist: samples, volumes, classes, mean, and how to make it again."""
    options = request.options
    record: dict[str, Any] = {"name": "ircadb"}
    record |= {section: report.lists[section] for section in SECTIONS}
    if options.volumes:
        record["volumes"] = volume_lists(report.lists, report.prepared, options)
    record["classes"] = dict(enumerate(class_names(tumour=options.tumour)))
    record["training_mean"] = report.mean
    record["provenance"] = provenance(
        source=portable_path(request.source, request.output),
        **options.record(),
        split=request.split.record(),
        seed=request.split.seed,
        patients=len(report.prepared),
        patients_left_out=report.left_out,
    )
    return record


__all__ = ["Problem", "Request", "prepare", "prepare_cohort", "run_audit"]
