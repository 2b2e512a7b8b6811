"""What a preparation found, made and could not use: for the screen, as JSON and as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.datasets.ircadb.options import PatientOptions, SplitOptions
from scripts.datasets.ircadb.problems import Problem
from scripts.datasets.ircadb.sections import Lists, PreparedPatient
from scripts.datasets.ircadb.splits import LEAKING_KINDS
from scripts.datasets.ircadb.structures import class_names
from scripts.datasets.shares import SECTIONS, leaks
from scripts.storage.files import write_csv, write_json

COLUMNS = ("patient_id", "reason", "left_out")


@dataclass(frozen=True)
class Report:
    """Everything that is told after a preparation.

    Args:
        output: the prepared folder.
        found: patients in the source.
        prepared: those that could be used.
        reused: how many of these were there already.
        problems: what could not be used, or only with a doubt.
        lists: samples of every section.
        mean: of the training images.
        options: what was stored.
        split: who trains, validates and tests.
    """

    output: Path
    found: Sequence[str]
    prepared: Sequence[PreparedPatient]
    reused: int
    problems: Sequence[Problem]
    lists: Lists
    mean: Mapping[str, Any]
    options: PatientOptions
    split: SplitOptions

    @property
    def left_out(self) -> list[str]:
        """Patients in the source that were not prepared."""
        used = {patient.patient_id for patient in self.prepared}
        return [name for name in self.found if name not in used]

    def record(self) -> dict[str, Any]:
        """Return ``report.json``."""
        return {
            "patients": {
                "found": len(self.found),
                "prepared": len(self.prepared),
                "already_prepared": self.reused,
                "left_out": self.left_out,
            },
            "classes_known_in": self.classes_known_in(),
            "voxels": {p.patient_id: p.record["voxels"] for p in self.prepared},
            "outlined_but_incomplete": self._told("incomplete"),
            "structures_not_recognised": self._told("unrecognised"),
            "samples": {section: self.counts(section) for section in SECTIONS},
            "training_mean": self.mean,
            "patients_on_two_sides": leaks(self.lists),
            "problems": [problem.row() for problem in self.problems],
        }

    def classes_known_in(self) -> dict[str, list[str]]:
        """Patients in whom each class is known."""
        names = class_names(tumour=self.options.tumour)
        return {
            name: [p.patient_id for p in self.prepared if value in p.record["known_classes"]]
            for value, name in enumerate(names)
            if value > 0
        }

    def _told(self, key: str) -> dict[str, list[str]]:
        return {p.patient_id: list(p.record[key]) for p in self.prepared if p.record[key]}

    def counts(self, section: str) -> dict[str, int]:
        """Numbers of one section."""
        samples = self.lists[section]
        return {
            "slices": len(samples),
            "patients": len({sample["patient_id"] for sample in samples}),
        }


def write_report(report: Report) -> None:
    """Write ``report.json``, and the problems as ``report.csv`` too."""
    write_json(report.output / "report.json", report.record())
    rows = [problem.row() for problem in report.problems]
    write_csv(report.output / "report.csv", rows, columns=COLUMNS)


def summary(report: Report) -> str:
    """Return what the screen shows at the end."""
    again = f", {report.reused} of them already there" if report.reused else ""
    total = len(report.prepared)
    lines = [f"patients: {total} of {len(report.found)} prepared{again}"]
    for name, patients in report.classes_known_in().items():
        lines.append(f"{name}: known in {len(patients)} of {total} patients")
    for section in SECTIONS:
        count = report.counts(section)
        lines.append(f"{section}: {count['slices']} slices of {count['patients']} patients")
    lines.append(
        f"mean of the training images: {report.mean['hu']:.2f} HU, "
        f"{report.mean['windowed']:.4f} after the window {report.mean['window_hu']}"
    )
    lines += _notes(report)
    lines.append(f"written: {report.output / 'datalist.json'}")
    return "\n".join(lines)


def _notes(report: Report) -> list[str]:
    record = report.record()
    lines = [
        f"note: {name}: outlined, but its class is not complete and so unknown: {', '.join(told)}"
        for name, told in record["outlined_but_incomplete"].items()
    ]
    lines += [
        f"note: {name}: not recognised, makes no class: {', '.join(told)}"
        for name, told in record["structures_not_recognised"].items()
    ]
    kind = report.split.kind
    if kind in LEAKING_KINDS:
        lines.append(f"LEAK: split {kind}: {LEAKING_KINDS[kind]}")
    if report.problems:
        lines.append(f"PROBLEMS: {len(report.problems)}, see {report.output / 'report.csv'}")
        lines += [f"  {problem}" for problem in report.problems[:20]]
        lines += [f"  and {len(report.problems) - 20} more"] * (len(report.problems) > 20)
    return lines
