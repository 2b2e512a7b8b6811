from itertools import chain

from scripts.study.cells import make_cells
from scripts.study.declaration import read_study
from scripts.study.runner import failure_of, run_cells, share_of, time_left
from scripts.study.sample_sources import Source
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
    assert "FAILED, the study continues" in capsys.readouterr().out


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
