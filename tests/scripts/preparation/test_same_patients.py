"""Scans of one patient under several names: counted as one patient, wherever it shows."""

import json
import shutil

import pytest

from scripts.datasets.contract import Scan
from scripts.datasets.shares import leaks
from scripts.preparation.cohort import Request, prepare_cohort
from scripts.preparation.prepare_options import SliceOptions, SplitOptions
from scripts.preparation.same_patients import join_patients
from scripts.preparation.samples import PreparedScan
from tests.scripts.preparation.made_up import MadeUp, write_boxes


def scan(name, patient, image):
    return PreparedScan(Scan(name, patient, ()), {"image_hash": image})


def joined(*scans):
    done, warnings = join_patients([scan(*one) for one in scans])
    return [one.scan.patient_id for one in done], [str(warning) for warning in warnings]


def test_patients_that_differ_then_left_alone():
    assert joined(("a", "P1", "x"), ("b", "P2", "y"), ("c", "P1", "z")) == (["P1", "P2", "P1"], [])


def test_one_patient_with_one_image_twice_then_no_problem():
    assert joined(("a", "P1", "x"), ("b", "P1", "x")) == (["P1", "P1"], [])


def test_one_image_of_two_patients_then_one_patient_and_said():
    patients, (warning,) = joined(("a", "P1", "x"), ("b", "P2", "x"), ("c", "P2", "y"))
    assert patients == ["P1", "P1", "P1"]
    assert warning == (
        "b: has the same image as a; their patients, P2 and P1, count as one [scan kept]"
    )


@pytest.mark.parametrize("other", ["Mu\u0308ller, A", "m\xfcller,  a", "M\xdcLLER, A "])
def test_one_name_in_two_spellings_then_one_patient_and_said(other):
    patients, (warning,) = joined(("a", "M\xfcller, A", "x"), ("b", other, "y"))
    assert patients == ["M\xfcller, A"] * 2
    assert "a patient spelt as that of a" in warning


def test_patients_joined_over_several_scans_then_one_chain():
    patients, warnings = joined(
        ("a", "P1", "x"), ("b", "P2", "y"), ("c", "P3", "y"), ("d", "P3", "x")
    )
    assert patients == ["P1"] * 4
    assert len(warnings) == 2


def boxes_request(source, output, split="patient"):
    return Request(MadeUp(), source, output, SliceOptions("all"), SplitOptions(split))


def test_preparation_of_one_image_under_two_names_then_never_in_two_partitions(tmp_path):
    source = write_boxes(tmp_path / "in", ["a", "b", "c"])
    shutil.copy(source / "a.npz", source / "copy.npz")
    hospitals = json.loads((source / "hospitals.json").read_text())
    (source / "hospitals.json").write_text(json.dumps({**hospitals, "copy": "C"}))
    report = prepare_cohort(boxes_request(source, tmp_path / "out"))
    assert [problem.scan_id for problem in report.problems] == ["copy"]
    partitions = {
        sample["series_uid"]: partition
        for partition, samples in report.lists.items()
        for sample in samples
    }
    assert partitions["a"] == partitions["copy"]
    assert not leaks(report.lists)


def test_preparation_when_too_few_patients_are_left_then_the_reason_says_why(tmp_path):
    source = write_boxes(tmp_path / "in", ["a", "b", "c"])
    shutil.copy(source / "a.npz", source / "c.npz")
    with pytest.raises(ValueError, match="at least 3 patients.*counted as one patient: c: has the"):
        prepare_cohort(boxes_request(source, tmp_path / "out"))
