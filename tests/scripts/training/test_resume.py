"""Resuming: a run that was killed anywhere ends bit-equal to one that never was."""

from __future__ import annotations

import csv
import json
import logging
import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.scripts.training import resumable_run
from tests.scripts.training.resumable_run import stop_after
from tests.scripts.training.tiny_training import equal

Start = Callable[..., BaseProcess]


@pytest.fixture(scope="session")
def start() -> Start:
    """Starts ``resumable_run.run`` in a process forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([resumable_run.__name__])

    def _start(
        folder: Path, *, resume: bool = False, kill: str | None = None, workers: int = 0
    ) -> BaseProcess:
        process = context.Process(target=resumable_run.run, args=(folder, resume, kill, workers))
        process.start()
        return process

    return _start


def finish(process: BaseProcess) -> int | None:
    process.join(60)
    return process.exitcode


@pytest.fixture(scope="session")
def never_stopped(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("never_stopped")
    assert finish(start(folder)) == 0
    return folder


def rows(file: Path) -> list[dict[str, str]]:
    """A CSV file without its column of seconds."""
    with file.open(newline="") as stream:
        return [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in csv.DictReader(stream)
        ]


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_seconds(item) for key, item in value.items() if key != "seconds"}
    return [without_seconds(item) for item in value] if isinstance(value, list) else value


def flat(value: Any, where: str = "") -> dict[str, Any]:
    """Every leaf by its path."""
    if not isinstance(value, (dict, list)):
        return {where: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {
        name: leaf for key, item in items for name, leaf in flat(item, f"{where}/{key}").items()
    }


def same(one: Any, other: Any) -> bool:
    """Bit-equality of plain Python and tensors, seconds aside."""
    a, b = flat(without_seconds(one)), flat(without_seconds(other))
    return a.keys() == b.keys() and all(
        torch.equal(a[key], b[key]) if isinstance(a[key], torch.Tensor) else a[key] == b[key]
        for key in a
    )


def load(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(file, weights_only=True)
    return content


def assert_same_run(folder: Path, other: Path) -> None:
    assert same(load(folder / "model.pt"), load(other / "model.pt"))
    tables = [json.loads((each / "stages.json").read_text()) for each in (folder, other)]
    assert without_seconds(tables[0]) == without_seconds(tables[1])
    for name in ("stages.csv", "history.csv"):
        assert rows(folder / name) == rows(other / name)
    last = [max((each / "checkpoints").iterdir()) for each in (folder, other)]
    assert last[0].name == last[1].name
    assert same(load(last[0]), load(last[1]))


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param("iteration:2", id="in the first epoch"),
        pytest.param("iteration:8", id="in the epoch at which stage 1 ends"),
        pytest.param("iteration:14", id="in the middle of stage 2"),
        pytest.param("validation:5", id="in the validation at which stage 2 ends"),
        pytest.param("report:6", id="between the files of the report"),
        pytest.param("writing:1", id="while the first checkpoint is written"),
        pytest.param("writing:3", id="while the checkpoint of a stage's end is written"),
        pytest.param("renaming:4", id="before a checkpoint is renamed"),
        pytest.param("renamed:3", id="before the oldest checkpoint is dropped"),
        pytest.param("result:1", id="while the result is written"),
    ],
)
def test_resume_when_killed_then_it_ends_bit_equal_to_a_run_never_stopped(
    start: Start, never_stopped: Path, tmp_path: Path, kill: str
) -> None:
    assert finish(start(tmp_path, kill=kill)) == -signal.SIGKILL
    assert finish(start(tmp_path, resume=True)) == 0
    assert_same_run(tmp_path, never_stopped)
    assert not list(tmp_path.rglob(".part-*checkpoint*"))


def test_resume_when_killed_again_and_again_at_any_moment_then_it_ends_bit_equal(
    start: Start, never_stopped: Path, tmp_path: Path
) -> None:
    begun = time.monotonic()
    assert finish(start(tmp_path / "timed")) == 0
    seconds = time.monotonic() - begun
    moments = random.Random(7)
    killed = 0
    for _ in range(6):
        process = start(tmp_path / "killed", resume=True)
        time.sleep(seconds * moments.uniform(0.2, 0.7))
        process.kill()
        if finish(process) == 0:
            break
        killed += 1
    assert killed > 0
    assert finish(start(tmp_path / "killed", resume=True)) == 0
    assert_same_run(tmp_path / "killed", never_stopped)


def test_resume_when_workers_load_the_data_then_it_ends_bit_equal(
    start: Start, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert finish(start(whole, workers=2)) == 0
    assert finish(start(killed, workers=2, kill="iteration:11")) == -signal.SIGKILL
    assert finish(start(killed, workers=2, resume=True)) == 0
    assert_same_run(killed, whole)


def test_resume_when_the_run_is_finished_then_it_says_so_and_leaves_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    resumable_run.make(tmp_path, resume=False).run()
    before = load(tmp_path / "model.pt")
    (tmp_path / "model.pt").unlink()
    with caplog.at_level(logging.INFO):
        trainer = resumable_run.make(tmp_path, resume=True)
        trainer.run()
    assert "all stages are already finished" in caplog.text
    assert same(load(tmp_path / "model.pt"), before)
    assert equal(trainer.network.state_dict(), before["model"])


def test_resume_when_there_is_no_checkpoint_then_it_says_so_and_starts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        resumable_run.make(tmp_path, resume=True).run()
    assert f"no checkpoint in {tmp_path / 'checkpoints'}" in caplog.text
    assert (tmp_path / "model.pt").is_file()


def test_resume_when_the_newest_file_is_cut_then_the_one_before_is_taken(
    never_stopped: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stop_after(tmp_path, 4)
    newest = tmp_path / "checkpoints" / "checkpoint_00004.pt"
    newest.write_bytes(newest.read_bytes()[:2000])
    with caplog.at_level(logging.INFO):
        resumable_run.make(tmp_path, resume=True).run()
    assert f"cannot read {newest}" in caplog.text
    assert "continuing after epoch 3" in caplog.text
    assert_same_run(tmp_path, never_stopped)
