import dataclasses

import pytest

from scripts.pages.page_template import LOOK
from scripts.prediction.measures.statistics import measure
from scripts.prediction.report.studies_page import FILE, write_studies_page
from scripts.prediction.study_task import FAILED, KEPT, PREDICTED, Outcome
from scripts.storage.files import write_json
from tests.scripts.prediction.report.conftest import rated
from tests.scripts.prediction.shapes import abdomen

OUTCOMES = (
    Outcome("ct 1<", PREDICTED, 3.0, warnings=("slices are thick & few",), segments=3),
    Outcome("ct-2", KEPT, 0.1, segments=2),
    Outcome("ct-3", KEPT, 0.1, segments=7),
    Outcome("ct-4", FAILED, 0.1, "slice-0012 is cut short", "/scans/DOE^JANE/12.dcm is cut short"),
)


@pytest.fixture
def page(tmp_path):
    for name, prediction in (("ct 1<", rated()), ("ct-2", abdomen())):
        statistics = measure(dataclasses.replace(prediction, study=name))
        write_json(tmp_path / name / "statistics.json", statistics)
        (tmp_path / name / "report.html").touch()
    write_studies_page(
        tmp_path, OUTCOMES, refused=["empty file"], skipped={"modality MR, not CT": 24}
    )
    return (tmp_path / FILE).read_text(encoding="utf-8").replace("<wbr>", "")


@pytest.mark.parametrize(
    "said",
    [
        "<h1>Results of 4 CTs</h1>",
        "3 done, 1 failed, 1 refused",
        '<td><a href="ct%201%3C/report.html">ct 1&lt;</a></td><td>done</td><td>3 nodules</td>',
        "<td>90.0 %</td><td>slices are thick &amp; few</td>",
        "<td>Liver, bone; not found: kidney</td><td>0</td>",
        "<td>ct-3</td><td>done</td><td>7 segments</td>",
        "<td>ct-4</td><td>failed</td>",
        '<li class="missing">ct-4: slice-0012 is cut short</li>',
        "Refused: empty file",
        "Skipped: 24 files, modality MR, not CT.",
        (LOOK / "look.css").read_text(),
    ],
)
def test_page_of_several_studies_then_each_with_its_result(page, said):
    assert said in page


def test_page_of_several_studies_then_no_names_of_files(page):
    assert "DOE^JANE" not in page
    assert "/scans" not in page


def test_single_study_then_no_page_and_an_older_one_removed(page, tmp_path):
    assert (tmp_path / FILE).is_file()
    write_studies_page(tmp_path, OUTCOMES[:1])
    assert not (tmp_path / FILE).exists()
