from dataclasses import replace

import pytest

from scripts.prediction.dicom.content import dicom_content
from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.page_text import (
    LIMITS,
    definition_rows,
    facts_rows,
    number,
    tables,
)
from tests.scripts.prediction.shapes import abdomen, chest


def values(facts):
    """What the page says about the model, by term."""
    return {row.term: list(row.values) for row in facts_rows(facts)}


def test_facts_when_nothing_is_known_then_only_the_limits_are_stated():
    stated = {term: texts for term, texts in values({}).items() if texts}
    assert stated == {"Must not be used for": [LIMITS]}


def test_facts_when_metadata_and_version_are_given_then_metadata_wins():
    said = values({"metadata": {"name": "lungs", "version": "2"}, "bundle": "x", "version": "1"})
    assert said["Model"] == ["lungs"]
    assert said["Version"] == ["2"]


def test_weights_when_several_then_each_is_listed_as_code():
    (row,) = [row for row in facts_rows({"weights_sha256": ["ab", "cd"]}) if row.code]
    assert row.term == "Weights (SHA-256)"
    assert list(row.values) == ["ab", "cd"]


def test_tables_of_organs_then_a_row_each_also_of_one_that_was_not_segmented():
    (table,) = tables(measure(abdomen()), with_side=False)
    assert table.caption == "Organs"
    assert all(len(row.cells) == len(table.head) - 1 for row in table.rows)
    absent = [row for row in table.rows if not row.present]
    assert all(row.cells[-1].text == "not found" for row in absent)


def test_tables_of_nodules_then_their_figures_as_measured():
    statistics = measure(chest())
    (table,) = tables(statistics, with_side=True)
    assert table.caption == "Nodules"
    for row, one in zip(table.rows, statistics["lesions"], strict=True):
        assert row.cells[0].text == f"{one['longest_axial_diameter_mm']:.1f}"
        assert row.cells[0].value == one["longest_axial_diameter_mm"]
        assert row.cells[4].text == f"{one['lung_side']} {one['lung_third']} third"
        assert row.cells[5].text == str(one["diameter_slice_number_1based"])


@pytest.mark.parametrize("with_side", [True, False])
def test_tables_of_lesions_then_the_lung_only_with_a_lung_field(with_side):
    statistics = measure(chest())
    (table,) = tables(statistics, with_side=with_side)
    assert ("Lung" in table.head) is with_side
    assert all(len(row.cells) == len(table.head) - 1 for row in table.rows)
    terms = [row.term for row in definition_rows(statistics, with_side=with_side)]
    assert ("Lung" in terms) is with_side


def test_confidence_of_lesions_then_shown_if_known_and_not_rounded_up_to_certainty():
    prediction = chest()
    (table,) = tables(measure(prediction), with_side=False)
    assert "Confidence" not in table.head
    first, *others = prediction.segments
    segments = (replace(first, probability=0.99999, mean_probability=0.75), *others)
    (table,) = tables(measure(replace(prediction, segments=segments)), with_side=False)
    at = table.head.index("Confidence") - 1
    assert [row.cells[at].text for row in table.rows] == ["99.9 %", "\u2013", "\u2013"]
    assert [row.cells[at].value for row in table.rows] == [0.99999, "", ""]
    assert [row.confidence for row in table.rows] == [0.99999, None, None]
    assert all(len(row.cells) == len(table.head) - 1 for row in table.rows)


def test_definitions_then_every_one_of_the_statistics_in_words():
    statistics = measure(chest())
    rows = definition_rows(statistics, with_side=True)
    assert [row.values[0] for row in rows] == list(statistics["definitions"].values())


@pytest.mark.parametrize("left_out", [0, 1])
def test_lesions_left_out_of_dicom_then_the_numbers_of_the_others_there(left_out):
    drawn = chest(nodules=3)
    sure = [replace(one, probability=one.number / 10) for one in drawn.segments]
    prediction = replace(drawn, segments=tuple(sure))
    statistics = measure(prediction)
    dicom_content(prediction, statistics, most=3 - left_out).number_in(statistics)
    (table,) = tables(statistics, with_side=True)
    terms = [row.term for row in definition_rows(statistics, with_side=True)]
    shown = "Segment in DICOM" in table.head
    assert shown is ("Segment in DICOM" in terms) is bool(left_out)
    assert all(len(row.cells) == len(table.head) - 1 for row in table.rows)
    if left_out:
        assert [row.cells[-1].text for row in table.rows] == ["left out", "1", "2"]


@pytest.mark.parametrize(
    ("value", "decimals", "text"), [(-12.3, 0, "\u221212"), (-0.4, 0, "0"), (1234.5, 1, "1,234.5")]
)
def test_number_then_written_for_people(value, decimals, text):
    assert number(value, decimals) == text


def test_several_members_then_their_agreement_for_each_finding():
    record = {"members": ["a", "b", "c"], "mean_pairwise_dice": 0.5, "dice": {"nodule": 0.5}}
    drawn = chest()
    segments = tuple(replace(one, members_share=2 / 3) for one in drawn.segments)
    (table,) = tables(
        measure(replace(drawn, segments=segments, facts={"agreement": record})), with_side=True
    )
    assert table.head[-1] == "Members that mark it"
    assert {row.cells[-1].text for row in table.rows} == {"2 of 3"}
    organs = abdomen()
    dice = dict.fromkeys(("liver", "bone", "kidney"), 0.25)
    facts = {**organs.facts, "agreement": {**record, "dice": dice}}
    (table,) = tables(measure(replace(organs, facts=facts)), with_side=False)
    assert table.head[-1] == "Dice between members"
    assert {row.cells[-1].text for row in table.rows} == {"0.25"}
    assert all(len(row.cells) == len(table.head) - 1 for row in table.rows)


def test_agreement_then_stated_with_its_limit_or_that_there_is_none():
    record = {"members": ["a", "b"], "mean_pairwise_dice": 0.5, "flagged": None, "note": "no limit"}
    said = values({"agreement": record})
    assert said["Agreement of 2 members"] == ["mean pairwise Dice 0.500; no limit"]
    record |= {"flagged": True, "limit": 0.6, "calibration_cases": 9}
    said = values({"agreement": record})["Agreement of 2 members"]
    assert said == ["mean pairwise Dice 0.500; limit 0.600 of 9 calibration scans"]
