import re

import pytest

from scripts.study.cells import make_cells
from scripts.study.declaration import read_study
from scripts.study.reporting.report import write_report
from scripts.study.runner import run_cells
from scripts.study.sample_sources import Source
from scripts.study.workshop import Workshop
from tests.scripts.study.studies import STUDY, Pretender, write_study


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    methods = [
        *STUDY["methods"],
        {"name": "cut", "network": "graph_cut"},
        {
            "name": "leaky",
            "network": "unet",
            "encoder": "resnet34",
            "strategy": "full",
            "split": "nodule",
        },
    ]
    rows = {"BSFT": {"Dice": 0.8954}, "only printed": {"Dice": 0.777}}
    paper = {"source": "A paper, table 1", "rows": rows}
    study = read_study(write_study(folder, methods=methods, paper=paper, seeds=[0, 1]))
    cells = make_cells(study, Source())
    shop = Workshop(folder / "work", Pretender())
    run_cells(cells, shop, lambda: None)
    write_report(study, cells, shop, folder, source=Source())
    return folder


def test_report_then_papers_figure_ours_and_difference_side_by_side(report):
    text = (report / "report.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| BSFT | 0.895"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:3] == ["0.895", "0.535"]
    assert re.fullmatch(r"0\.\d+ to 0\.\d+", cells[3])
    assert cells[4] == "-0.360"
    assert "Paper: A paper, table 1." in text


def test_row_that_only_the_paper_has_then_never_ours(report):
    text = (report / "report.md").read_text()
    row = next(line for line in text.splitlines() if line.startswith("| only printed"))
    assert row.startswith("| only printed | 0.777 | missing | - | - |")
    assert "only printed" not in (report / "results.csv").read_text()


@pytest.mark.parametrize(
    "said",
    [
        "they allow no conclusion about patients",
        "cut solves an easier task: it is given centre and diameter of each nodule",
        "LEAK: with the split nodule",
        "corrected by Holm",
        "Seeds: 0, 1",
        "Labels: ball (tested on ball)",
        "Not for diagnosis",
    ],
)
def test_report_then_describes_what_its_figures_are_based_on(report, said):
    assert said in (report / "report.md").read_text()
    assert said in (report / "report.html").read_text()


def test_tables_of_sizes_tests_and_costs_then_present(report):
    text = (report / "report.md").read_text()
    assert "## Dice per nodule by size of the nodule" in text
    assert "| scratch | 8, 4 | -0.100 | -0.100 to -0.100 | - | - |" in text
    assert "| BSFT | 2.00 M | 1.00 / 1.50 | 2 | 5 | 123 |" in text
    assert "| cut | not trained |" in text


def test_page_then_loads_nothing_and_names_no_patient(report):
    page = (report / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == 2
    assert "http://" not in page
    assert "https://" not in page
    assert not re.search(r">p\d<", page)


def test_network_of_two_domains_then_a_table_of_the_other_one(tmp_path):
    other = {
        **{"own": "nodules", "name": "organs", "bundle": "liver_ct_segmentation"},
        **{"figures": {"Dice liver": "dice_liver_per_volume_mean"}},
        "data": {"phantoms": {"patients": 5}},
    }
    joint = {"name": "both", "network": "multi_domain", "encoder": "resnet34", "strategy": "full"}
    study = read_study(write_study(tmp_path, methods=[joint], other_domain=other))
    cells, shop = make_cells(study, Source()), Workshop(tmp_path / "work", Pretender())
    run_cells(cells, shop, lambda: None)
    (evaluation,) = cells[0].others.values()
    rows = [f"1.{k},liver,True,{dice}" for k, dice in enumerate((0.8, 0.9))]
    table = "\n".join(["series_uid,name,known,dice", *rows, "1.0,bone,True,0.1"])
    (evaluation.out(shop.work) / "per_class.csv").write_text(table)
    write_report(study, cells, shop, tmp_path, source=Source())
    text = (tmp_path / "report.md").read_text()
    assert "The other domain: organs" in text
    assert re.search(r"\| both \| 0\.850 \| .* \| 1, 2, 2 \|", text)
    assert "Domain organs: learnt together with nodules, on synthetic phantoms" in text
    assert "dice_per_nodule_mean" in text
