"""Diagnoses of patients: the table of TCIA, and how scores are compared with it."""

import numpy as np
import pytest

from scripts.suspicion.experiment import Outcome
from scripts.suspicion.figures import Scored
from scripts.suspicion.pathology import against_diagnoses, check_patients, read_diagnoses

HEADER = (
    'TCIA Patient ID,"Diagnosis at the Patient Level\n0=Unknown\n1=benign or non-malignant '
    'disease\n2= malignant, primary lung cancer\n3 = malignant metastatic\n",Diagnosis Method\n'
)


def table(tmp_path, *rows, header=HEADER):
    path = tmp_path / "diagnoses.csv"
    path.write_text(header + "\n".join(rows), encoding="utf-8-sig")
    return path


def test_table_of_tcia_then_known_diagnoses_of_patients(tmp_path):
    path = table(tmp_path, "P1,1,3", "P2,2,2", "P3,3.0,2", "P4,0,0")
    assert read_diagnoses(path) == {"P1": False, "P2": True, "P3": True}


@pytest.mark.parametrize(
    ("rows", "header", "reason"),
    [
        (["P1,4,0"], HEADER, "line 7: diagnosis must be 0, 1, 2 or 3, got '4'"),
        (["P1,,0"], HEADER, "got ''"),
        (["P1,1,0", "P1,2,0"], HEADER, "line 8: P1 has another diagnosis"),
        (["P1,1"], "TCIA Patient ID,Diagnosis\n", "one column that begins with 'Diagnosis at"),
        (["P1,1"], "Patient,Diagnosis at the Patient Level\n", "TCIA Patient ID missing"),
    ],
    ids=["code", "empty", "contradiction", "no diagnosis", "no patient"],
)
def test_table_when_wrong_then_refused_with_its_line(tmp_path, rows, header, reason):
    with pytest.raises(ValueError, match=reason):
        read_diagnoses(table(tmp_path, *rows, header=header))


def test_scores_then_the_highest_of_a_patient_within_folds():
    patients = np.array(["a", "a", "b", "c", "d", "e"])
    scores = np.array([0.1, 0.9, 0.5, 0.2, 0.95, 0.3])
    folds = np.array([0, 0, 0, 0, 1, 1])
    opinions = np.array([True, False, True, False, True, False])
    outcome = Outcome("x", np.ones(6, bool), Scored(opinions, scores, patients, folds), "x")
    diagnoses = {"a": True, "b": False, "c": True, "d": False, "e": True, "other": True}
    compared = against_diagnoses(outcome, diagnoses, seed=0)
    assert (compared["malignant"], compared["benign"]) == (3, 2)
    # pairs of one fold: a above b, c below b, e below d
    assert compared["auc"]["value"] == pytest.approx(1 / 3)


def test_scores_without_any_diagnosis_then_no_figure():
    scored = Scored(np.array([True]), np.array([0.5]), np.array(["a"]), np.array([0]))
    compared = against_diagnoses(Outcome("x", np.ones(1, bool), scored, "x"), {"b": True}, seed=0)
    assert np.isnan(compared["auc"]["value"])


def test_diagnoses_of_other_patients_only_then_refused():
    check_patients({"P1": True}, ["P1", "P2"])
    with pytest.raises(ValueError, match="none of the 2 patients of the source, such as 1.2, .*P1"):
        check_patients({"P1": True}, ["1.2", "1.3"])
