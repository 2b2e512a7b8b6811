import json

import pytest
from PIL import Image

from scripts.evaluation.evaluation_page import MOST_ROWS, write_evaluation_page
from scripts.pages.page_template import LOOK
from scripts.storage.files import write_csv, write_json

SUMMARY = {
    "warnings": ["trained on 1 of them"],
    "remarks": ["other scanner"],
    "headline": "Dice 0.5 <",
    "figures": {
        "dice_per_nodule_mean": {
            "value": 0.51234567,
            "interval_95": [0.4, 0.6],
            "n": 9,
            "patients": 3,
            "undefined": 0,
        },
        "hd95_mm_mean": {"value": None, "interval_95": None, "n": 0, "patients": 0},
    },
    "counts": {"patients": 3, "series": 4, "duplicate_slices": 0},
    "definitions": {"dice": "2TP/(2TP+FP+FN)"},
    "settings": {"margin_mm": 5.0},
    "data": {"section": "test", "data_set": "luna16", "datalist": "/home/DOE^JANE/datalist.json"},
    "provenance": {"versions": {"torch": "2.13"}, "command": "/home/DOE^JANE/run", "time": "now"},
}


@pytest.fixture
def folder(tmp_path):
    write_json(tmp_path / "summary.json", SUMMARY)
    rows = [{"series_uid": "1.2.a", "patient": 1, "dice": 1 / 3, "note": "=x"}]
    write_csv(tmp_path / "per_nodule.csv", rows, columns=list(rows[0]))
    write_csv(tmp_path / "per_slice.csv", [{"slice": 77777}], columns=["slice"])
    return tmp_path


def page_of(folder):
    write_evaluation_page(folder)
    return (folder / "report.html").read_text(encoding="utf-8").replace("<wbr>", "")


@pytest.mark.parametrize(
    "said",
    [
        "<h1>Evaluation: luna16, test</h1>",
        "Dice 0.5 &lt;</p>",
        "<li>trained on 1 of them</li>",
        "other scanner",
        "Counts: patients 3, series 4.",
        "<td>dice_per_nodule_mean</td><td>0.5123</td><td>0.4000 to 0.6000</td><td>9</td>",
        "<td>hd95_mm_mean</td><td>-</td><td>-</td><td>0</td><td>0</td><td>-</td>",
        "<h2>Each nodule</h2>",
        "<td>1.2.a</td><td>1</td><td>0.3333</td><td>=x</td>",
        "<dt>dice</dt><dd>2TP/(2TP+FP+FN)</dd>",
        "<dt>settings: margin mm</dt><dd>5.0</dd>",
        "<dt>software: torch</dt><dd>2.13</dd>",
        (LOOK / "look.css").read_text(),
    ],
)
def test_page_then_everything_of_the_evaluation_in_the_shared_look(folder, said):
    assert said in page_of(folder)


def test_page_then_neither_paths_nor_lists_for_programs(folder):
    page = page_of(folder)
    assert "DOE^JANE" not in page
    assert "77777" not in page


def test_picture_that_is_drawn_later_then_in_the_page_that_is_written_again(folder):
    assert "<img" not in page_of(folder)
    Image.new("L", (4, 4)).save(folder / "overlays.png")
    assert '<img alt="Slices: CT, annotation and prediction" src="data:image/png;' in page_of(
        folder
    )


def test_table_with_very_many_rows_then_cut_and_said(folder):
    rows = [{"nodule": k} for k in range(1, MOST_ROWS + 3)]
    write_csv(folder / "per_nodule.csv", rows, columns=["nodule"])
    page = page_of(folder)
    assert f"<td>{MOST_ROWS}</td>" in page
    assert f"<td>{MOST_ROWS + 1}</td>" not in page
    assert "500 of 502 rows; per_nodule.csv has all." in page


def test_summary_that_is_damaged_then_an_error_with_its_name(folder):
    (folder / "summary.json").write_text(json.dumps([]))
    with pytest.raises(ValueError, match=r"summary\.json"):
        write_evaluation_page(folder)
