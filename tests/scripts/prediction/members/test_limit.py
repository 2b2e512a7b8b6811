"""The limit of the agreement: its rank, its file, and what it must not be used for."""

import dataclasses
import json

import pytest

from scripts.prediction.members.agreement import Agreement
from scripts.prediction.members.limit import (
    AgreementLimit,
    Members,
    read_limit,
    record_of,
    refuse_other_members,
    warning_of,
)

MEMBERS = Members(("a1", "b2"), ("x",), "c3", 0.5)
VALUES = [0.9, 0.5, 0.7, 0.8, 0.6]


def limit_of(share, values=VALUES):
    return AgreementLimit.calibrated(values, ["P"] * len(values), share, MEMBERS)


@pytest.mark.parametrize(
    ("share", "limit", "rate"),
    [(0.05, 0.5, 1 / 6), (1 / 6, 0.5, 1 / 6), (1 / 3, 0.6, 1 / 3), (0.49, 0.6, 1 / 3)],
)
def test_share_then_limit_is_the_value_of_that_rank(share, limit, rate):
    found = limit_of(share)
    assert (found.limit, found.rate) == (limit, pytest.approx(rate, abs=1e-4))
    assert sum(map(found.flags, VALUES)) == sum(value < limit for value in VALUES)


def test_new_scans_of_the_same_kind_then_flagged_no_more_often_than_stated():
    values = [k / 20 for k in range(1, 20)]
    found = limit_of(0.1, values)  # the second lowest of 19
    # each of 20 exchangeable scans is equally likely to be the new one
    flagged = 0
    for new in range(20):
        others = [k / 20 for k in range(20) if k != new]
        flagged += limit_of(0.1, others).flags(new / 20)
    assert (found.limit, flagged / 20) == (0.1, 0.1)


@pytest.mark.parametrize(("scans", "told"), [(1, "50 %"), (18, "5.26 %"), (19, ""), (40, "")])
def test_too_few_scans_for_the_share_then_the_number_needed_named(scans, told):
    limit = AgreementLimit.calibrated([0.7] * scans, [str(k) for k in range(scans)], 0.05, MEMBERS)
    if not told:
        assert limit.remark is None
    else:
        assert limit.remark.startswith(f"up to {told} of usual scans lie below the limit")
        assert limit.remark.endswith("not 5 %, which takes at least 19 scans")


def test_file_then_read_as_written(tmp_path):
    limit_of(0.05).write(tmp_path / "agreement.json", {"figures": {}})
    assert read_limit(tmp_path / "agreement.json") == limit_of(0.05)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "suspicion"}, "its format is 'suspicion'"),
        ({"format": "agreement of members 1"}, "an earlier version wrote it, calibrate again"),
        ({"limit": "low"}, "could not convert"),
        ({"members": {}}, "weights"),
    ],
    ids=["format", "earlier format", "limit", "members"],
)
def test_other_file_then_refused(tmp_path, change, reason):
    path = tmp_path / "agreement.json"
    limit_of(0.05).write(path, {})
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ValueError, match=f"agreement: .*evaluate members.*{reason}"):
        read_limit(path)
    with pytest.raises(FileNotFoundError, match="evaluate members"):
        read_limit(tmp_path / "absent.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": ("a1", "b3")}, "other networks"),
        ({"flips": (), "threshold": 0.4}, "other flips and another threshold"),
        ({"config_sha256": "c4"}, "another config"),
    ],
    ids=["weights", "flips and threshold", "config"],
)
def test_limit_of_other_members_then_refused(tmp_path, change, words):
    refuse_other_members(tmp_path, limit_of(0.05), MEMBERS)
    with pytest.raises(ValueError, match=f"calibrated with {words}; its limit does not hold"):
        refuse_other_members(tmp_path, limit_of(0.05), dataclasses.replace(MEMBERS, **change))


def test_record_then_flagged_below_the_limit_only():
    low, usual = (Agreement(("a", "b"), {"nodule": dice}, {}) for dice in (0.49, 0.5))
    record = record_of(low, limit_of(0.05))
    assert record["flagged"] is True
    assert warning_of(record) == (
        "the 2 members agree less than usual: mean pairwise Dice 0.490, below 0.500 (at most 17 % "
        "of scans like the 5 of the calibration); the segmentation may have failed: look at the "
        "mask"
    )
    assert warning_of(record_of(usual, limit_of(0.05))) is None


def test_record_without_limit_then_flags_nothing_and_says_so():
    record = record_of(Agreement(("a", "b"), {"nodule": 0.0}, {}), None)
    assert record["flagged"] is None
    assert record["note"].startswith("not calibrated, so nothing is flagged")
    assert warning_of(record) is None
