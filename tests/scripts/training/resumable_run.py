"""A staged training to be killed by SIGKILL at a chosen place, in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from scripts.training.checkpoint import TrainingCheckpoint
from scripts.training.determinism import EpochSeed
from scripts.training.fine_tuning import stage_report
from scripts.training.fine_tuning.stage_report import StageReport
from tests.scripts.training.tiny_training import TinyTraining

THREE_STAGES = {
    "name": "three",
    "stages": [
        {"name": "A: block2", "trainable": ["decoder", "block2"], "epochs": 3, "patience": 1},
        {"name": "B: block1", "trainable": ["decoder", "block2", "block1"], "epochs": 2},
        {"name": "C: slower", "trainable": ["all"], "epochs": 2, "learning_rate": 0.005},
    ],
}


def make(
    folder: Path, *, resume: bool, workers: int = 0, accepted_changes: str = "", **options: Any
) -> Any:
    """The trainer of the run, in a list of handlers whose order is not the order of action."""
    options = {"strategy": THREE_STAGES, **options}
    training = TinyTraining(folder, workers=workers, **options)
    objects = {"network": training.network, "optimizer": training.optimizer}
    handlers = [
        StageReport(folder, metrics=["val_dice"], curves=False),
        TrainingCheckpoint(folder, objects, resume=resume, accepted_changes=accepted_changes),
        training.stages,
        EpochSeed(5, evaluator=training.evaluator),
        training.validation,
    ]
    trainer = training.trainer(handlers)
    trainer.training = training
    return trainer


class Killer:
    """Ends this process at the n-th call."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self, *_: Any) -> None:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


def plant(trainer: Any, where: str, count: int) -> None:
    """Have the process killed at a place."""
    kill = Killer(count)
    if where == "iteration":
        trainer.add_event_handler(Events.ITERATION_COMPLETED, kill)
    elif where == "validation":
        trainer.training.evaluator.add_event_handler(Events.ITERATION_COMPLETED, kill)
    elif where == "report":
        stage_report.write_csv = _before(stage_report.write_csv, kill)  # type: ignore[assignment]
    elif where in {"writing", "result"}:
        wanted = "checkpoint_" if where == "writing" else "model.pt"
        torch.save = _half(torch.save, kill, wanted)
    else:
        os.replace = _around(os.replace, kill, after=where == "renamed")


def _before(function: Callable[..., Any], kill: Killer) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        kill()
        return function(*arguments, **named)

    return call


def _half(function: Callable[..., Any], kill: Killer, wanted: str) -> Callable[..., Any]:
    """Cut the file in half before the kill."""

    def call(content: Any, path: Path) -> Any:
        function(content, path)
        if wanted in path.name:
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
            kill()
            path.write_bytes(whole)

    return call


def _around(function: Callable[..., Any], kill: Killer, *, after: bool) -> Callable[..., Any]:
    def call(source: Path, target: Path) -> Any:
        ours = "checkpoint_" in Path(target).name
        if ours and not after:
            kill()
        function(source, target)
        if ours and after:
            kill()

    return call


def run(folder: Path, resume: bool, kill: str | None, workers: int) -> None:
    """Train in this process.

    Args:
        folder: of the output.
        resume: whether to go on.
        kill: ``WHERE:N`` ends the process at the N-th time (from 1) that it is at WHERE:
            ``iteration``, ``validation``, ``report`` (between its files), ``writing`` (half of a
            checkpoint is written), ``renaming`` (written, not yet in place), ``renamed`` (in place,
            the oldest not yet dropped), ``result`` (half of model.pt is written).
        workers: of the data loader.
    """
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of the loader's workers
    trainer = make(folder, resume=resume, workers=workers)
    if kill:
        where, _, count = kill.partition(":")
        plant(trainer, where, int(count))
    trainer.run()


def stop_after(folder: Path, epochs: int) -> None:
    """A run that is stopped from outside, as by Ctrl-C, in the epoch after ``epochs``."""
    trainer = make(folder, resume=False)

    def stop(engine: Engine) -> None:
        if engine.state.epoch > epochs:
            raise KeyboardInterrupt

    trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
