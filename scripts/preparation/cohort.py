"""Preparation of a cohort: from the scans of a data set to prepared slices and a datalist."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.bundle.record import OF_PROCESS, provenance
from scripts.datasets.contract import DataSet, Listing, Scan
from scripts.datasets.problems import Problem
from scripts.datasets.shares import PARTITIONS
from scripts.preparation.cases import CaseOutcome, CaseTask, find_prepared, lost_case, prepare_case
from scripts.preparation.cohort_report import Report, write_report
from scripts.preparation.partitions import (
    check_split_early,
    divide,
    keeps_scans_whole,
    volume_lists,
)
from scripts.preparation.prepare_options import SliceOptions, SplitOptions
from scripts.preparation.same_patients import join_patients
from scripts.preparation.samples import PreparedScan, choose_samples, mean_of_images
from scripts.preparation.slices import empty_quotas, expected_slices
from scripts.preparation.splits import ONE_PARTITION
from scripts.running.options import check_whole, cores
from scripts.running.progress import Progress
from scripts.running.reasons import listed_reasons
from scripts.running.workers import work_through
from scripts.storage.files import read_json, write_json
from scripts.storage.locks import claimed
from scripts.storage.output_folder import portable_path

SCANS_PER_PROCESS = 8  # a process takes as long to start as several scans to prepare


@dataclass(frozen=True)
class Request:
    """The options of one preparation.

    Args:
        data_set: the data set with its options.
        source: folder that holds the scans.
        output: folder to write.
        slices: which slices become samples.
        split: how the cohort is divided.
        window_hu: display window, written into the datalist; None for the data set's default.
        jobs: number of scans prepared in parallel; None for a number that suits the scans.
        volumes: whether to write whole volumes too, and to list them if the split keeps scans
            whole: otherwise a volume would be in several partitions.
        check_hu: refuse images whose values cannot be HU.
    """

    data_set: DataSet
    source: Path
    output: Path
    slices: SliceOptions
    split: SplitOptions = field(default_factory=SplitOptions)
    window_hu: tuple[float, float] | None = None
    jobs: int | None = 1
    volumes: bool = True
    check_hu: bool = True

    @property
    def window(self) -> tuple[float, float]:
        """Display window, lower and upper bound in HU."""
        return self.window_hu or self.data_set.window_hu

    def check(self) -> None:
        """Refuse options that do not fit each other or the data set.

        Raises:
            ValueError: naming the option.
        """
        data_set, slices = self.data_set, self.slices
        slices.check(data_set.kind)
        self.split.check(data_set)
        if self.jobs is not None:
            check_whole("jobs", self.jobs, 1)
        if (data_set.kind, self.split.kind, slices.which) == (
            "instances",
            "slice_block",
            "central",
        ):
            raise ValueError("slices: must be all for --split slice_block, got 'central'")
        values = list(data_set.classes())
        if values != list(range(len(values))):
            raise ValueError(f"classes: values must be 0, 1, 2 and so on, got {values}")


def prepare_cohort(request: Request) -> Report:
    """Prepare the scans of a source and write datalist and report.

    Raises:
        ValueError: when the options do not fit the data, or no scan could be used.
        OSError: for a source in another layout, or an output that cannot be written.
    """
    data_set, split = request.data_set.at(request.source), request.split
    request = replace(request, data_set=data_set)
    request.check()
    listing = data_set.find(request.source)
    tasks = plan(listing, request)
    try:
        check_split_early(listing.scans, data_set, split)
    except ValueError as error:
        raise _with_reasons(error, listing.problems) from error
    _refuse_other_data(request)
    with claimed(request.output):
        return _prepare(listing, tasks, request)


def _prepare(listing: Listing, tasks: Sequence[CaseTask], request: Request) -> Report:
    data_set, split = request.data_set, request.split
    outcomes = {outcome.scan_id: outcome for outcome in prepare_all(tasks, request.jobs)}
    ordered = [(task, outcomes[task.scan.id]) for task in tasks]
    prepared = [
        PreparedScan(task.scan, outcome.record, task.empty_wanted)
        for task, outcome in ordered
        if outcome.record is not None
    ]
    prepared, joined = join_patients(prepared)
    problems = [*listing.problems, *(p for _, outcome in ordered for p in _problems(outcome))]
    problems += joined
    if not prepared:
        reasons = listed_reasons(problems) or "it holds none"
        count = len(listing.scans)
        raise ValueError(f"source: none of the {count} scans can be used: {reasons}")
    slices = request.slices
    samples, empty_wanted = choose_samples(prepared, data_set, slices)
    try:
        lists = divide(samples, prepared, data_set, split, slices)
    except ValueError as error:
        raise _with_reasons(error, problems, joined) from error
    no_mean = data_set.kind == "instances" or split.kind in ONE_PARTITION
    mean = {} if no_mean else mean_of_images(lists["training"], request.output, request.window)
    reused = sum(outcome.reused for outcome in outcomes.values())
    report = Report(
        *(request.output, data_set, split, listing, prepared, problems, lists),
        *(reused, empty_wanted, mean),
    )
    _write_datalist(report, request)
    write_report(report)
    return report


def _write_datalist(report: Report, request: Request) -> None:
    """Write the datalist, unless nothing was prepared anew and the present one says the same.

    Results are known by the hash of their datalist, so that a new time alone would make them those
    of other data.
    """
    file, content = request.output / "datalist.json", datalist(report, request)
    if report.reused == len(report.prepared) and file.is_file():
        with suppress(ValueError):  # a damaged datalist is written again
            if _without_process(read_json(file)) == _without_process(content):
                return
    write_json(file, content)


def _without_process(content: dict[str, Any]) -> dict[str, Any]:
    """Return a datalist as JSON holds it, without what its provenance says of the process."""
    read: dict[str, Any] = json.loads(json.dumps(content))
    for name in OF_PROCESS:
        read.get("provenance", {}).pop(name, None)
    return read


def _with_reasons(
    error: ValueError, problems: Sequence[Problem], joined: Sequence[Problem] = ()
) -> ValueError:
    """Add to an error about too few scans or patients why some of them are not used or joined."""
    text = str(error)
    left_out = [problem for problem in problems if problem.left_out]
    for what, reasons in (("not used", left_out), ("counted as one patient", joined)):
        if reasons:
            text += f"; {what}: {listed_reasons(reasons)}"
    return ValueError(text)


def _refuse_other_data(request: Request) -> None:
    """Refuse an output folder that holds another data set, whose datalist would be replaced.

    Raises:
        ValueError: naming both.
    """
    file = request.output / "datalist.json"
    try:
        content = read_json(file) if file.is_file() else {}
    except ValueError:
        return  # a damaged datalist is written again
    wanted = (request.data_set.name, request.data_set.kind)
    present = (content.get("name", wanted[0]), content.get("kind", wanted[1]))
    if present != wanted:
        raise ValueError(
            f"output: {request.output} holds {present[0]} with labels of kind {present[1]}, not "
            f"{wanted[0]} of kind {wanted[1]}; give another folder"
        )


def _problems(outcome: CaseOutcome) -> list[Problem]:
    if outcome.problem is not None:
        return [outcome.problem]
    doubts = (outcome.record or {}).get("doubts", ())
    return [Problem(outcome.scan_id, "", doubt, left_out=False) for doubt in doubts]


def plan(listing: Listing, request: Request) -> list[CaseTask]:
    """Return one task per usable scan, in the order of the listing.

    Raises:
        ValueError: for two scans with the same id.
    """
    left_out = {problem.scan_id for problem in listing.problems if problem.left_out}
    scans = [scan for scan in listing.scans if scan.id not in left_out]
    ids = [scan.id for scan in scans]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise ValueError(f"source: ids must be unique, two scans have {twice}; rename one of them")
    slices = request.slices
    quotas = _quotas(listing.scans, ids, slices) if request.data_set.kind == "instances" else {}
    return [
        CaseTask(
            request.data_set,
            scan,
            request.output,
            slices,
            request.volumes,
            quotas.get(scan.id, 0),
            request.check_hu,
        )
        for scan in scans
    ]


def _quotas(scans: Sequence[Scan], ids: Sequence[str], slices: SliceOptions) -> dict[str, int]:
    expected = expected_slices(scans, slices.which)
    return empty_quotas(ids, expected, share=slices.empty_share, seed=slices.seed)


def prepare_all(tasks: Sequence[CaseTask], jobs: int | None) -> Iterator[CaseOutcome]:
    """Reuse or prepare every scan, showing progress; yield outcomes in order of completion.

    Raises:
        OutputError: when the output cannot be written.
    """
    with Progress(total=len(tasks), unit="scan", desc="prepare") as progress:
        remaining: list[CaseTask] = []
        for task in tasks:
            reusable = find_prepared(task)
            if reusable is None:
                remaining.append(task)
                continue
            progress.update()
            yield reusable
        progress.unpause()  # estimate the remaining time from the scans that are prepared
        jobs = jobs or jobs_for(len(remaining))
        for outcome in work_through(prepare_case, remaining, jobs, lost=lost_case):
            progress.update()
            if outcome.problem is not None:
                progress.write(f"  {outcome.problem}")
            yield outcome


def jobs_for(scans: int) -> int:
    """Return the number of processes for some scans: one for few, up to one per core.

    Example:
        >>> jobs_for(3)
        1
    """
    return max(1, min(cores(), scans // SCANS_PER_PROCESS))


def datalist(report: Report, request: Request) -> dict[str, Any]:
    """Return the datalist: samples, volumes, classes, and everything needed to reproduce it."""
    data_set = request.data_set
    record: dict[str, Any] = {"name": data_set.name, "kind": data_set.kind}
    record |= {partition: report.lists[partition] for partition in PARTITIONS}
    if request.volumes and keeps_scans_whole(data_set, request.split):
        record["volumes"] = volume_lists(
            report.lists, report.prepared, data_set, request.split, request.output
        )
    record["classes"] = dict(data_set.classes())
    record["window_hu"] = list(request.window)
    if report.mean:
        record["training_mean"] = report.mean
    record["provenance"] = provenance(
        source=portable_path(request.source, request.output),
        **{**report.listing.provenance, **data_set.record()},
        split=request.split.record(data_set),
        **request.slices.record(data_set.kind),
        seed=request.split.seed,
        volumes=request.volumes,
        scans=len(report.prepared),
        scans_left_out=report.left_out,
    )
    return record
