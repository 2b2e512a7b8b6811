import csv
from itertools import chain

import pytest

from scripts.study import command
from scripts.study.cells import make_cells
from scripts.study.declaration import read_study
from scripts.study.runner import failure_of, run_cells, share_of, time_left
from scripts.study.sources import Source
from scripts.study.workshop import Workshop
from tests.scripts.study.studies import Pretender, write_study


def prepare(folder, **changes):
    study = read_study(write_study(folder, **changes))
    return study, make_cells(study, Source())


def nothing():
    pass


def test_study_then_every_step_once_and_again_then_none(tmp_path):
    _, cells = prepare(tmp_path)
    first, second = Pretender(), Pretender()
    run_cells(cells, Workshop(tmp_path / "work", first), nothing)
    assert len(first.run) == 6  # cohort, preparation, two trainings, two evaluations
    run_cells(cells, Workshop(tmp_path / "work", second), nothing)
    assert second.run == []


def test_method_that_fails_then_the_others_go_on(tmp_path, capsys):
    _, cells = prepare(tmp_path)
    shop = Workshop(tmp_path / "work", Pretender(breaks=["strategies/bsft.json"]))
    reports = []
    run_cells(cells, shop, lambda: reports.append(1))
    assert "ValueError: it broke" in failure_of(cells[0], shop)
    assert failure_of(cells[1], shop) is None
    assert len(reports) == 2
    assert "FAILED, the study goes on" in capsys.readouterr().out


def test_full_disk_then_the_study_goes_on_and_every_hole_says_why(tmp_path):
    _, cells = prepare(tmp_path)
    shop = Workshop(
        tmp_path / "work",
        Pretender(breaks=["strategies/bsft.json"], says="OSError: No space left on device"),
    )
    reports = []
    run_cells(cells, shop, lambda: reports.append(1))
    assert "is full; make room" in failure_of(cells[0], shop)
    assert failure_of(cells[1], shop) is None
    assert len(reports) == 2


def test_several_processes_then_every_cell_is_somebodys(tmp_path, monkeypatch):
    _, cells = prepare(tmp_path, seeds=[0, 1, 2])
    monkeypatch.setenv("WORLD_SIZE", "4")
    shares = []
    for rank in range(4):
        monkeypatch.setenv("RANK", str(rank))
        shares.append([cell.name for cell in share_of(cells)])
    assert sorted(chain(*shares)) == sorted(cell.name for cell in cells)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_long_time_left_then_in_hours():
    assert time_left(3600, 1, 6) == ", about 5.0 h left"


def run_command_line(tmp_path, monkeypatch, pretender, **changes):
    monkeypatch.setattr(command, "Workshop", lambda place: Workshop(place, pretender))
    path = write_study(tmp_path, **changes)
    command.study(str(path), str(tmp_path / "report"), small=True)


def test_command_with_a_failing_method_then_exit_code_1_and_a_hole_in_the_report(
    tmp_path, monkeypatch, capsys
):
    with pytest.raises(SystemExit) as stop:
        run_command_line(tmp_path, monkeypatch, Pretender(breaks=["strategies/bsft.json"]))
    assert stop.value.code == 1
    assert "missing: BSFT, seed 0" in capsys.readouterr().out
    page = (tmp_path / "report/report.html").read_text()
    assert '<li class="hole">BSFT, seed 0: trainings:' in page
    assert "<td>BSFT</td><td>0.895</td><td>missing</td>" in page


def test_command_then_report_table_and_pictures(tmp_path, monkeypatch):
    run_command_line(tmp_path, monkeypatch, Pretender())
    folder = tmp_path / "report"
    with (folder / "results.csv").open() as file:
        rows = {(row["row"], row["figure"]): row for row in csv.DictReader(file)}
    assert float(rows["BSFT", "Dice"]["value"]) == pytest.approx(0.535)
    assert rows["BSFT", "Dice"]["patients"] == "4"
    assert float(rows["scratch", "sensitivity"]["value"]) == pytest.approx(0.75)
    assert (tmp_path / "study_work").is_dir()
    assert sorted(file.name for file in folder.glob("*.png")) == ["comparison.png", "curves.png"]


def test_command_with_a_wrong_name_then_nothing_is_written(tmp_path):
    path = write_study(tmp_path, methods=[{"network": "unet_resnet34", "strategy": "bstf"}])
    with pytest.raises(ValueError, match="did you mean bsft"):
        command.study(str(path), str(tmp_path / "report"), small=True)
    assert not (tmp_path / "report").exists()
