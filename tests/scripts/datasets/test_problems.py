import pytest

from scripts.datasets.problems import COLUMNS, Problem


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (Problem("1.2", "a.mhd", "cut short"), "1.2: a.mhd: cut short [scan left out]"),
        (Problem("", "", "b.zip: no zip"), "b.zip: no zip"),
        (
            Problem("p", "", "no RescaleIntercept", left_out=False),
            "p: no RescaleIntercept [scan kept]",
        ),
    ],
    ids=["file", "no-scan", "kept"],
)
def test_problem_then_scan_place_reason_and_consequence_on_one_line(problem, line):
    assert str(problem) == line
    assert tuple(problem.row()) == COLUMNS
