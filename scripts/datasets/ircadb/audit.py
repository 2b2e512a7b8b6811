"""Audit of the download: voxels, volume and mean HU of each structure, and unrecognised names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.datasets.ircadb.patient_images import CT, read_ct, read_mask
from scripts.datasets.ircadb.patients import (
    Patient,
    PatientFiles,
    find_patients,
    list_files,
    natural_key,
)
from scripts.datasets.ircadb.structures import Structures, class_names, recognise
from scripts.datasets.problems import Problem
from scripts.running.progress import Progress
from scripts.running.workers import work_through
from scripts.storage.archive import ArchiveReader
from scripts.storage.files import write_csv
from scripts.storage.output_folder import claim_output

NOT_RECOGNISED = "NOT RECOGNISED"
COLUMNS = ("patient_id", "structure", "part", "voxels", "ml", "mean_hu")


@dataclass(frozen=True)
class StructureRow:
    """One outlined structure of one patient.

    Args:
        patient_id: the patient.
        structure: the folder's name.
        part: the part of a class that it is, ``no class: ...`` or ``NOT RECOGNISED``.
        voxels: number of voxels of the mask.
        ml: volume of the mask in mL.
        mean_hu: mean HU of the CT inside the mask; None for an empty mask.
    """

    patient_id: str
    structure: str
    part: str
    voxels: int
    ml: float
    mean_hu: float | None


@dataclass(frozen=True)
class PatientAudit:
    """Structures and problems of one patient.

    Args:
        patient_id: the patient.
        rows: one per structure, ordered by name.
        unknown: names of the classes that are not annotated in this patient.
        problems: what could not be read, and assumptions made.
    """

    patient_id: str
    rows: tuple[StructureRow, ...] = ()
    unknown: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def run_audit(source: Path, output: Path | None = None, *, jobs: int = 1) -> list[Problem]:
    """Print the contents of a download, and write them to ``audit.csv`` if an output is given.

    Returns:
        What could not be read, and assumptions made.

    Raises:
        ValueError, OSError: for a source without patients, or an output that cannot be written.
    """
    download = find_patients(source)
    refused = PatientAudit(
        "", problems=tuple(Problem("", "", reason) for reason in download.refused)
    )
    audits = list(
        Progress(
            work_through(audit_patient, download.patients, jobs),
            total=len(download.patients),
            unit="patient",
            desc="audit",
        )
    )
    audits = [refused, *sorted(audits, key=lambda audit: natural_key(audit.patient_id))]
    print(audit_table(audits))
    if output is not None:
        claim_output(output)
        write_csv(output / "audit.csv", audit_rows(audits), columns=COLUMNS)
    return [problem for one in audits for problem in one.problems]


def audit_patient(patient: Patient) -> PatientAudit:
    """Read every structure of a patient; errors are returned as problems."""
    try:
        with ArchiveReader() as reader:
            files = list_files(reader, patient)
            structures = recognise(files.masks)
            ct = read_ct(reader, files.ct)
            return _audit_structures(reader, patient.name, files, structures, ct)
    except (ValueError, OSError) as error:
        return PatientAudit(patient.name, problems=(Problem(patient.name, "", str(error)),))


def _audit_structures(
    reader: ArchiveReader, name: str, files: PatientFiles, structures: Structures, ct: CT
) -> PatientAudit:
    rows = []
    warnings = [*ct.notes, *files.unread]
    problems = [Problem(name, "", reason, left_out=False) for reason in warnings]
    for structure in sorted(files.masks, key=natural_key):
        try:
            mask = read_mask(reader, files.masks[structure], ct)
        except ValueError as error:
            used = structure in structures.parts
            problems.append(Problem(name, "", str(error), left_out=used))
            continue
        voxels = int(mask.sum())
        mean_hu = float(ct.hu[mask].mean()) if voxels else None
        part = _part(structures, structure)
        rows.append(StructureRow(name, structure, part, voxels, voxels * ct.voxel_ml, mean_hu))
    known = structures.known_classes()
    unknown = tuple(c for value, c in enumerate(class_names()) if value not in known)
    return PatientAudit(name, tuple(rows), unknown, tuple(problems))


def _part(structures: Structures, structure: str) -> str:
    if structure in structures.incomplete():
        return f"{structures.parts[structure]} (of an incomplete class)"
    if structure in structures.parts:
        return structures.parts[structure]
    if structure in structures.others:
        return f"no class: {structures.others[structure]}"
    return NOT_RECOGNISED


def audit_table(audits: Sequence[PatientAudit]) -> str:
    """Return the audit as text: structures, known classes, unrecognised names and problems."""
    lines = [f"{'patient':<14} {'structure':<20} {'voxels':>11} {'mL':>9} {'mean HU':>8}  part"]
    for audit in audits:
        lines += [_line(row) for row in audit.rows]
    lines += ["", *_known(audits)]
    unrecognised = [row for audit in audits for row in audit.rows if row.part == NOT_RECOGNISED]
    lines += [f"not recognised: {row.structure} in {row.patient_id}" for row in unrecognised]
    problems = [problem for audit in audits for problem in audit.problems]
    if problems:
        lines += ["", f"PROBLEMS: {len(problems)}", *(f"  {problem}" for problem in problems)]
    return "\n".join(lines)


def _line(row: StructureRow) -> str:
    mean = "-" if row.mean_hu is None else f"{row.mean_hu:.1f}"
    numbers = f"{row.voxels:>11,} {row.ml:>9,.1f} {mean:>8}"
    return f"{row.patient_id:<14} {row.structure:<20} {numbers}  {row.part}"


def _known(audits: Iterable[PatientAudit]) -> list[str]:
    """Return one line per class: the number of patients in which it is known."""
    read = [audit for audit in audits if audit.rows]
    lines = []
    for name in class_names()[1:]:
        lacking = [audit.patient_id for audit in read if name in audit.unknown]
        absent = f"; unknown in {', '.join(lacking)}" if lacking else ""
        lines.append(f"{name}: known in {len(read) - len(lacking)} of {len(read)} patients{absent}")
    return lines


def audit_rows(audits: Iterable[PatientAudit]) -> list[dict[str, object]]:
    """Return the rows of the audit's CSV, with the columns of :data:`COLUMNS`."""
    return [asdict(row) for audit in audits for row in audit.rows]
