import csv

import pytest

from scripts.storage.files import write_csv
from scripts.storage.texts import cell_text, markdown_text, spreadsheet_cell

FORMULAS = [
    *(
        "=1+1",
        "+cmd",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "-",
        "=",
        "-lung",
        "\uff1d1",
        "'=quoted already",
    ),
    '=HYPERLINK("http://x","y")',
]
PLAIN = ["liver", "", "a=b", "-3.2", "+7", "-1e-05", "-.5", "12", "'quoted'", " =1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_cell_when_a_spreadsheet_would_calculate_it_then_quoted_and_read_back(text):
    assert spreadsheet_cell(text) == f"'{text}"
    assert cell_text(f"'{text}") == text


@pytest.mark.parametrize("value", [*PLAIN, -3.2, -7, None, True])
def test_cell_when_plain_or_a_number_then_unchanged(value):
    assert spreadsheet_cell(value) == value


def test_csv_when_texts_are_formulas_then_quoted_in_cells_and_header(tmp_path):
    write_csv(tmp_path / "a.csv", [{"=name": "=1+1", "hu": -3.2, "id": "-7"}])
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["'=name", "hu", "id"], ["'=1+1", "-3.2", "-7"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("a | b", "a \\| b"),
        ("![x](http://y)", "!\\[x\\](http://y)"),
        ("one\n# two", "one # two"),
        ("`code` *bold*", "\\`code\\` \\*bold\\*"),
        ("R&D", "R&amp;D"),
        ("val_dice 0.83 (n = 5)", "val_dice 0.83 (n = 5)"),
    ],
)
def test_markdown_when_text_has_markup_then_escaped(text, expected):
    assert markdown_text(text) == expected
