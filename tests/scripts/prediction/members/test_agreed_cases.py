"""The figures of scans with a known Dice and a known agreement."""

import numpy as np
import pytest

from scripts.evaluation.report import Evaluation
from scripts.prediction.members.agreed_cases import (
    NO_BETTER,
    AgreedCase,
    AgreedCases,
    dice_of_case,
    evidence_of,
)
from scripts.prediction.members.limit import AgreementLimit, Members

MEMBERS = Members(("a1", "b2"), (), "c3", 0.5)
AGREED = [AgreedCase(f"1.{k}", f"patient {k}", k / 20, k / 20) for k in range(1, 20)]


def cases_of(agreed=AGREED, share=0.1):
    values = [one.agreement for one in agreed]
    limit = AgreementLimit.calibrated(values, [one.patient for one in agreed], share, MEMBERS)
    return AgreedCases(agreed, limit, seed=0)


def test_agreement_that_follows_the_dice_then_ideal_and_the_limit_finds_the_worst():
    found = cases_of()
    assert found.figures["aurc"]["value"] == found.figures["aurc_ideal_order"]["value"]
    assert found.remark is None
    record = found.of_limit()
    assert (record["limit"], record["flagged_scans"], record["scans"]) == (0.1, 1, 19)
    assert record["mean_dice_flagged"] == 0.05
    assert record["mean_dice_others"] == pytest.approx(np.mean([k / 20 for k in range(2, 20)]))
    assert "below the limit 0.100: 1 of 19 scans, mean Dice 0.050; others 0.525" in found.lines()


def test_too_few_scans_then_said_on_the_screen():
    assert not [line for line in cases_of().lines() if line.startswith("note: up to")]
    few = cases_of(AGREED[:2])
    assert few.lines()[-2 if few.remark else -1].startswith("note: up to 33.3 % of usual scans")


def test_agreement_that_ranks_the_wrong_way_then_remarked_on():
    wrong = [AgreedCase(c.uid, c.patient, c.dice, 1 - c.agreement) for c in AGREED]
    found = cases_of(wrong)
    assert found.figures["aurc_gain"]["value"] < 0
    assert found.remark == NO_BETTER
    assert found.lines()[-1] == f"note: {NO_BETTER}"


def test_scan_without_a_known_class_then_listed_but_in_no_figure():
    found = cases_of([*AGREED, AgreedCase("1.20", "patient 1", float("nan"), 0.01)])
    assert found.figures["aurc"]["n"] == 19
    assert len(found.rows()) == 20
    assert found.of_limit()["scans"] == 20


def test_table_then_patients_are_numbers_and_no_limit_flags_nothing():
    rows = AgreedCases(AGREED, None, 0).rows()
    assert [row["patient"] for row in rows] == list(range(1, 20))
    assert {row["flagged"] for row in rows} == {None}


def test_evaluation_then_completed_with_table_picture_and_entries():
    plain = Evaluation({"dice": {}}, {}, {}, {}, {"per_volume": ((), [])}, {}, "")
    found = cases_of().added_to(plain, ("a.pt", "b.pt"))
    assert {"dice", "aurc", "aurc_random_order", "aurc_ideal_order"} <= set(found.figures)
    assert set(found.tables) == {"per_volume", "agreement"}
    assert set(found.drawings) == {"risk_coverage.png"}
    assert found.more["agreement"]["members"] == ("a.pt", "b.pt")
    assert found.drawings["risk_coverage.png"].keywords == {"limit": 0.1}
    without = AgreedCases(AGREED, None, 0).added_to(plain, ("a.pt", "b.pt"))
    assert without.drawings["risk_coverage.png"].keywords == {"limit": None}
    assert without.more["agreement"]["limit"] is None
    evidence = evidence_of(cases_of(), {"section": "validation"})
    assert evidence["limit"]["flagged_scans"] == 1
    assert evidence["data"] == {"section": "validation"}


def test_dice_of_classes_then_of_known_ones_only():
    predicted, annotated = np.zeros((1, 2, 4), np.uint8), np.zeros((1, 2, 4), np.uint8)
    predicted[0, 0], annotated[0, 0, :2] = 1, 1
    predicted[0, 1], annotated[0, 1, 0] = 2, 2
    assert dice_of_case(predicted, annotated, [True, True, False]) == pytest.approx(2 / 3)
    both = (2 / 3 + 2 / 5) / 2
    assert dice_of_case(predicted, annotated, [True, True, True]) == pytest.approx(both)
    assert np.isnan(dice_of_case(predicted, annotated, [True, False, False]))
    nothing = np.zeros((1, 2, 4), np.uint8)
    assert dice_of_case(nothing, nothing, None) == 1
