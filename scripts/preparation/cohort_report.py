"""The report of a preparation: scans, partitions and problems, on the screen and in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.datasets.contract import DataSet, Listing
from scripts.datasets.problems import COLUMNS, Problem
from scripts.datasets.shares import PARTITIONS, leaks
from scripts.preparation.partitions import Lists, keeps_scans_whole
from scripts.preparation.prepare_options import SplitOptions
from scripts.preparation.samples import PreparedScan
from scripts.preparation.splits import splits_of
from scripts.storage.files import write_csv, write_json

MIN_SHARE_IN_LUNG = 0.5  # a nodule with a smaller share inside the lung field is reported
SHOWN = 20  # problems on the screen


@dataclass(frozen=True)
class Report:
    """Everything that is reported after a preparation.

    Args:
        output: the prepared folder.
        data_set: the prepared data set.
        split: how it was divided.
        listing: the scans of the source.
        prepared: the scans that could be used.
        problems: scans, files or rows that could not be used, and assumptions made.
        lists: samples of each partition.
        reused: number of scans kept from an earlier run.
        empty_wanted: requested number of slices without an object.
        mean: mean of the training images; only for classes.
    """

    output: Path
    data_set: DataSet
    split: SplitOptions
    listing: Listing
    prepared: list[PreparedScan]
    problems: list[Problem]
    lists: Lists
    reused: int = 0
    empty_wanted: int = 0
    mean: Mapping[str, Any] = field(default_factory=dict)

    @property
    def left_out(self) -> list[str]:
        """Ids of the scans that were not prepared, in the order of the source."""
        used = {prepared.scan.id for prepared in self.prepared}
        return [scan.id for scan in self.listing.scans if scan.id not in used]

    @property
    def outside_lungs(self) -> list[dict[str, Any]]:
        """Nodules mostly outside the lung field, which lung masking would remove."""
        return [
            {"scan_id": prepared.scan.id, "id": nodule["id"], "share": nodule["share_in_lung"]}
            for prepared in self.prepared
            for nodule in prepared.record.get("nodules", ())
            if nodule.get("share_in_lung", 1) < MIN_SHARE_IN_LUNG
        ]

    def record(self) -> dict[str, Any]:
        """Return the content of ``report.json``."""
        return {
            "data_set": self.data_set.name,
            "kind": self.data_set.kind,
            "split": self.split.record(self.data_set),
            "scans": {
                "found": len(self.listing.scans),
                "prepared": len(self.prepared),
                "already_prepared": self.reused,
                "left_out": self.left_out,
            },
            "partitions": {partition: self.counts(partition) for partition in PARTITIONS},
            "patients_in_several_partitions": leaks(self.lists),
            **(self._objects() if self.data_set.kind == "instances" else self._classes()),
            **self.listing.facts,
            **self.facts(),
            "notes": self.notes(),
            "problems": [problem.row() for problem in self.problems],
        }

    def counts(self, partition: str) -> dict[str, Any]:
        """Count slices, patients, and objects or patients per known class in one partition."""
        samples = self.lists[partition]
        counts: dict[str, Any] = {
            "slices": len(samples),
            "patients": len({sample["patient_id"] for sample in samples}),
        }
        if self.data_set.kind == "classes":
            counts["known_in_patients"] = {
                name: len({s["patient_id"] for s in samples if value in s["known_classes"]})
                for value, name in self._foreground().items()
            }
            return counts
        counts["without_nodule"] = sum(not sample["nodules"] for sample in samples)
        counts["nodules"] = len({(s["series_uid"], n["id"]) for s in samples for n in s["nodules"]})
        return counts

    def _objects(self) -> dict[str, Any]:
        return {
            "nodules": sum(len(prepared.record["nodules"]) for prepared in self.prepared),
            "slices_without_nodule_asked_for": self.empty_wanted,
            "nodules_mostly_outside_lung_field": self.outside_lungs,
        }

    def _classes(self) -> dict[str, Any]:
        return {
            "classes_known_in": self.classes_known_in(),
            "voxels": {prepared.scan.id: prepared.record["voxels"] for prepared in self.prepared},
            "training_mean": self.mean,
        }

    def _foreground(self) -> dict[int, str]:
        return {value: name for value, name in self.data_set.classes().items() if value > 0}

    def classes_known_in(self) -> dict[str, list[str]]:
        """Return class -> ids of the scans in which it is known."""
        return {
            name: [p.scan.id for p in self.prepared if value in p.record["known_classes"]]
            for value, name in self._foreground().items()
        }

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return the facts that the data set reports: name -> scan id -> value."""
        facts: dict[str, dict[str, Any]] = {}
        for prepared in self.prepared:
            for name, value in prepared.record["facts"].items():
                if value not in ([], {}, "", None):
                    facts.setdefault(name, {})[prepared.scan.id] = value
        return facts

    def notes(self) -> dict[str, list[str]]:
        """Return the remarks on scans: remark -> scan ids."""
        notes: dict[str, list[str]] = {}
        for prepared in self.prepared:
            for note in prepared.record["notes"]:
                notes.setdefault(note, []).append(prepared.scan.id)
        return notes


def write_report(report: Report) -> None:
    """Write ``report.json``, and the problems to ``report.csv``."""
    write_json(report.output / "report.json", report.record())
    rows = [problem.row() for problem in report.problems]
    write_csv(report.output / "report.csv", rows, columns=COLUMNS)


def summary(report: Report) -> str:
    """Return the summary that is printed at the end."""
    reused = f", {report.reused} of them kept from an earlier run" if report.reused else ""
    total = len(report.prepared)
    return "\n".join(
        [
            f"scans: {total} of {len(report.listing.scans)} prepared{reused}",
            *report.listing.notes,
            *(_nodules(report) if report.data_set.kind == "instances" else _known(report)),
            *_volumes(report),
            *_warnings(report),
            *_notes(report),
            *_problems(report),
            f"written: {report.output / 'datalist.json'}",
        ]
    )


def _nodules(report: Report) -> list[str]:
    word = report.data_set.classes()[1]
    lines = [f"{word}s: {report.record()['nodules']}"]
    for partition in PARTITIONS:
        count = report.counts(partition)
        lines.append(
            f"{partition}: {count['slices']} slices ({count['without_nodule']} without {word}), "
            f"{count['nodules']} {word}s, {count['patients']} patients"
        )
    empty = sum(report.counts(partition)["without_nodule"] for partition in PARTITIONS)
    if empty < report.empty_wanted:
        lines.append(
            f"note: {report.empty_wanted} slices without {word} were requested, {empty} are "
            f"used; the scans have no more outside {word}s and blocks"
        )
    if outside := report.outside_lungs:
        lines.append(f"note: {len(outside)} {word}s lie mostly outside the lung field: report.json")
    return lines


def _known(report: Report) -> list[str]:
    total = len(report.prepared)
    lines = [
        f"{name}: known in {len(scans)} of {total} scans"
        for name, scans in report.classes_known_in().items()
    ]
    for partition in PARTITIONS:
        count = report.counts(partition)
        known = ", ".join(f"{name} in {n}" for name, n in count["known_in_patients"].items())
        patients = f"{count['slices']} slices of {count['patients']} patients"
        lines.append(f"{partition}: {patients}" + (f" (known: {known})" if known else ""))
    if mean := report.mean:
        lines.append(
            f"mean of the training images: {mean['hu']:.2f} HU, "
            f"{mean['windowed']:.4f} after the window {mean['window_hu']}"
        )
    return lines


def _volumes(report: Report) -> list[str]:
    if keeps_scans_whole(report.data_set, report.split):
        return []
    return [
        f"note: volumes are not listed: split {report.split.kind} divides scans between "
        "partitions, and a volume would be in several"
    ]


def _warnings(report: Report) -> list[str]:
    shared = leaks(report.lists)
    reason = splits_of(report.data_set)[report.split.kind].leak
    if reason:
        return [
            f"LEAK: split {report.split.kind} does not measure generalisation: {reason} "
            f"(here {len(shared)} patients)"
        ]
    if shared:
        first = shared[0]
        return [f"LEAK: {len(shared)} patients are in more than one partition, the first {first}"]
    return []


def _notes(report: Report) -> list[str]:
    return [
        f"note: {scans[0] if len(scans) == 1 else f'{len(scans)} scans'}: {note}"
        for note, scans in report.notes().items()
    ]


def _problems(report: Report) -> list[str]:
    if not report.problems:
        return []
    more = len(report.problems) - SHOWN
    return [
        f"PROBLEMS: {len(report.problems)}, see {report.output / 'report.csv'}",
        *(f"  {problem}" for problem in report.problems[:SHOWN]),
        *([f"  and {more} more"] if more > 0 else []),
    ]
