"""The seconds of a whole CT: from the manifests of the product, beside the figure of the row."""

import json
import shutil

import matplotlib.image
import pytest
import SimpleITK as sitk

from scripts.prediction.network import engines
from scripts.study import declaration
from scripts.study.cells import make_cells
from scripts.study.declaration import read_study
from scripts.study.reporting.results import collect
from scripts.study.reporting.speed import draw_speed, speed_table, timings
from scripts.study.reporting.tables import by_row
from scripts.study.runner import failure_of, run_cells
from scripts.study.sample_sources import Source
from scripts.study.steps import content_of
from scripts.study.workshop import Workshop
from tests.scripts.study.studies import Pretender, write_study

ENGINES = ["torch", "openvino"]


def run(folder, *, breaks=(), **changes):
    study = read_study(write_study(folder, **{"engines": ENGINES, **changes}))
    cells = make_cells(study, Source(timed_ct=folder / "ct.mhd"))
    shop = Workshop(folder / "work", Pretender(breaks=breaks))
    run_cells(cells, shop, lambda: None)
    return study, cells, shop


def test_every_network_with_every_engine_then_its_seconds_beside_the_figure(tmp_path):
    study, cells, shop = run(tmp_path)
    rows = by_row(collect(study, cells, shop))
    timed = timings(cells, shop)
    table = speed_table(study, rows, timed)
    assert [row[:7] for row in table.rows] == [
        ["BSFT", "torch", "torch float32", "0.535", "5.5", "4.0", "2.5"],
        ["BSFT", "openvino", "openvino float32", "0.535", "3.5", "2.0", "2.5"],
        ["scratch", "torch", "torch float32", "0.435", "5.5", "4.0", "2.5"],
        ["scratch", "openvino", "openvino float32", "0.435", "3.5", "2.0", "2.5"],
    ]
    draw_speed(study, rows, timed, tmp_path / "speed.png")
    assert matplotlib.image.imread(tmp_path / "speed.png").std() > 0


def test_folder_of_several_cts_then_the_mean_of_all_and_said_so(tmp_path):
    study, cells, shop = run(tmp_path, engines=["torch"])
    for cell in cells:
        out = cell.timings["torch"].out(shop.work)
        manifest = json.loads((out / "ct" / "manifest.json").read_text())
        manifest["parts"] |= {"network": 8.0, "writing": 1.5}
        (out / "another").mkdir()
        (out / "another" / "manifest.json").write_text(json.dumps(manifest))
    table = speed_table(study, by_row(collect(study, cells, shop)), timings(cells, shop))
    assert [row[4:7] for row in table.rows] == [["8.0", "6.0", "1.2"]] * 2
    assert "2 CTs, of which the means" in " ".join(table.notes)


def test_ct_at_the_same_place_when_changed_then_timed_anew_and_a_moved_one_is_not(tmp_path):
    def key_of(ct):
        content_of.cache_clear()  # of another process
        study = read_study(write_study(tmp_path, engines=["torch"]))
        return make_cells(study, Source(timed_ct=ct))[0].timings["torch"].key

    series, moved = tmp_path / "series", tmp_path / "moved"
    series.mkdir()
    (series / "1.dcm").write_bytes(b"one")
    before = key_of(series)
    shutil.copytree(series, moved)
    assert key_of(moved) == before
    (series / "1.dcm").write_bytes(b"two")
    assert key_of(series) != before
    keys = set()
    for value in (0, 1):  # of two voxels in a file of their own
        sitk.WriteImage(sitk.Image(1, 1, 2, sitk.sitkInt16) + value, tmp_path / "ct.mhd")
        keys.add(key_of(tmp_path / "ct.mhd"))
    assert len(keys) == 2


def test_several_seeds_then_the_network_of_the_first_is_timed(tmp_path):
    _, cells, _ = run(tmp_path, seeds=[0, 1])
    assert [bool(cell.timings) for cell in cells] == [True, True, False, False]


def test_timing_that_fails_then_a_hole_that_is_tried_again(tmp_path):
    _, cells, shop = run(tmp_path, breaks=["--engine openvino"])
    assert "ValueError: it broke" in failure_of(cells[0], shop)
    assert [one.engine for one in timings(cells, shop)] == ["torch", "torch"]
    again = Workshop(tmp_path / "work", Pretender())
    run_cells(cells, again, lambda: None)
    assert failure_of(cells[0], again) is None


def test_no_ct_then_nothing_is_timed(tmp_path):
    study = read_study(write_study(tmp_path, engines=ENGINES))
    cells = make_cells(study, Source())
    assert not any(cell.timings for cell in cells)
    assert speed_table(study, {}, []) is None


def test_unknown_engine_then_refused_with_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="did you mean openvino"):
        read_study(write_study(tmp_path, engines=["openvin"]))


def test_engines_of_a_study_whose_networks_are_not_timed_then_refused(tmp_path):
    with pytest.raises(ValueError, match="engines: only networks of rows methods .* rows stages"):
        read_study(write_study(tmp_path, engines=ENGINES, rows="stages"))


def test_engines_of_a_study_then_those_of_predict():
    assert set(declaration.ENGINES) == set(engines.ENGINES)
