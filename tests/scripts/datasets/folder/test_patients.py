"""Whose the cases of a folder are."""

import re

import pydicom
import pytest

from scripts.datasets.folder.dataset import FolderDataSet
from scripts.datasets.folder.patients import read_patient_table
from tests.scripts.datasets.folders import two_lesions, write, write_dicom


def test_patient_table_then_every_case_has_its_patient(tmp_path):
    table = tmp_path / "patients.csv"
    table.write_text("case,patient_id\na,p1\nb,p1\nc,p2\n")
    assert read_patient_table(table, ["a", "b"]) == {"a": "p1", "b": "p1", "c": "p2"}
    with pytest.raises(ValueError, match="1 of 2 are missing, the first: d"):
        read_patient_table(table, ["a", "d"])
    table.write_text("case,patient_id\na,p1\na,p2\n")
    with pytest.raises(ValueError, match="row 3: each case needs one patient"):
        read_patient_table(table, ["a"])


def dicom_cases(folder, patients):
    for name, patient in zip("abc", patients, strict=True):
        for path in write_dicom(folder / name / "image").iterdir():
            data = pydicom.dcmread(path)
            data.PatientID = patient
            data.save_as(path)
        write(folder / name / "label.nii.gz", two_lesions())
    return FolderDataSet()


@pytest.mark.parametrize(
    ("headers", "owners", "told"),
    [
        (("7", "8", "7 "), ["a", "b", "a"], "a, c have one PatientID .* one patient, a"),
        (("", "", ""), ["a", "b", "c"], ""),
        (("anon",) * 3, ["a", "b", "c"], "as after anonymisation: each counts as a patient"),
    ],
    ids=["two of one patient", "none", "placeholder"],
)
def test_patients_when_dicom_headers_name_them_then_theirs(tmp_path, headers, owners, told):
    listing = dicom_cases(tmp_path, headers).find(tmp_path)
    assert [scan.patient_id for scan in listing.scans] == owners
    notes = "; ".join(listing.notes[2:])
    assert re.search(told, notes) if told else not notes


def test_patients_when_headers_contradict_the_table_then_the_table_and_said(tmp_path):
    dicom_cases(tmp_path / "ct", ("7", "8", "7"))
    (tmp_path / "patients.csv").write_text("case,patient_id\na,p1\nb,p2\nc,p3\n")
    listing = FolderDataSet(patients=tmp_path / "patients.csv").find(tmp_path / "ct")
    assert [scan.patient_id for scan in listing.scans] == ["p1", "p2", "p3"]
    assert "a, c have one PatientID in their DICOM files, but several" in listing.notes[2]
