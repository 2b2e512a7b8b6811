"""``python -m scripts prepare luna16``: from LUNA16 on disk to slices that train quickly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.bundle.record import provenance
from scripts.datasets.luna16.annotations import AnnotationTable, read_annotations, read_findings
from scripts.datasets.luna16.scans import Cohort, find_cohort, patients_of
from scripts.datasets.luna16.truth_files import find_truth_files
from scripts.datasets.shares import SECTIONS, read_shares
from scripts.preparation.cases import ScanTask
from scripts.preparation.cohort_progress import prepare_all
from scripts.preparation.options import LabelOptions, SliceOptions, SplitOptions
from scripts.preparation.partitions import (
    Lists,
    PreparedScan,
    choose_samples,
    divide,
    volume_lists,
)
from scripts.preparation.report import Report, summary, write_report
from scripts.preparation.slices import empty_quotas
from scripts.preparation.splits import assign_patients, assign_subsets
from scripts.storage.files import write_json
from scripts.storage.options import check_whole, cores, read_truth
from scripts.storage.output_folder import claim_output, portable_path
from scripts.volumes.volume_files import read_metaimage_header


def prepare(
    source: str,
    output: str,
    *,
    label: str = "ball",
    readers_xml: str | None = None,
    min_readers: int = 2,
    masks: str | None = None,
    split: str = "patient",
    shares: str = "8:1:1",
    test_fold: int = 0,
    patients: str | None = None,
    seed: int = 0,
    slices: str = "central",
    neighbours: int = 1,
    empty_share: float = 0.1,
    jobs: int | None = None,
    volumes: bool = True,
) -> None:
    """Prepare LUNA16 for training: slices as arrays, labels, splits, one datalist.

    Writes OUTPUT/datalist.json, scans/, volumes/, report.json and report.csv. A scan that cannot
    be used is reported and left out, the others go on, and the exit code is 1. Interrupted, the
    same command goes on where it stopped.

    Args:
        source: LUNA16's folder: subset*/, annotations.csv, and seg-lungs-LUNA16/ if there.
        output: folder to write.
        label: ball (centre and diameter), readers (LIDC outlines) or masks (<uid>.nii.gz).
        readers_xml: folder of the LIDC XML files, for readers.
        min_readers: of the four readers, how many must hold a voxel.
        masks: folder of instance masks, for masks.
        split: patient (none on two sides), subset (LUNA16's folds), nodule (the paper's; leaks
            patients) or slice_block (blocks of slices, for trying on one scan).
        shares: for patient: relative sizes of training, validation and test.
        test_fold: for subset: this fold tests, the next validates.
        patients: CSV seriesuid,patient_id; without it SOURCE/patients.csv if there, else every
            series counts as a patient.
        seed: of the split and of the draw of slices without nodule.
        slices: central (one a nodule, as in the paper) or all slices of each nodule.
        neighbours: slices on either side of each, for 2.5D input.
        empty_share: share of slices without a nodule among the samples.
        jobs: scans at once; by default one per core.
        volumes: write labels of whole volumes, and list them.

    Raises:
        ValueError: for an option that is wrong or does not suit the data.
        OSError: when the source is not LUNA16's folder, or the output cannot be written.
        SystemExit: 1 when a scan or row could not be used.
    """
    request = Request(
        Path(str(source)),
        Path(str(output)),
        LabelOptions(label, _path(readers_xml), min_readers, _path(masks)),
        SliceOptions(slices, neighbours, empty_share, seed),
        SplitOptions(split, test_fold, seed, read_shares(shares)),
        patients=_path(patients),
        jobs=cores() if jobs is None else jobs,
        volumes=read_truth("volumes", volumes),
    )
    report = prepare_cohort(request)
    print(summary(report))
    if report.problems:
        raise SystemExit(1)


def _path(value: object) -> Path | None:
    return None if value is None else Path(str(value))


@dataclass(frozen=True)
class Request:
    """One preparation: see :func:`prepare` for the meaning of each part."""

    source: Path
    output: Path
    labels: LabelOptions = field(default_factory=LabelOptions)
    slices: SliceOptions = field(default_factory=SliceOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    patients: Path | None = None
    jobs: int = 1
    volumes: bool = True

    def __post_init__(self) -> None:
        """Check what concerns several options.

        Raises:
            ValueError: for numbers out of bounds, or blocks of slices from single slices.
        """
        check_whole("jobs", self.jobs, 1)
        if self.split.kind == "slice_block" and self.slices.which != "all":
            raise ValueError("slices: must be all for --split slice_block, got 'central'")


def prepare_cohort(request: Request) -> Report:
    """Prepare a folder of scans and write datalist and report.

    Raises:
        ValueError: when the options do not suit the data, or no scan could be used.
        OSError: when the source is not LUNA16's folder, or the output cannot be written.
    """
    cohort = find_cohort(request.source)
    table = read_annotations(cohort.annotations, cohort.known)
    owners, patients_file = patients_of(cohort, request.patients)
    problems = [*cohort.problems, *table.problems]
    tasks = plan(cohort, table, request, _left_out(table, request.labels))
    check_split_early(cohort, table, owners, request.split)
    claim_output(request.output)
    prepared: list[PreparedScan] = []
    wanted = {task.scan.uid: task for task in tasks}
    reused = 0
    for outcome in prepare_all(tasks, request.jobs):
        reused += outcome.reused
        if outcome.problem is not None:
            problems.append(outcome.problem)
        if outcome.record is not None:
            task = wanted[outcome.uid]
            patient = owners[outcome.uid]
            prepared.append(PreparedScan(task.scan, patient, outcome.record, task.empty_wanted))
    prepared.sort(key=lambda scan: scan.scan.uid)
    if not prepared:
        reasons = "; ".join(map(str, problems[:3]))
        raise ValueError(f"source: none of the {len(cohort.scans)} scans can be used: {reasons}")
    lists, empty_wanted = _lists(prepared, request)
    report = Report(request.output, cohort, prepared, table, problems, lists)
    report.reused, report.empty_wanted = reused, empty_wanted
    report.split, report.patients_file = request.split, patients_file
    write_json(request.output / "datalist.json", datalist(report, request))
    write_report(report)
    return report


def _left_out(table: AnnotationTable, labels: LabelOptions) -> set[str]:
    """Scans whose list of nodules is incomplete, where the labels are drawn from that list."""
    if labels.kind != "ball":
        return set()
    return {problem.series_uid for problem in table.problems if problem.scan_left_out}


def plan(
    cohort: Cohort, table: AnnotationTable, request: Request, left_out: set[str]
) -> list[ScanTask]:
    """One task per usable scan."""
    scans = [scan for scan in cohort.scans if scan.uid not in left_out]
    uids = [scan.uid for scan in scans]
    excluded = cohort.folder / "annotations_excluded.csv"
    findings = read_findings(excluded, set(uids)) if excluded.is_file() else {}
    truth = find_truth_files(request.labels, uids)
    expected = _expected_slices(cohort, table, request.slices)
    quotas = empty_quotas(
        uids, expected, share=request.slices.empty_share, seed=request.slices.seed
    )
    return [
        ScanTask(
            scan,
            request.output,
            tuple(table.nodules.get(scan.uid, ())),
            tuple(findings.get(scan.uid, ())),
            request.labels,
            request.slices,
            quotas[scan.uid],
            request.volumes,
            truth.get(scan.uid),
        )
        for scan in scans
    ]


def _expected_slices(cohort: Cohort, table: AnnotationTable, slices: SliceOptions) -> float:
    """How many slices with a nodule the scans will give, from their headers alone."""
    if slices.which == "central":
        return max(table.count, 1)
    expected = 1.0
    for scan in cohort.scans:
        try:
            slice_mm = float(read_metaimage_header(scan.image)[0]["ElementSpacing"].split()[2])
        except (OSError, ValueError, LookupError):
            continue  # a broken header is reported when the scan's turn comes
        nodules = table.nodules.get(scan.uid, ())
        expected += sum(nodule.diameter_mm / slice_mm + 1 for nodule in nodules)
    return expected


def check_split_early(
    cohort: Cohort, table: AnnotationTable, owners: Mapping[str, str], split: SplitOptions
) -> None:
    """Refuse, before any scan is read, a split that these scans cannot give.

    Raises:
        ValueError: see :func:`assign_patients` and :func:`assign_subsets`.
    """
    if split.kind == "subset":
        assign_subsets({s.uid: s.subset for s in cohort.scans}, test_fold=split.test_fold)
    if split.kind == "patient":
        assign_patients(dict.fromkeys(owners.values(), 1))


def _lists(prepared: Sequence[PreparedScan], request: Request) -> tuple[Lists, int]:
    samples, empty_wanted = choose_samples(prepared, request.slices)
    return divide(samples, prepared, split=request.split, slices=request.slices), empty_wanted


def datalist(report: Report, request: Request) -> dict[str, Any]:
    """Return the datalist: samples, volumes, and everything needed to make it again."""
    record: dict[str, Any] = {"name": "luna16"}
    record |= {section: report.lists[section] for section in SECTIONS}
    if request.volumes:
        record["volumes"] = volume_lists(
            report.lists, report.prepared, request.split, request.output
        )
    record["provenance"] = provenance(
        source=portable_path(request.source, request.output),
        **request.labels.record(),
        split=request.split.record(),
        patients=report.patients_file,
        **request.slices.record(),
        seed=request.slices.seed,
        scans=len(report.prepared),
        scans_left_out=sorted(report.left_out),
    )
    return record
