"""``python -m scripts study``: a report with pictures and what is missing, exit code 1 then."""

import csv

import pytest

from scripts.study import study_command
from scripts.study.workshop import Workshop
from tests.scripts.study.studies import STUDY, Pretender, write_study


def run_command_line(tmp_path, monkeypatch, pretender, **changes):
    monkeypatch.setattr(study_command, "Workshop", lambda place: Workshop(place, pretender))
    path = write_study(tmp_path, **changes)
    study_command.study(str(path), str(tmp_path / "report"), small=True)


def test_command_with_a_failing_method_then_exit_code_1_and_a_hole_in_the_report(
    tmp_path, monkeypatch, capsys
):
    with pytest.raises(SystemExit) as stop:
        run_command_line(tmp_path, monkeypatch, Pretender(breaks=["strategies/bsft.json"]))
    assert stop.value.code == 1
    assert "missing: BSFT, seed 0" in capsys.readouterr().out
    page = (tmp_path / "report/report.html").read_text()
    assert '<li class="missing">BSFT, seed 0: trainings:' in page
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
    path = write_study(
        tmp_path, methods=[{"network": "unet", "encoder": "resnet34", "strategy": "bstf"}]
    )
    with pytest.raises(ValueError, match="did you mean bsft"):
        study_command.study(str(path), str(tmp_path / "report"), small=True)
    assert not (tmp_path / "report").exists()


def test_command_with_further_test_data_then_one_fold_and_said_in_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(study_command, "Workshop", lambda place: Workshop(place, Pretender()))
    methods = [{**STUDY["methods"][0], "split": "fold"}]
    path = write_study(tmp_path, methods=methods, folds=[0, 1], paper={})
    further = tmp_path / "further"
    further.mkdir()
    output = tmp_path / "report"
    study_command.study(str(path), str(output), small=True, test_source=str(further))
    assert f"Tested on: all scans of {further}" in (output / "report.md").read_text()
    with (output / "cells.csv").open() as file:
        (cell,) = csv.DictReader(file)
    assert (cell["row"], cell["seed"], cell["fold"]) == ("BSFT", "0", "0")
    assert list((tmp_path / "study_work" / "prepared").glob("*test_only*"))


def test_command_with_a_ct_to_time_then_a_table_and_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(study_command, "Workshop", lambda place: Workshop(place, Pretender()))
    path, output = write_study(tmp_path, engines=["torch"]), tmp_path / "report"
    ct = tmp_path / "ct.mhd"
    with pytest.raises(FileNotFoundError, match="timed_ct: no such file"):
        study_command.study(str(path), str(output), small=True, timed_ct=str(ct))
    ct.touch()
    study_command.study(str(path), str(output), small=True, timed_ct=str(ct))
    assert (
        "| BSFT | torch | torch float32 | 0.535 | 5.5 | 4.0 |" in (output / "report.md").read_text()
    )
    assert (output / "speed.png").is_file()


def test_command_with_a_ct_for_a_study_without_engines_then_refused(tmp_path):
    path = write_study(tmp_path)
    with pytest.raises(ValueError, match="timed_ct: the study mine declares no engines"):
        study_command.study(str(path), str(tmp_path / "r"), small=True, timed_ct=str(tmp_path))
