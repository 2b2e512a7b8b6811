import base64

import pytest

from scripts.pages.page_template import LOOK
from scripts.pages.report_page import Link, Report, Row, Table, report_page
from tests.scripts.prediction.report.browser import Browser, find_chromium

TABLE = Table(
    title="Dice of <each> row",
    headings=["Row", "Dice", "Parameters"],
    rows=[
        ["b", "0.535", "2.00 M"],
        ["only printed", "missing", "-"],
        ["a", "\u22120.1", "900 k"],
        ["c", "1,234", "11"],
    ],
    notes=["n < 3"],
)


@pytest.fixture
def page(tmp_path):
    (tmp_path / "one.png").write_bytes(b"not really")
    return report_page(
        Report(
            "Title & co",
            "Which is better?",
            warnings=["beware <"],
            facts=["Seeds: 0"],
            missing=["b, seed 1: failed"],
            tables=[TABLE],
            pictures={"Curves <1>": tmp_path / "one.png"},
            descriptions={"Definitions": [Row("dice", ["2TP/..."]), Row("nothing", [])]},
        )
    )


@pytest.mark.parametrize(
    "said",
    [
        "<h1>Title &amp; co</h1>",
        '<p class="headline">Which is better?</p>',
        "<li>beware &lt;</li>",
        '<li class="fact">Seeds: 0</li>',
        '<li class="missing">b, seed 1: failed</li>',
        "<h2>Dice of &lt;each&gt; row</h2>",
        "<td>b</td><td>0.535</td><td>2.00 M</td>",
        '<p class="note">n &lt; 3</p>',
        "<h2>Curves &lt;1&gt;</h2>",
        base64.b64encode(b"not really").decode(),
        "<dt>dice</dt><dd>2TP/...</dd>",
        "<dt>nothing</dt><dd><em",
        (LOOK / "look.css").read_text(),
    ],
)
def test_report_then_everything_in_it_as_text_in_the_shared_look(page, said):
    assert said in page


def test_report_when_parts_are_missing_then_no_empty_sections():
    page = report_page(Report("T"))
    assert "<section" not in page.partition("</style>")[2]


def test_long_text_in_a_table_then_room_for_words():
    words = "slices are far apart, the mask is probably wrong"
    page = report_page(Report("T", tables=[Table("t", ["a"], [[words], ["short"]])]))
    assert f'<td class="words">{words}</td>' in page
    assert "<td>short</td>" in page


def test_link_then_only_its_cell_leads_there():
    table = Table(
        title="t", headings=["a"], rows=[[Link("x & y", "a%20b/report.html")], ["z"]], notes=()
    )
    page = report_page(Report("T", tables=[table]))
    assert '<td><a href="a%20b/report.html">x &amp; y</a></td>' in page
    assert "<td>z</td>" in page


def test_heading_in_chromium_then_sorts_by_number_with_what_is_missing_last(page, tmp_path):
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on this machine")
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    with Browser(program) as browser:
        browser.open(tmp_path / "report.html")
        orders = {}
        for column, head in enumerate(TABLE.headings):
            for turn in ("up", "down"):
                browser.run(f"document.querySelectorAll('.sort')[{column}].click()")
                cells = (
                    "[...document.querySelectorAll('tbody tr')].map(r => r.cells[0].textContent)"
                )
                orders[head, turn] = [name[0] for name in browser.run(cells)]
        complaints = [text for text in browser.complaints() if "data:image" not in text]
    assert orders["Row", "up"] == ["a", "b", "c", "o"]
    assert orders["Row", "down"] == ["o", "c", "b", "a"]
    assert orders["Dice", "up"] == ["a", "b", "c", "o"]
    assert orders["Dice", "down"] == ["c", "b", "a", "o"]
    assert orders["Parameters", "up"] == ["c", "a", "b", "o"]
    assert complaints == []
