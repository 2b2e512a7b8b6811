"""What is said about evaluated cases that the network knows already."""

import pytest

from scripts.bundle.training_scans import CONTROL, TrainingScans, hashed_case
from scripts.evaluation.training_overlap import TrainingOverlap, differences_from_training

CASES = [{"series_uid": name, "slice": number} for name in "abc" for number in (1, 2)]


def known(**partitions):
    hashes = {name: frozenset(hashed_case(c, "s") for c in ids) for name, ids in partitions.items()}
    count = len(partitions["test"]) if "test" in partitions else None
    return TrainingScans(salt="s", test_cases=count, **hashes)


def test_file_that_says_nothing_then_unknown_and_silent():
    overlap = TrainingOverlap.of(TrainingScans(), CASES)
    assert overlap == TrainingOverlap(3, None, None, None, None)
    assert overlap.warnings("test") == overlap.remarks("test") == []


def test_the_whole_test_set_then_nothing_to_say():
    overlap = TrainingOverlap.of(known(cases="x", validation="y", test="abc"), CASES)
    assert overlap == TrainingOverlap(3, 0, 0, 3, 0)
    assert overlap.warnings("test") == overlap.remarks("test") == []


def test_cases_of_training_and_validation_then_warned_of():
    overlap = TrainingOverlap.of(known(cases="ab", validation="c", test="d"), CASES)
    trained, selected = overlap.warnings("test")
    assert trained == "2 of 3 scans are of patients that the network was trained on"
    assert selected.startswith("1 of 3 scans")
    assert selected.endswith("(validation)")


def test_validation_cases_in_an_evaluation_of_the_validation_then_no_warning():
    overlap = TrainingOverlap.of(known(cases="x", validation="abc", test="d"), CASES)
    assert overlap.warnings("validation") == overlap.remarks("volumes/validation") == []


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("defg", ["none of the 3 scans is in the test set"]),
        ("abd", ["1 of 3 scans are not in the test set", "1 scans of the test set"]),
    ],
    ids=["others", "some"],
)
def test_other_cases_than_the_test_set_then_remarked_on(test, words):
    overlap = TrainingOverlap.of(known(cases="x", validation="y", test=test), CASES)
    remarks = overlap.remarks("volumes/test")
    assert len(remarks) == len(words)
    assert all(word in remark for word, remark in zip(words, remarks, strict=True))


def test_network_that_learnt_labels_of_other_patients_then_called_a_control():
    cases = [{**case, "label_kind": "masks"} for case in CASES]
    assert differences_from_training(TrainingScans(labels=("shuffled",)), cases) == [CONTROL]
    assert differences_from_training(TrainingScans(labels=("masks",)), cases) == []


def test_several_networks_then_training_of_any_and_test_of_all():
    first = known(cases="a", validation="x", test="bc")
    second = known(cases="y", validation="c", test="bd")
    overlap = TrainingOverlap.of_all([first, second], CASES, {})
    assert overlap == TrainingOverlap(3, 1, 1, 1, 1)
    silent = TrainingOverlap.of_all([first, TrainingScans()], CASES, {})
    assert silent == TrainingOverlap(3, None, None, None, None)


def test_second_scan_of_a_patient_then_counts_like_the_first():
    network = known(cases="x", validation="y", test="abc")
    listed = [
        {"series_uid": uid, "patient_id": f"P{n}"} for uid, n in zip("abxyz", "12123", strict=True)
    ]
    datalist = {"training": listed[2:3], "validation": listed[3:], "test": listed[:2]}
    overlap = TrainingOverlap.of_all([network], CASES, datalist)
    assert overlap == TrainingOverlap(3, 1, 1, 3, 0)  # a is of x's patient, b of y's
    overlap = TrainingOverlap.of_all([known(cases="x", test="b")], CASES, datalist)
    assert overlap.of_test == 1  # the test set itself is that of the file
