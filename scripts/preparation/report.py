"""What a preparation found, made and could not use: for the screen, as JSON and as CSV."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.datasets.luna16.annotations import AnnotationTable
from scripts.datasets.luna16.scans import Cohort
from scripts.datasets.problems import Problem
from scripts.datasets.shares import SECTIONS, leaks
from scripts.preparation.options import SplitOptions
from scripts.preparation.partitions import Lists, PreparedScan
from scripts.preparation.splits import LEAKING_KINDS
from scripts.storage.files import write_csv, write_json

COLUMNS = ("series_uid", "place", "reason", "scan_left_out")
MOSTLY = 0.5  # a nodule with less of itself inside the lung field is told of


@dataclass
class Report:
    """Everything that is told after a preparation."""

    output: Path
    cohort: Cohort
    prepared: list[PreparedScan]
    table: AnnotationTable
    problems: list[Problem]
    lists: Lists
    split: SplitOptions = field(default_factory=SplitOptions)
    patients_file: str | None = None
    reused: int = 0
    empty_wanted: int = 0

    @property
    def left_out(self) -> set[str]:
        """Scans on disk that were not prepared."""
        used = {prepared.scan.uid for prepared in self.prepared}
        return {scan.uid for scan in self.cohort.scans} - used

    @property
    def outside_lungs(self) -> list[dict[str, Any]]:
        """Nodules that lie mostly outside the lung field: masking the image blanks them."""
        return [
            {"series_uid": prepared.scan.uid, "id": nodule["id"], "share": nodule["share_in_lung"]}
            for prepared in self.prepared
            for nodule in prepared.record["nodules"]
            if nodule["share_in_lung"] < MOSTLY
        ]

    def record(self) -> dict[str, Any]:
        """Return ``report.json``."""
        lungs = Counter(prepared.record["lung_source"] for prepared in self.prepared)
        return {
            "scans": {
                "found": len(self.cohort.scans),
                "prepared": len(self.prepared),
                "already_prepared": self.reused,
                "left_out": sorted(self.left_out),
            },
            "nodules": sum(len(prepared.record["nodules"]) for prepared in self.prepared),
            "annotation_rows_of_series_not_downloaded": self.table.rows_not_downloaded,
            "samples": {section: self.counts(section) for section in SECTIONS},
            "slices_without_nodule_asked_for": self.empty_wanted,
            "lung_fields": dict(lungs),
            "nodules_mostly_outside_lung_field": self.outside_lungs,
            "patients": self.patients_file or "every series counts as a patient",
            "patients_on_two_sides": leaks(self.lists),
            "problems": [problem.row() for problem in self.problems],
        }

    def counts(self, section: str) -> dict[str, int]:
        """Numbers of one section."""
        samples = self.lists[section]
        return {
            "slices": len(samples),
            "without_nodule": sum(not sample["nodules"] for sample in samples),
            "nodules": len({(s["series_uid"], n["id"]) for s in samples for n in s["nodules"]}),
            "patients": len({sample["patient_id"] for sample in samples}),
        }


def write_report(report: Report) -> None:
    """Write ``report.json``, and the problems as ``report.csv`` too."""
    write_json(report.output / "report.json", report.record())
    rows = [problem.row() for problem in report.problems]
    write_csv(report.output / "report.csv", rows, columns=COLUMNS)


def summary(report: Report) -> str:
    """Return what the screen shows at the end."""
    record = report.record()
    again = f", {report.reused} of them already there" if report.reused else ""
    lines = [f"scans: {len(report.prepared)} of {len(report.cohort.scans)} prepared{again}"]
    missing = report.table.rows_not_downloaded
    if missing:
        lines.append(f"annotations: {missing} rows belong to series that are not downloaded")
    lines.append(f"nodules: {record['nodules']}")
    for section in SECTIONS:
        count = record["samples"][section]
        lines.append(
            f"{section}: {count['slices']} slices ({count['without_nodule']} without nodule), "
            f"{count['nodules']} nodules, {count['patients']} patients"
        )
    lines += _warnings(report, record)
    lines.append(f"written: {report.output / 'datalist.json'}")
    return "\n".join(lines)


def _warnings(report: Report, record: dict[str, Any]) -> list[str]:
    lines = []
    empty = sum(record["samples"][section]["without_nodule"] for section in SECTIONS)
    if empty < report.empty_wanted:
        lines.append(
            f"note: {report.empty_wanted} slices without nodule were asked for, {empty} are "
            f"used; the lungs leave no more away from nodules and blocks"
        )
    sides = record["patients_on_two_sides"]
    if report.split.kind in LEAKING_KINDS:
        lines.append(
            f"note: split {report.split.kind} does not measure generalisation: "
            f"{LEAKING_KINDS[report.split.kind]} (here {len(sides)} patients)"
        )
    elif sides:
        lines.append(f"LEAK: {len(sides)} patients stand on two sides, the first {sides[0]}")
    computed = record["lung_fields"].get("computed", 0)
    if computed:
        lines.append(f"lung field: computed for {computed} scans without seg-lungs")
    outside = record["nodules_mostly_outside_lung_field"]
    if outside:
        lines.append(f"note: {len(outside)} nodules lie mostly outside the lung field: report.json")
    if report.problems:
        lines.append(f"PROBLEMS: {len(report.problems)}, see {report.output / 'report.csv'}")
        lines += [f"  {problem}" for problem in report.problems[:20]]
        lines += [f"  and {len(report.problems) - 20} more"] * (len(report.problems) > 20)
    return lines
