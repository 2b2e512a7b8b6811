"""Every mechanism of a stage in real trainings: frozen parts, interruptions, what stages change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from scripts.training.fine_tuning.stage_record import copy_of
from tests.scripts.training import resumable_run
from tests.scripts.training.tiny_training import (
    TWO_STAGES,
    TinyTraining,
    copies_at,
    equal,
    moved,
    stage,
    strategy,
)

MECHANISMS: dict[str, dict[str, Any]] = {
    "schedule": {"schedule": {"warm_up": 0.75, "power": 0.9}},  # 9 of 12 updates
    "penalty": {"penalty": {"pull": 2.0, "decay": 0.5}},
    "average": {"average": {"start": 0.25}},
    "auto_rates": {"auto_rates": True},
    "low_rank": {"trainable": ["decoder"], "low_rank": {"rank": 2, "parts": ["block2"]}},
    "layers": {"learning_rates": {"conv2": 0.001}},
}


def plan(name: str) -> dict[str, Any]:
    """Two stages, of which the second has the mechanism; block1 is frozen in both."""
    second = {"name": "with", "trainable": ["decoder", "block2"], "epochs": 4, **MECHANISMS[name]}
    return strategy(stage(["decoder"], epochs=1), second)


def stopped(folder: Path, wanted: dict[str, Any], epoch: int) -> None:
    """A run that is stopped in the second update of an epoch."""
    trainer = resumable_run.make(folder, resume=False, strategy=wanted)

    def stop(engine: Engine) -> None:
        if engine.state.epoch == epoch and engine.state.iteration % 3 == 2:
            raise KeyboardInterrupt

    trainer.add_event_handler(Events.ITERATION_COMPLETED, stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()


def finished(folder: Path, wanted: dict[str, Any], *, resume: bool = False) -> TinyTraining:
    trainer = resumable_run.make(folder, resume=resume, strategy=wanted)
    trainer.run()
    made: TinyTraining = trainer.training
    return made


def losses(made: TinyTraining) -> list[float]:
    return [epoch.train_loss for epoch in made.stages.record.history]


@pytest.mark.parametrize("name", MECHANISMS)
def test_mechanism_then_what_is_frozen_stays_bit_equal_and_the_stage_moves(
    name: str, tmp_path: Path
) -> None:
    training = TinyTraining(tmp_path, strategy=plan(name))
    before = copy_of(training.network)
    trainer = training.trainer()
    ends = copies_at(trainer, Events.ITERATION_COMPLETED, training.network)
    trainer.run()
    assert moved(before, ends[-1]) == {"block1": False, "block2": True, "decoder": True}
    assert moved(before, copy_of(training.network))["block1"] is False


@pytest.mark.parametrize("name", MECHANISMS)
def test_run_that_was_stopped_within_the_stage_then_ends_as_one_that_was_not(
    name: str, tmp_path: Path
) -> None:
    whole = finished(tmp_path / "whole", plan(name))
    stopped(tmp_path / "parts", plan(name), 4)
    parts = finished(tmp_path / "parts", plan(name), resume=True)
    assert losses(parts) == losses(whole)
    files = [tmp_path / folder / "model.pt" for folder in ("whole", "parts")]
    first, second = (torch.load(file, weights_only=True) for file in files)
    assert equal(first.pop("model"), second.pop("model"))
    first.pop("versions", None), second.pop("versions", None)
    assert first == second
    rates = [[epoch.rates for epoch in made.stages.record.history] for made in (whole, parts)]
    assert rates[0] == rates[1]
    assert rates[0][-1]


RANK = {"low_rank": {"rank": 1, "parts": ["block2"]}, "trainable": ["decoder"]}


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({}, "penalty", "needs the state of starting_point"),
        ({}, "average", "needs the state of average"),
        ({}, "layers", "optimizer groups"),
        ({}, "auto_rates", "optimizer groups"),
        (MECHANISMS["layers"], "schedule", "optimizer groups"),
        (RANK, "low_rank", "low rank of with: 40 then, 80 now"),
    ],
)
def test_run_when_resumed_with_a_strategy_of_another_state_then_it_is_refused(
    before: dict[str, Any], after: str, reason: str, tmp_path: Path
) -> None:
    wanted = plan(after)
    plain = {"name": "with", "trainable": ["decoder", "block2"], "epochs": 4}
    stopped(tmp_path, {**wanted, "stages": [wanted["stages"][0], {**plain, **before}]}, 3)
    trainer = resumable_run.make(
        tmp_path, resume=True, strategy=wanted, accepted_changes="strategy"
    )
    with pytest.raises(ValueError, match=f"^resume: .*{reason}.*; use .* another output_dir"):
        trainer.run()


@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_run_that_decides_its_depth_when_stopped_then_decides_the_same(
    margin: float, tmp_path: Path
) -> None:
    stages = [stage(["decoder"], epochs=1), stage(["decoder", "block2"], epochs=2), stage(["all"])]
    wanted = {**strategy(*stages), "stop_margin": margin}
    whole = finished(tmp_path / "whole", wanted)
    stopped(tmp_path / "parts", wanted, 3)
    parts = finished(tmp_path / "parts", wanted, resume=True)
    assert parts.stages.record.decisions == whole.stages.record.decisions
    assert [one.goes_on for one in whole.stages.record.decisions] == [margin == 0.0]
    assert losses(parts) == losses(whole)
    assert equal(copy_of(parts.network), copy_of(whole.network))


@pytest.mark.parametrize("name", ["schedule", "penalty", "low_rank", "layers"])
def test_mechanism_when_read_then_training_differs_from_a_stage_without(
    name: str, tmp_path: Path
) -> None:
    without = plan(name)
    without["stages"][1] = {**without["stages"][1]}
    for key in MECHANISMS[name].keys() - {"trainable"}:
        del without["stages"][1][key]
    one, other = finished(tmp_path / "1", plan(name)), finished(tmp_path / "2", without)
    assert losses(one)[0] == losses(other)[0]
    assert losses(one)[2:] != losses(other)[2:]


@pytest.mark.parametrize("name", MECHANISMS)
def test_record_in_the_model_then_has_the_numbers_of_the_mechanism(
    name: str, tmp_path: Path
) -> None:
    finished(tmp_path, plan(name))
    saved = torch.load(tmp_path / "model.pt", weights_only=True)["strategy"]["stages"]
    for key, value in MECHANISMS[name].items():
        found = saved[1][key]
        assert found == {**found, **value} if isinstance(value, dict) else found == value
    assert not {"schedule", "penalty", "average", "low_rank", "auto_rates"} & saved[0].keys()


def test_accumulated_gradients_then_one_penalty_for_each_step(tmp_path: Path) -> None:
    made = TinyTraining(tmp_path, strategy=plan("penalty"), optimizer=torch.optim.SGD)
    trainer = made.trainer()
    trainer.accumulation_steps = 3
    steps: list[float] = []
    (penalty,) = made.stages.mechanisms.all
    penalty.after_step = lambda: steps.append(made.optimizer.param_groups[0]["lr"])  # type: ignore[method-assign]
    trainer.run()
    assert len(steps) == 5  # epochs of 3 batches


def test_strategy_without_mechanisms_then_groups_and_states_are_those_of_blocks(
    tmp_path: Path,
) -> None:
    made = finished(tmp_path, TWO_STAGES)
    assert [group["name"] for group in made.optimizer.param_groups] == [
        "block1",
        "block2",
        "decoder",
    ]
    assert made.stages.mechanisms.state_dict() == {}
    assert made.stages.record.history[0].rates == {"block2": 0.02, "decoder": 0.02}
