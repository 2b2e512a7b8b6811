"""The tables of a report: missing figures stay missing, the paper's are separate from ours."""

from dataclasses import replace

import pytest

from scripts.study.declaration import read_study
from scripts.study.reporting.results import CaseValue, Result
from scripts.study.reporting.tables import (
    MISSING,
    ON_PHANTOMS,
    by_row,
    cost_table,
    given_position,
    group_tables,
    main_table,
    number,
    paired_table,
    reference_of,
    row_names,
    seeds_words,
)
from tests.scripts.study.studies import write_study


@pytest.fixture
def study(tmp_path):
    return read_study(write_study(tmp_path))


def result(row, *values, seed=0, **more):
    cases = [CaseValue(f"p{i}", (f"s{i}",), v, 1.0, "under_6_mm") for i, v in enumerate(values)]
    return Result(row, seed, {"Dice": cases, "sensitivity": cases}, **more)


def test_rows_then_planned_first_and_those_that_only_the_paper_has_last(study):
    rows = by_row([result("scratch", 0.5), result("extra", 0.5), result("scratch", 0.7, seed=1)])
    assert [len(found) for found in rows.values()] == [2, 1]
    assert row_names(study, rows, ["BSFT"]) == ["BSFT", "scratch", "extra"]


def test_main_table_then_difference_to_the_paper_and_holes_for_what_is_missing(study):
    table = main_table(study, {"BSFT": [result("BSFT", 0.5, 0.7)]}, ["BSFT", "scratch"])
    ours, hole = table.rows
    assert ours[:3] == ["BSFT", "0.895", "0.600"]
    assert ours[4] == "-0.295"
    assert hole[1:3] == ["-", MISSING]
    assert ON_PHANTOMS not in table.notes
    assert ON_PHANTOMS in main_table(study, {}, ["BSFT"], on_phantoms=True).notes


def test_study_without_figures_of_a_paper_then_no_columns_for_them(study):
    own = replace(study, paper={})
    table = main_table(own, {"BSFT": [result("BSFT", 0.5, 0.7)]}, ["BSFT", "scratch"])
    assert table.title == "Results"
    assert table.headings[1:3] == ["Dice per nodule", "95 % interval"]
    first, hole = table.rows
    assert first[:2] == ["BSFT", "0.600"]
    assert hole[1:3] == [MISSING, "-"]
    assert {len(row) for row in table.rows} == {len(table.headings)}


def test_paired_table_then_patients_interval_and_small_p_in_words(study):
    values = [0.02 * k for k in range(20)]
    higher = [value + 0.1 + 0.001 * value for value in values]
    rows = {"BSFT": [result("BSFT", *values)], "scratch": [result("scratch", *higher)]}
    (row,) = paired_table(replace(study, reference="BSFT"), rows).rows
    assert row[:3] == ["scratch", "20, 20", "+0.100"]
    assert row[3] == "+0.100 to +0.100"
    assert row[4:] == ["< 0.0001", "< 0.0001"]


def test_number_then_a_dash_where_there_is_none():
    assert [number(0.12345), number(None), number(float("nan"))] == ["0.123", "-", "-"]


def test_counts_then_seeds_patients_and_cases():
    assert seeds_words([result("a", 0.1, 0.2), result("a", 0.3, seed=1)]) == "2, 2, 2"
    assert seeds_words([]) == "-"


def test_reference_that_is_missing_then_the_first_row(study):
    assert reference_of(study, {"scratch": []}) == "scratch"
    assert reference_of(study, {"scratch": [], "BSFT": []}) == "BSFT"


def test_sizes_then_a_mean_of_each_group(study):
    table, _ = group_tables(study, {"BSFT": [result("BSFT", 0.5, 0.7)]})
    (row,) = table.rows
    assert "0.600" in " ".join(row)
    assert table.title == "Dice per nodule by size of the nodule"


def test_textures_then_a_table_of_their_own_where_nodules_were_rated(study):
    cases = [
        CaseValue(f"p{k}", (f"s{k}",), value, 1.0, "under_6_mm", texture)
        for k, (value, texture) in enumerate([(0.9, "solid"), (0.7, "solid"), (0.2, "part_solid")])
    ]
    rated = result("BSFT", 0.5)
    rated.values["Dice"][:] = cases
    _, table = group_tables(study, {"BSFT": [rated]})
    assert table.title == "Dice per nodule by texture of the nodule"
    assert table.headings == ["method", "solid", "n", "part solid", "n", "ground glass", "n"]
    ((_, *cells),) = table.rows
    assert cells[:4] == ["0.800", "2", "0.200", "1"]
    assert cells[5] == "0"
    assert group_tables(study, {"BSFT": [result("BSFT", 0.5)]})[1] is None


def test_sizes_of_lesions_of_another_class_then_in_its_words(study):
    table, _ = group_tables(study, {"BSFT": [result("BSFT", 0.5, lesion="liver tumour")]})
    assert table.title == "Dice per nodule by size of the liver tumour"
    assert table.notes == ("n counts a liver tumour once per seed that tested it.",)


def test_costs_then_of_the_last_stage_and_all_epochs(study):
    stages = [
        {"trainable_parameters": "1000000", "total_parameters": "2000000"},
        {"trainable_parameters": "2000000", "total_parameters": "2000000"},
    ]
    trained = result("BSFT", 0.5, stages=stages, history=[{"seconds": "2"}] * 3, peak_mb=99.6)
    table = cost_table({"BSFT": [trained], "cut": [result("cut", 0.5)]})
    assert table.rows[0] == ["BSFT", "2.00 M", "1.00 / 2.00", "3", "6", "100"]
    assert table.rows[1][1] == "not trained"


@pytest.mark.parametrize(
    ("changes", "position"),
    [
        ({"network": "graph_cut"}, "centre and diameter of each nodule"),
        (
            {"network": "cf_cnn", "strategy": "scratch", "data": "luna16_nodule_patches"},
            "a box around each nodule",
        ),
        ({"network": "unet_plain", "strategy": "scratch"}, None),
    ],
)
def test_method_that_is_given_the_position_of_nodules_then_described(tmp_path, changes, position):
    (method,) = read_study(write_study(tmp_path, methods=[changes])).methods
    assert given_position(method, "nodule") == position
