"""Which scans may calibrate: those that no member knows."""

import pytest

from scripts.bundle.training_scans import TrainingScans, hashed_case
from scripts.prediction.members.held_out import held_out_cases

CASES = [{"series_uid": uid, "case": number} for number, uid in enumerate("abcdef")]
NOTHING = {"training": [], "validation": [], "test": []}


def member(salt, **partitions):
    """What a model file says, with its own salt."""
    return TrainingScans(
        salt=salt,
        **{
            name: frozenset(hashed_case(uid, salt) for uid in uids)
            for name, uids in partitions.items()
        },
    )


def test_scans_of_any_training_or_test_set_then_left_out_and_the_others_numbered_anew():
    members = [
        member("s", cases="az", validation="bcdef", test="xy"),
        member("t", cases="bz", validation="ac", test="d"),
    ]
    kept, lines = held_out_cases(CASES, members, NOTHING)
    assert [(case["series_uid"], case["case"]) for case in kept] == [("c", 0), ("e", 1), ("f", 2)]
    assert lines == [
        "left out of the calibration: 2 of 6 scans, of patients that a member was trained on",
        "left out of the calibration: 1 of 6 scans, of patients in the test set of a member",
    ]


def test_folds_of_one_cross_validation_then_refused_as_none_is_common():
    folds = [
        member(salt, cases=set("abcdef") - set(own), validation=own, test="xy")
        for salt, own in (("s", "ab"), ("t", "cd"), ("u", "ef"))
    ]
    with pytest.raises(ValueError, match="no scan is left.*of 6, 6 are of patients that members"):
        held_out_cases(CASES, folds, NOTHING)


@pytest.mark.parametrize("lacking", ["cases", "validation", "test"])
def test_file_that_does_not_say_then_refused(lacking):
    known = {"cases": "z", "validation": "abc", "test": "xy"}
    silent = member("t", **{name: uids for name, uids in known.items() if name != lacking})
    with pytest.raises(ValueError, match="does not say which scans its network was trained"):
        held_out_cases(CASES, [member("s", **known), silent], NOTHING)


def test_second_scan_of_a_patient_in_the_training_or_test_then_left_out():
    cases = [{**case, "patient_id": f"P{n}"} for case, n in zip(CASES, "112345", strict=True)]
    datalist = {
        **{"training": [], "validation": [], "test": []},
        "volumes": {"validation": cases, "test": [{"series_uid": "x", "patient_id": "P4"}]},
    }
    members = [member("s", cases="a", validation="bcdef", test="y")]
    members.append(member("t", cases="z", validation="bcdef", test="x"))
    kept, lines = held_out_cases(cases, members, datalist)
    assert [case["series_uid"] for case in kept] == ["c", "d", "f"]  # b is a's, e is x's patient
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["2 of 6 scans", "1 of 6 scans"]
