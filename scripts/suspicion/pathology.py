"""Diagnoses of patients, beside the radiologists' opinions that classifiers are trained on.

TCIA publishes diagnoses of 157 patients of LIDC-IDRI (tcia-diagnosis-data-2012-04-20.xls, to be
saved as CSV). They are of patients: its nodules are not linked to those that the readers outlined.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from scripts.storage.csv_files import Row, read_csv
from scripts.suspicion.experiment import Outcome
from scripts.suspicion.figures import Scored, auc

PATIENT = "TCIA Patient ID"
DIAGNOSIS = "Diagnosis at the Patient Level"  # the file's own heading also lists the codes
UNKNOWN, BENIGN, MALIGNANT = ("0",), ("1",), ("2", "3")  # 2 primary lung cancer, 3 metastatic
MEANING = (
    "diagnoses of patients, by biopsy, resection, or two years of follow-up; the score of a "
    "patient is the highest of the nodules with a label"
)


def read_diagnoses(path: Path) -> dict[str, bool]:
    """Read patient -> whether the disease is malignant; unknown diagnoses are left out.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: for another table, a code other than 0 to 3, or a patient with two diagnoses.
    """
    diagnoses: dict[str, bool] = {}
    for row in read_csv(path, (PATIENT,)):
        patient, code = row.get(PATIENT), row.get(_column(path, row)).removesuffix(".0")
        if code not in (*UNKNOWN, *BENIGN, *MALIGNANT):
            raise ValueError(
                f"{path}: line {row.line}: diagnosis must be 0, 1, 2 or 3, got {code!r}"
            )
        if code in UNKNOWN:
            continue
        if diagnoses.setdefault(patient, code in MALIGNANT) != (code in MALIGNANT):
            raise ValueError(f"{path}: line {row.line}: {patient} has another diagnosis above")
    return diagnoses


def _column(path: Path, row: Row) -> str:
    columns = [name for name in row.header if name.startswith(DIAGNOSIS)]
    if len(columns) != 1:
        raise ValueError(
            f"{path}: must have one column that begins with '{DIAGNOSIS}', got {len(columns)}; its "
            f"columns are {', '.join(name.splitlines()[0] for name in row.header if name)}"
        )
    return columns[0]


def check_patients(diagnoses: Mapping[str, bool], patients: Collection[str]) -> None:
    """Refuse diagnoses of other patients only.

    Raises:
        ValueError: naming one of the table and one of the source.
    """
    if not any(name in diagnoses for name in patients):
        raise ValueError(
            f"pathology: none of the {len(set(patients))} patients of the source, such as "
            f"{next(iter(patients), 'none')}, is among the {len(diagnoses)} with a known "
            f"diagnosis, such as {next(iter(diagnoses), 'none')}"
        )


def against_diagnoses(
    outcome: Outcome, diagnoses: Mapping[str, bool], *, seed: int
) -> dict[str, Any]:
    """Compare the scores of a row with the diagnoses of its patients.

    Returns:
        Numbers of patients with malignant and with benign disease, and the AUC of the highest score
        of each patient, with its interval; within test folds, as that of the opinions.
    """
    scored = outcome.scored
    patients = [name for name in np.unique(scored.patients) if name in diagnoses]
    of_patient = [scored.patients == name for name in patients]
    labels = np.array([diagnoses[name] for name in patients], bool)
    highest = np.array([scored.scores[own].max() for own in of_patient])
    folds = np.array([scored.folds[own][0] for own in of_patient], np.int64)
    return {
        "malignant": int(labels.sum()),
        "benign": int((~labels).sum()),
        "auc": asdict(auc(Scored(labels, highest, np.array(patients, str), folds), seed=seed)),
    }
