"""Whose the cases of a folder are: by a table, by the headers of DICOM files, or unknown."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from scripts.datasets.folder.case_table import Case, rows_of
from scripts.running.reasons import listed


def read_patient_table(path: Path, cases: Sequence[str]) -> dict[str, str]:
    """Read the patient of each case from a CSV with the columns ``case,patient_id``.

    Args:
        path: the CSV.
        cases: ids of the cases that it must contain.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: for an invalid table, or one that lacks a case: its patient might be in two
            partitions.
    """
    patients: dict[str, str] = {}
    for line, row in rows_of(path, ("case", "patient_id"), ()).items():
        if (
            not all(row.values())
            or patients.setdefault(row["case"], row["patient_id"]) != (row["patient_id"])
        ):
            raise ValueError(f"{path} row {line}: each case needs one patient, got {row}")
    missing = [name for name in cases if name not in patients]
    if missing:
        raise ValueError(
            f"patients: {path} must name the patient of every case, {len(missing)} of "
            f"{len(cases)} are missing, the first: {missing[0]}"
        )
    return patients


def dicom_patients(cases: Sequence[Case]) -> list[list[str]]:
    """Group the cases that are DICOM series by the PatientID of their files, by id.

    Cases without a PatientID are left out.
    """
    from scripts.volumes.dicom.series_volume import patient_in  # slow import, not for the help

    groups: dict[str, list[str]] = {}
    for case in cases:
        with suppress(OSError):  # an unreadable folder is reported when the case is read
            if case.image.is_dir() and (patient := patient_in(case.image)):
                groups.setdefault(patient, []).append(case.id)
    return list(groups.values())


def by_headers(
    owners: dict[str, str], groups: Sequence[Sequence[str]], *, named: bool
) -> tuple[dict[str, str], list[str]]:
    """Give cases of one PatientID one patient, unless the source names patients.

    Args:
        owners: case -> patient.
        groups: the cases of each PatientID.
        named: whether the source names patients, which then count.

    Returns:
        The patients; and notes on cases of one PatientID that had several.
    """
    notes = []
    for group in groups:
        if len({owners[name] for name in group}) == 1:
            continue
        same = f"note: {listed(group)} have one PatientID in their DICOM files"
        if named:
            notes.append(f"{same}, but several patients in the table, which counts")
        elif len(group) == len(owners) > 2:
            same = "note: all cases have one PatientID in their DICOM files, as after anonymisation"
            notes.append(f"{same}: each counts as a patient; --patients FILE.csv names patients")
        else:
            notes.append(f"{same}: one patient, {group[0]}")
            owners = owners | dict.fromkeys(group, group[0])
    return owners, notes
