"""The end of stages, the weights passed to the next stage, and the result of a training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Metric
from monai.engines.utils import IterationEvents
from monai.handlers import CheckpointLoader, StatsHandler, ValidationHandler

from scripts.training.determinism import EpochSeed
from scripts.training.engine_events import StageEvents
from scripts.training.fine_tuning.stage_record import copy_of
from scripts.training.weights.stage_weights import StageWeights
from tests.scripts.training.tiny_training import (
    TWO_STAGES,
    TinyTraining,
    copies_at,
    equal,
    moved,
    stage,
    strategy,
)


class Scripted(Metric):
    """A validation metric that takes given values one after the other."""

    def __init__(self, values: list[float]) -> None:
        self.values = iter(values)
        super().__init__()

    def reset(self) -> None:
        """Continue with the next value."""

    def update(self, output: Any) -> None:
        """Ignore predictions."""

    def compute(self) -> float:
        return next(self.values)


def scripted(folder: Path, values: list[float], **options: Any) -> TinyTraining:
    """A training whose validations give these values."""
    training = TinyTraining(folder, **options)
    Scripted(values).attach(training.evaluator, "val_dice")
    return training


def run(training: TinyTraining, handlers: list[Any] | None = None) -> list[tuple[int, int, bool]]:
    """Train; (stage, epoch of the stage, whether its weights are the stage's best) by epoch."""
    trainer = training.trainer(handlers)
    trainer.run()
    assert trainer.state.epoch == len(training.stages.record.history)
    scores = training.stages.record.scores
    return [
        (e.stage, e.stage_epoch, scores[e.stage].epoch == e.epoch)
        for e in training.stages.record.history
    ]


def test_stage_when_out_of_patience_then_it_ends_and_the_next_begins(tmp_path: Path) -> None:
    plan = strategy(
        stage(["decoder"], epochs=5, patience=2), stage(["decoder", "block2"], epochs=2)
    )
    training = scripted(tmp_path, [0.1, 0.3, 0.2, 0.3, 0.5, 0.4], strategy=plan)
    assert run(training) == [
        (0, 1, False),
        (0, 2, True),
        (0, 3, False),
        (0, 4, False),  # equal is no improvement
        (1, 1, True),
        (1, 2, False),
    ]


def test_stage_when_it_ends_then_the_next_starts_from_its_best_weights_and_a_fresh_optimiser(
    tmp_path: Path,
) -> None:
    training = scripted(tmp_path, [0.5, 0.4, 0.3, 0.2])
    trainer = training.trainer()
    first: list[dict[str, torch.Tensor]] = []
    begins: list[tuple[dict[str, torch.Tensor], int]] = []
    training.evaluator.add_event_handler(
        Events.COMPLETED(once=1), lambda: first.append(copy_of(training.network))
    )
    trainer.add_event_handler(
        StageEvents.STAGE_STARTED,
        lambda: begins.append((copy_of(training.network), len(training.optimizer.state))),
    )
    trainer.run()
    weights, states = begins[1]
    assert equal(weights, first[0])
    assert states == 0
    assert len(training.optimizer.state) > 0


@pytest.mark.parametrize(
    ("values", "best"),
    [([0.1, 0.7, 0.2, 0.3], 2), ([0.1, 0.2, 0.2, 0.9], 4), ([0.5, 0.1, 0.5, 0.5], 1)],
    ids=["of the first stage", "of the last stage", "of equal ones the earliest"],
)
def test_result_when_training_ends_then_it_is_the_best_network(
    tmp_path: Path, values: list[float], best: int
) -> None:
    training = scripted(tmp_path, values)
    seen: list[dict[str, torch.Tensor]] = []
    training.evaluator.add_event_handler(
        Events.COMPLETED, lambda: seen.append(copy_of(training.network))
    )
    training.trainer().run()
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert equal(saved["model"], seen[best - 1])
    assert equal(copy_of(training.network), seen[best - 1])
    assert saved["epoch"] == best
    assert saved["value"] == max(values)
    assert saved["metric"] == "val_dice"
    assert saved["stage"] == TWO_STAGES["stages"][(best - 1) // 2]["name"]
    assert saved["strategy"]["name"] == "two"


def test_result_when_a_smaller_metric_is_better_then_the_smallest_wins(tmp_path: Path) -> None:
    training = scripted(tmp_path, [0.5, 0.2, 0.3, 0.4])
    training.evaluator.metric_cmp_fn = lambda current, best: current < best
    training.trainer().run()
    assert torch.load(tmp_path / "model.pt", weights_only=True)["epoch"] == 2


def test_model_file_when_loaded_by_monai_then_the_network_is_the_result(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    training.trainer().run()
    other = TinyTraining(tmp_path).network
    engine = Engine(lambda engine, batch: None)
    CheckpointLoader(str(tmp_path / "model.pt"), {"model": other}).attach(engine)
    engine.run([0])
    assert equal(copy_of(other), copy_of(training.network))


def test_learning_rates_when_given_by_part_then_only_that_part_has_its_own(tmp_path: Path) -> None:
    plan = strategy(
        stage(["decoder", "block2"], epochs=1, learning_rates={"block2": 1e-3}),
        stage(["all"], epochs=1, learning_rate=0.5),
    )
    training = TinyTraining(tmp_path, strategy=plan)
    trainer = training.trainer()
    rates: list[dict[str, float]] = []
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED,
        lambda: rates.append({g["name"]: g["lr"] for g in training.optimizer.param_groups}),
    )
    trainer.run()
    assert rates == [
        {"block1": 0.02, "block2": 1e-3, "decoder": 0.02},
        {"block1": 0.5, "block2": 0.5, "decoder": 0.5},
    ]


def test_learning_rates_when_a_final_rate_is_given_then_they_fall_within_each_stage(
    tmp_path: Path,
) -> None:
    plan = strategy(
        stage(["decoder", "block2"], epochs=3, learning_rates={"block2": 1e-3}, final_rate=0.25),
        stage(["all"], epochs=2, learning_rate=0.5, final_rate=0.1),
    )
    training = TinyTraining(tmp_path, strategy=plan)
    trainer = training.trainer()
    rates: list[tuple[float, ...]] = []

    @trainer.on(Events.EPOCH_COMPLETED)
    def _look() -> None:
        groups = {group["name"]: group["lr"] for group in training.optimizer.param_groups}
        rates.append((groups["block2"], groups["decoder"]))

    trainer.run()
    expected = [(1e-3, 0.02), (5e-4, 0.01), (2.5e-4, 0.005), (0.5, 0.5), (0.05, 0.05)]
    assert rates == [pytest.approx(pair) for pair in expected]


@pytest.mark.parametrize(
    "optimizer", [torch.optim.Adam, torch.optim.SGD, torch.optim.RMSprop, torch.optim.AdamW]
)
def test_optimizer_when_it_decays_weights_then_frozen_parts_hold_still_all_the_same(
    tmp_path: Path, optimizer: Any
) -> None:
    class Decaying(optimizer):  # type: ignore[misc]
        def __init__(self, groups: Any) -> None:
            momentum = {} if "Adam" in optimizer.__name__ else {"momentum": 0.9}
            super().__init__(groups, weight_decay=0.1, **momentum)

    plan = strategy(stage(["all"], epochs=1), stage(["decoder"], epochs=2))
    training = TinyTraining(tmp_path, strategy=plan, optimizer=Decaying)
    trainer = training.trainer()
    starts = copies_at(trainer, StageEvents.STAGE_STARTED, training.network)
    ends = copies_at(trainer, IterationEvents.MODEL_COMPLETED, training.network)
    trainer.run()
    assert moved(starts[1], ends[-1]) == {"block1": False, "block2": False, "decoder": True}


def test_validation_when_every_second_epoch_then_stages_end_where_it_ran(tmp_path: Path) -> None:
    training = scripted(
        tmp_path,
        [0.1, 0.2, 0.15, 0.3, 0.4],
        val_interval=2,
        strategy=strategy(
            stage(["decoder"], epochs=8, patience=1), stage(["decoder", "block2"], epochs=4)
        ),
    )
    history = run(training)
    assert [stage_epoch for _, stage_epoch, _ in history] == [1, 2, 3, 4, 5, 6, 1, 2, 3, 4]
    assert [score.epoch for score in training.stages.record.scores] == [4, 10]


def test_validation_when_the_handler_is_missing_then_the_first_epoch_says_so(
    tmp_path: Path,
) -> None:
    training = TinyTraining(tmp_path)
    with pytest.raises(
        ValueError,
        match=r"val_interval: 1, but no validation ran in epoch 1, stage 1 of 2, A: block2; add a",
    ):
        training.trainer([training.stages]).run()


def test_validation_when_it_runs_before_training_then_it_counts_for_no_stage(
    tmp_path: Path,
) -> None:
    training = scripted(tmp_path, [0.9, 0.1, 0.2, 0.3, 0.4])
    before = ValidationHandler(1, training.evaluator, exec_at_start=True)
    training.trainer([before, training.stages]).run()
    assert [score.metric for score in training.stages.record.scores] == [0.2, 0.4]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_handlers_when_in_any_order_then_the_run_is_the_same(
    tmp_path: Path, order: tuple[int, ...]
) -> None:
    def trained(order: tuple[int, ...]) -> dict[str, torch.Tensor]:
        training = TinyTraining(tmp_path)
        stats = StatsHandler(name="quiet", output_transform=lambda output: output[0]["loss"])
        handlers = [training.validation, stats, training.stages, EpochSeed(1)]
        assert len(run(training, [handlers[i] for i in order])) == 4
        return copy_of(training.network)

    assert equal(trained(order), trained((0, 1, 2, 3)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_loss_when_it_is_not_finite_then_training_stops_before_the_weights_change(
    tmp_path: Path, value: float
) -> None:
    training = TinyTraining(tmp_path)
    trainer = training.trainer()
    before: list[dict[str, torch.Tensor]] = []

    @trainer.on(Events.EPOCH_STARTED(once=3))
    def _break() -> None:
        trainer.loss_function = lambda pred, label: pred.sum() * value
        before.append({n: p.detach().clone() for n, p in training.network.named_parameters()})

    with pytest.raises(
        ValueError, match=r"loss: is (nan|-?inf) in stage 2 of 2, B: block1, epoch 3, iteration 7"
    ):
        trainer.run()
    after = dict(training.network.named_parameters())
    assert all(torch.equal(before[0][name], after[name]) for name in after)
    assert not (tmp_path / "model.pt").exists()


def test_metric_when_it_is_not_finite_then_training_stops_naming_stage_and_epoch(
    tmp_path: Path,
) -> None:
    training = scripted(tmp_path, [0.1, 0.2, float("nan")])
    with pytest.raises(
        ValueError,
        match=r"val_dice: must be one finite number after a validation, got nan in stage 2 of 2, "
        r"B: block1, epoch 3",
    ):
        training.trainer().run()


def test_training_when_another_handler_ends_it_then_the_best_so_far_is_the_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training = scripted(tmp_path, [0.1, 0.2, 0.3])
    trainer = training.trainer()
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=3), lambda: trainer.terminate())
    trainer.run()
    assert "stage 2 of 2, B: block1: stopped by another handler before it ended" in caplog.text
    assert torch.load(tmp_path / "model.pt", weights_only=True)["epoch"] == 3


def test_training_when_ended_before_any_validation_then_there_is_no_result(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    trainer = training.trainer()
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), lambda: trainer.terminate())
    with pytest.raises(ValueError, match="training: ended before the first validation"):
        trainer.run()


def test_training_when_a_stage_starts_then_the_log_says_what_is_released(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run(TinyTraining(tmp_path))
    assert "stage 2 of 2, B: block1: released decoder, block2, block1; 217 of 217" in caplog.text


def test_attach_when_the_trainer_is_longer_then_training_ends_with_the_last_stage(
    tmp_path: Path,
) -> None:
    assert len(run(TinyTraining(tmp_path, max_epochs=9))) == 4


THREE = [stage(["decoder"], epochs=1), stage(["decoder", "block2"], epochs=2), stage(["all"])]


@pytest.mark.parametrize(
    ("values", "ran", "decision"),
    [
        ([0.3, 0.2, 0.34, 0.5, 0.6], 3, "goes on: 0.3400 after 0.3000, margin 0.03"),
        ([0.3, 0.2, 0.32], 2, "stops: 0.3200 after 0.3000, margin 0.03"),
        ([0.3, 0.2, 0.1], 2, "stops: 0.2000 after 0.3000, margin 0.03"),
    ],
    ids=["better by more", "better by less", "worse"],
)
def test_margin_then_stages_end_with_the_first_that_is_not_better_by_more(
    values: list[float], ran: int, decision: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    plan = {**strategy(*THREE), "stop_margin": 0.03}
    training = scripted(tmp_path, values, strategy=plan)
    epochs = run(
        training, [training.validation, training.stages, StageWeights(training.network, tmp_path)]
    )
    assert len({stage for stage, _, _ in epochs}) == ran
    files = sorted(file.name for file in tmp_path.rglob("stage_*.pt"))
    assert files == [f"stage_{number}.pt" for number in range(1, ran + 1)]
    assert [one.text() for one in training.stages.record.decisions] == [decision]
    assert decision in caplog.text
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert saved["value"] == max(values)
    assert saved["strategy"]["stop_margin"] == 0.03


def test_margin_of_a_metric_that_falls_then_better_is_lower(tmp_path: Path) -> None:
    plan = {**strategy(*THREE), "stop_margin": 0.03}
    training = scripted(tmp_path, [0.3, 0.35, 0.25, 0.24, 0.24], strategy=plan)
    training.evaluator.metric_cmp_fn = lambda new, best: new < best
    run(training)
    assert [one.goes_on for one in training.stages.record.decisions] == [True]
