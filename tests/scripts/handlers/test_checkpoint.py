"""Resuming: a run that was killed anywhere ends bit-equal to one that never was."""

from __future__ import annotations

import csv
import json
import logging
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.losses import DiceLoss

from scripts.handlers import tensor_files
from scripts.handlers.checkpoint import TrainingCheckpoint, fingerprint, list_differences
from scripts.handlers.engine_events import keep_state
from tests.scripts.handlers import resumable_run
from tests.scripts.handlers.tiny_training import TinyTraining, equal

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
    moments = random.Random(7)
    kills = 0
    while kills < 6:
        process = start(tmp_path, resume=True)
        time.sleep(moments.uniform(0.3, 0.65))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        kills += 1
        if finish(process) == 0:
            break
    assert finish(start(tmp_path, resume=True)) == 0
    assert_same_run(tmp_path, never_stopped)


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
    assert "all stages are finished already" in caplog.text
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
    assert "going on after epoch 3" in caplog.text
    assert_same_run(tmp_path, never_stopped)


def stop_after(folder: Path, epochs: int) -> None:
    """A run that is stopped from outside, as by Ctrl-C, in the epoch after ``epochs``."""
    trainer = resumable_run.make(folder, resume=False)

    def stop(engine: Engine) -> None:
        if engine.state.epoch > epochs:
            raise KeyboardInterrupt

    trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()


def test_resume_when_no_file_can_be_read_then_it_is_refused(tmp_path: Path) -> None:
    stop_after(tmp_path, 2)
    for file in (tmp_path / "checkpoints").iterdir():
        file.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=r"none of .*checkpoint_00002.pt, .* can be read; move"):
        resumable_run.make(tmp_path, resume=True).run()


def test_start_when_the_folder_holds_a_run_then_it_is_refused_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    stop_after(tmp_path, 2)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.pt")}
    with pytest.raises(FileExistsError, match="pass resume=true to go on with it, another output"):
        resumable_run.make(tmp_path, resume=False).run()
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*.pt")}


@pytest.mark.parametrize("resume", [False, True])
def test_start_when_the_folder_holds_a_result_only_then_it_is_refused(
    tmp_path: Path, resume: bool
) -> None:
    (tmp_path / "model.pt").write_bytes(b"forty hours")
    with pytest.raises(FileExistsError, match=r"model.pt is of an earlier run; pass another outp"):
        resumable_run.make(tmp_path, resume=resume).run()
    assert (tmp_path / "model.pt").read_bytes() == b"forty hours"


def small(folder: Path, **options: Any) -> Any:
    """A trainer with a checkpoint handler of these options."""
    training = TinyTraining(folder)
    objects = {"network": training.network, "optimizer": training.optimizer}
    checkpoint = TrainingCheckpoint(folder, objects, **options)
    return training.trainer([training.validation, training.stages, checkpoint])


def test_start_when_overwriting_then_the_old_checkpoints_go(tmp_path: Path) -> None:
    small(tmp_path, interval=3).run()
    other = tmp_path / "checkpoints" / "notes.pt"
    other.write_text("not ours")
    small(tmp_path, overwrite=True).run()
    names = sorted(file.name for file in (tmp_path / "checkpoints").iterdir())
    assert names == ["checkpoint_00003.pt", "checkpoint_00004.pt", "notes.pt"]


def test_checkpoints_when_an_interval_is_given_then_they_are_that_far_apart_and_one_ends_the_run(
    tmp_path: Path,
) -> None:
    small(tmp_path, interval=3).run()
    names = sorted(file.name for file in (tmp_path / "checkpoints").iterdir())
    assert names == ["checkpoint_00003.pt", "checkpoint_00004.pt"]


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "strategy": (
        {"strategy": {**resumable_run.THREE_STAGES, "name": "other"}},
        "strategy.name: 'three' then, 'other' now",
    ),
    "learning rate": (
        {"learning_rate": 0.01},
        r"strategy.stages\[0\].learning_rate: 0.02 then, 0.01 now",
    ),
    "optimiser": ({"optimizer": torch.optim.AdamW}, "optimizer class: 'Adam' then, 'AdamW' now"),
}


@pytest.mark.parametrize(("options", "message"), CHANGES.values(), ids=CHANGES.keys())
def test_resume_when_settings_differ_then_it_is_refused_and_says_which(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    stop_after(tmp_path, 1)
    with pytest.raises(ValueError, match=f"made under other settings: {message}"):
        resumable_run.make(tmp_path, resume=True, **options).run()


def test_resume_when_given_settings_differ_then_it_is_refused_and_says_which(
    tmp_path: Path,
) -> None:
    small(tmp_path, settings={"split": "patient"}).run()
    with pytest.raises(ValueError, match="split: 'patient' then, 'nodule' now"):
        small(tmp_path, settings={"split": "nodule"}, resume=True).run()


def test_resume_when_the_network_differs_then_it_names_the_tensor(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    plain_engine(tmp_path, network).run([0], max_epochs=1)
    with pytest.raises(ValueError, match=r"network tensors.weight\[0\]: 2 then, 3 now"):
        plain_engine(tmp_path, torch.nn.Linear(2, 3), resume=True).run([0], max_epochs=2)


def plain_engine(folder: Path, network: torch.nn.Module, **options: Any) -> Engine:
    """A trainer without stages, as pretraining has it: each iteration adds 1 to the weights."""

    def step(engine: Engine, batch: int) -> None:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1.0)

    engine = Engine(step)
    TrainingCheckpoint(folder, {"network": network}, **options).attach(engine)
    return engine


def test_resume_when_there_are_no_stages_then_it_goes_on_with_more_epochs(tmp_path: Path) -> None:
    network = torch.nn.Linear(1, 1)
    torch.nn.init.zeros_(network.weight)
    plain_engine(tmp_path, network).run([0, 0], max_epochs=2)
    torch.nn.init.zeros_(network.weight)
    engine = plain_engine(tmp_path, network, resume=True)
    engine.run([0, 0], max_epochs=3)
    assert (engine.state.epoch, network.weight.item()) == (3, 6.0)


def test_save_when_a_state_cannot_be_read_again_then_the_first_epoch_says_so(
    tmp_path: Path,
) -> None:
    class Odd:
        def state_dict(self) -> dict[str, Any]:
            return {"loss": DiceLoss()}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            raise NotImplementedError

    engine = plain_engine(tmp_path, torch.nn.Linear(1, 1))
    keep_state(engine, "odd", Odd())
    with pytest.raises(ValueError, match=r"checkpoint_00001.pt: not a readable checkpoint"):
        engine.run([0], max_epochs=3)


def test_save_when_the_disk_is_full_then_it_names_the_file_and_keeps_the_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = plain_engine(tmp_path, torch.nn.Linear(1, 1))

    def full(content: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file")

    @engine.on(Events.EPOCH_STARTED(once=2))
    def _fill() -> None:
        monkeypatch.setattr(tensor_files.torch, "save", full)

    with pytest.raises(OSError, match=r"cannot write .*checkpoint_00002.pt: .* make room"):
        engine.run([0], max_epochs=3)
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["checkpoint_00001.pt"]


def test_start_when_the_folder_cannot_be_written_then_it_is_refused_before_training(
    tmp_path: Path,
) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    engine = plain_engine(tmp_path, torch.nn.Linear(1, 1))
    with pytest.raises(OSError, match=r"output_dir: cannot write in .*checkpoints: .* choose"):
        engine.run([0], max_epochs=1)
    assert engine.state.iteration == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resume": True, "overwrite": True}, "resume, overwrite: ask for one of them"),
        ({"interval": 0}, "interval: must be at least 1 epoch, got 0"),
        ({"objects": {"network": 3}}, r"objects: must have a state_dict each, \['network'\] given"),
        ({"objects": {}}, "objects: must have a state_dict each, none given"),
    ],
)
def test_checkpoint_when_an_argument_makes_no_sense_then_it_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    objects = options.pop("objects", {"network": torch.nn.Linear(1, 1)})
    with pytest.raises(ValueError, match=message):
        TrainingCheckpoint(tmp_path, objects, **options)


def test_fingerprint_when_the_order_of_keys_differs_then_it_is_the_same() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_differences_when_lists_differ_in_length_then_both_are_shown_cut_short() -> None:
    assert list_differences({"a": [1]}, {"a": [1] * 50}) == [
        f"a: [1] then, {repr([1] * 50)[:57]}... now"
    ]
