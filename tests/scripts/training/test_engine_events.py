from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import pytest
import torch.distributed as dist
from ignite.engine import Engine

from scripts.training.engine_events import (
    CheckpointEvents,
    StageEvents,
    after_run,
    is_main_process,
    keep_state,
    kept,
    mean_of_all_processes,
    register,
)


class State:
    """A handler with a number to save."""

    def __init__(self) -> None:
        self.number = 0

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.number = state_dict["number"]


@pytest.fixture
def engine() -> Engine:
    return Engine(lambda *_: None)


def test_states_of_several_handlers_then_all_are_kept_with_their_settings(engine: Engine) -> None:
    one, other = State(), State()
    keep_state(engine, "one", one, settings={"seed": 3})
    keep_state(engine, "other", other)
    keep_state(engine, "settings only", None, settings={"split": "patient"})
    assert kept(engine).objects == {"one": one, "other": other}
    assert kept(engine).settings == {"seed": 3, "split": "patient"}


def test_states_then_belong_to_their_engine_only(engine: Engine) -> None:
    keep_state(engine, "one", State())
    assert kept(Engine(lambda *_: None)).objects == {}


@pytest.mark.parametrize(
    ("name", "settings"), [("one", None), ("two", {"seed": 4})], ids=["object", "setting"]
)
def test_state_when_its_name_is_taken_then_refused_and_the_first_stays(
    engine: Engine, name: str, settings: dict[str, int] | None
) -> None:
    first = State()
    keep_state(engine, "one", first, settings={"seed": 3})
    with pytest.raises(ValueError, match=f"{name}: a handler of this kind is already attached"):
        keep_state(engine, name, State(), settings=settings)
    assert kept(engine).objects == {"one": first}
    assert kept(engine).settings == {"seed": 3}


def test_events_when_registered_twice_then_each_handler_is_called_once(engine: Engine) -> None:
    seen: list[str] = []
    register(engine, StageEvents)
    engine.add_event_handler(StageEvents.STAGE_STARTED, lambda: seen.append("stage"))
    register(engine, StageEvents)
    register(engine, CheckpointEvents)
    engine.add_event_handler(CheckpointEvents.RESUMED, lambda: seen.append("resumed"))
    engine.fire_event(StageEvents.STAGE_STARTED)
    engine.fire_event(CheckpointEvents.RESUMED)
    assert seen == ["stage", "resumed"]


def test_main_process_then_is_the_only_one_or_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_main_process()
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    for rank, expected in ((0, True), (1, False)):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        assert is_main_process() is expected


@pytest.mark.parametrize(("losses", "mean"), [([0.5, 0.25, 0.0], 0.25), ([], 0.0), ([2.0], 2.0)])
def test_mean_when_one_process_then_is_that_of_its_losses(losses: list[float], mean: float) -> None:
    assert mean_of_all_processes(losses) == mean


def test_mean_when_processes_have_unequal_shares_then_each_loss_counts_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    totals = {4.0: 10.0, 2: 3}  # the other process adds one loss of 6
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    monkeypatch.setattr(idist, "all_reduce", lambda own: totals[own])
    assert mean_of_all_processes([1.0, 3.0]) == pytest.approx(10 / 3)


@pytest.mark.parametrize("writes", [True, False], ids=["first process", "another process"])
def test_end_of_a_run_then_the_process_that_writes_files_completes_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, writes: bool
) -> None:
    monkeypatch.setattr("scripts.training.engine_events.is_main_process", lambda: writes)
    seen: list[str] = []
    after_run(engine, lambda: seen.append("written"))
    engine.run([0])
    assert not seen
    engine.fire_event(StageEvents.RUN_COMPLETED)
    assert seen == ["written"] * writes
