from __future__ import annotations

import json
from pathlib import Path

import ignite.distributed as idist
import pytest
from ignite.engine import Engine

from scripts.training import run_record
from scripts.training.run_record import RunRecord


@pytest.fixture
def engine() -> Engine:
    return Engine(lambda *_: None)


def test_start_then_the_record_is_on_disk_before_the_first_iteration(tmp_path: Path) -> None:
    seen: list[list[str]] = []
    engine = Engine(lambda *_: seen.append([file.name for file in tmp_path.iterdir()]))
    RunRecord(tmp_path, name="training").attach(engine)
    assert list(tmp_path.iterdir()) == []
    engine.run([0])
    assert seen == [["training_record.json"]]
    assert "versions" in json.loads((tmp_path / "training_record.json").read_text())


def test_start_when_the_engine_runs_again_then_nothing_is_written(
    tmp_path: Path, engine: Engine
) -> None:
    RunRecord(tmp_path, name="training").attach(engine)
    engine.run([0])
    (tmp_path / "training_record.json").unlink()
    engine.run([0])
    assert list(tmp_path.iterdir()) == []


def test_start_when_it_is_not_the_first_process_then_nothing_is_written(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idist, "get_rank", lambda: 1)
    RunRecord(tmp_path).attach(engine)
    engine.run([0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("record", "line"),
    [
        ({"rerun": "python -m ..."}, "run again with: python -m ..."),
        ({"rerun": None, "config_reason": "no"}, "run again with: (no command: no)"),
    ],
    ids=["command", "no command"],
)
def test_start_then_the_log_shows_how_to_run_it_again(
    tmp_path: Path,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    record: dict[str, str | None],
    line: str,
) -> None:
    monkeypatch.setattr(run_record, "record_config", lambda folder, *, name: record)
    RunRecord(tmp_path).attach(engine)
    with caplog.at_level("INFO"):
        engine.run([0])
    assert line in caplog.messages


@pytest.mark.parametrize("name", ["", "a/b"])
def test_record_when_name_is_not_a_file_name_then_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="name: must be the start of a file name"):
        RunRecord(tmp_path, name=name)
