"""Staged fine-tuning, by what happens to weights and statistics in real training iterations."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pytest
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Metric
from monai.engines.utils import IterationEvents
from monai.handlers import CheckpointLoader, StatsHandler, ValidationHandler
from torch.nn.parallel import DistributedDataParallel

from custom_nets.freezing import Freezable
from custom_nets.unet import TransferUNet
from scripts.handlers.determinism import EpochSeed
from scripts.handlers.engine_events import StageEvents
from scripts.handlers.stage_record import copy_of
from scripts.handlers.stages import StagedFineTuning
from scripts.strategies import parameter_groups
from tests.scripts.handlers.tiny_training import TWO_STAGES, TinyTraining, equal

STRATEGIES = Path(__file__).resolve().parents[3] / "configs" / "strategies"
PARTS = {"block1": ("conv1", "norm1"), "block2": ("conv2", "norm2"), "decoder": ("head",)}


def stage(trainable: list[str], **settings: Any) -> dict[str, Any]:
    return {"name": "+".join(trainable), "trainable": trainable, **settings}


def strategy(*stages: dict[str, Any]) -> dict[str, Any]:
    return {"name": "test", "stages": list(stages)}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> dict[str, bool]:
    """Whether weights or statistics changed, by part."""
    return {
        part: any(
            not torch.equal(before[key], after[key])
            for key in before
            if key.startswith(tuple(prefixes))
        )
        for part, prefixes in PARTS.items()
    }


@pytest.mark.parametrize(
    "trainable",
    [
        pytest.param(["decoder"], id="decoder only"),
        pytest.param(["decoder", "block2"], id="decoder and the last block"),
        pytest.param(["decoder", "block1"], id="a frozen block behind a released one"),
        pytest.param(["decoder", "conv2"], id="decoder and a layer"),
        pytest.param(["all"], id="everything"),
    ],
)
def test_training_when_parts_are_frozen_then_they_are_bit_equal_and_the_others_move(
    tmp_path: Path, trainable: list[str]
) -> None:
    training = TinyTraining(tmp_path, strategy=strategy(stage(trainable, epochs=2)))
    before = copy_of(training.network)
    training.trainer().run()
    released = {"all": PARTS.keys(), "conv2": {"block2"}}
    expected = set().union(*(released.get(name, {name}) for name in trainable))
    after = copy_of(training.network)
    assert moved(before, after) == {part: part in expected for part in PARTS}


def test_stages_when_one_follows_another_then_each_freezes_its_own(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    starts: list[dict[str, torch.Tensor]] = []
    ends: list[dict[str, torch.Tensor]] = []
    trainer = training.trainer()
    trainer.add_event_handler(
        StageEvents.STAGE_STARTED, lambda: starts.append(copy_of(training.network))
    )
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: ends.append(copy_of(training.network))
    )
    trainer.run()
    assert moved(starts[0], ends[1]) == {"block1": False, "block2": True, "decoder": True}
    assert moved(starts[1], ends[3]) == {"block1": True, "block2": True, "decoder": True}


def by_block(network: Freezable) -> dict[str, dict[str, torch.Tensor]]:
    """Weights and statistics of each block; a statistic belongs where its norm's weight does."""
    blocks = {id(p): g["name"] for g in network.parameter_groups() for p in g["params"]}
    modules = {
        name.rpartition(".")[0]: blocks[id(parameter)]
        for name, parameter in network.named_parameters()
    }
    found: dict[str, dict[str, torch.Tensor]] = {block: {} for block in network.block_names}
    for key, tensor in copy_of(network).items():
        found[modules[key.rpartition(".")[0]]][key] = tensor
    return found


def test_bsft_when_a_real_network_trains_then_every_stage_moves_exactly_what_it_releases(
    tmp_path: Path,
) -> None:
    def network() -> Freezable:
        return TransferUNet("densenet121", in_channels=1, decoder_channels=(16, 8, 8, 8, 8))

    shipped = json.loads((STRATEGIES / "bsft.json").read_text())["strategy"]
    for each in shipped["stages"]:
        each["epochs"] = 1
    training = TinyTraining(tmp_path, strategy=shipped, network=network, count=2)
    trainer = training.trainer()
    starts: list[dict[str, dict[str, torch.Tensor]]] = []
    ends: list[dict[str, dict[str, torch.Tensor]]] = []
    trainer.add_event_handler(
        StageEvents.STAGE_STARTED, lambda: starts.append(by_block(training.network))
    )
    trainer.add_event_handler(
        StageEvents.STAGE_COMPLETED, lambda: ends.append(by_block(training.network))
    )
    trainer.run()
    for each, start, end in zip(shipped["stages"], starts, ends, strict=True):
        still = {block for block in start if equal(start[block], end[block])}
        assert still == set(start) - set(each["trainable"])


class Scripted(Metric):
    """A validation metric that takes given values one after the other."""

    def __init__(self, values: list[float]) -> None:
        self.values = iter(values)
        super().__init__()

    def reset(self) -> None:
        """Go on with the next value."""

    def update(self, output: Any) -> None:
        """Take no notice."""

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
    starts: list[dict[str, torch.Tensor]] = []
    ends: list[dict[str, torch.Tensor]] = []
    trainer = training.trainer()
    trainer.add_event_handler(
        StageEvents.STAGE_STARTED, lambda: starts.append(copy_of(training.network))
    )
    trainer.add_event_handler(
        IterationEvents.MODEL_COMPLETED, lambda: ends.append(copy_of(training.network))
    )
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
        match=r"val_dice: must be one finite number after a validation, is nan in stage 2 of 2, "
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
    assert "stage 2 of 2, B: block1: stopped by another handler before its end" in caplog.text
    assert torch.load(tmp_path / "model.pt", weights_only=True)["epoch"] == 3


def test_training_when_ended_before_any_validation_then_there_is_no_result(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    trainer = training.trainer()
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), lambda: trainer.terminate())
    with pytest.raises(ValueError, match="training: ended before any validation"):
        trainer.run()


def test_training_when_a_stage_starts_then_the_log_says_what_is_released(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run(TinyTraining(tmp_path))
    assert "stage 2 of 2, B: block1: released decoder, block2, block1; 217 of 217" in caplog.text


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown name in the last stage": (
        {"strategy": strategy(stage(["decoder"]), stage(["decoder", "blok1"]))},
        r"stage decoder\+blok1: trainable: .*all, encoder, block1, block2, decoder, conv1.*'blok1'",
    ),
    "rate of an unknown part": (
        {"strategy": strategy(stage(["all"], learning_rates={"block9": 1e-3}))},
        "stage all: learning_rates: unknown block9; valid names are block1, block2, decoder",
    ),
    "rate of a frozen part": (
        {"strategy": strategy(stage(["decoder"], learning_rates={"block1": 1e-3}))},
        "stage decoder: learning_rates: block1 is frozen in this stage",
    ),
    "epochs between validations": (
        {"strategy": strategy(stage(["all"], epochs=3)), "val_interval": 2},
        "stage all: epochs: 3 is no multiple of val_interval 2",
    ),
    "interval of 0": ({"val_interval": 0}, "val_interval: must be at least 1 epoch, got 0"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_stages_when_a_later_one_could_not_run_then_they_are_refused_at_once(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TinyTraining(tmp_path, **options)


def test_stages_when_checked_then_the_network_trains_what_it_did_before(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    assert training.network.trainable == ("all",)
    assert all(parameter.requires_grad for parameter in training.network.parameters())


def test_attach_when_the_trainer_is_too_short_then_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="take up to 4 epochs, the trainer has 3; set it to"):
        TinyTraining(tmp_path, max_epochs=3).trainer()


def test_attach_when_the_trainer_is_longer_then_training_ends_with_the_last_stage(
    tmp_path: Path,
) -> None:
    assert len(run(TinyTraining(tmp_path, max_epochs=9))) == 4


def test_attach_when_the_evaluator_has_no_key_metric_then_it_is_refused(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    training.evaluator.state.key_metric_name = None
    with pytest.raises(ValueError, match="evaluator: has no key metric to judge stages by"):
        training.trainer()


def test_attach_when_done_twice_then_it_is_refused(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    with pytest.raises(ValueError, match="stages: a handler of this kind is attached"):
        training.trainer([training.stages, training.stages])


def test_optimizer_when_its_groups_are_not_the_networks_then_it_is_refused(tmp_path: Path) -> None:
    def unnamed(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam([p for group in groups for p in group["params"]])

    with pytest.raises(
        ValueError, match=r"must have the parameter groups block1, block2, decoder, has \[None\]"
    ):
        TinyTraining(tmp_path, optimizer=unnamed)


def test_optimizer_when_it_is_of_another_network_then_it_is_refused(tmp_path: Path) -> None:
    def foreign(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameter_groups(TinyTraining(tmp_path).network, 0.1))

    with pytest.raises(ValueError, match="group block1 holds other parameters than the network's"):
        TinyTraining(tmp_path, optimizer=foreign)


def test_optimizer_when_it_has_a_scheduler_then_it_is_refused(tmp_path: Path) -> None:
    def scheduled(groups: Any) -> torch.optim.Optimizer:
        made = torch.optim.Adam(groups)
        torch.optim.lr_scheduler.StepLR(made, 1)
        return made

    with pytest.raises(ValueError, match="has a learning rate scheduler, which would undo"):
        TinyTraining(tmp_path, optimizer=scheduled)


@pytest.mark.parametrize("engine", ["trainer", "evaluator"])
def test_engines_when_one_has_another_network_then_it_is_refused_at_the_start(
    tmp_path: Path, engine: str
) -> None:
    training = TinyTraining(tmp_path)
    trainer = training.trainer()
    other = TinyTraining(tmp_path).network
    (trainer if engine == "trainer" else training.evaluator).network = other
    with pytest.raises(ValueError, match=f"network: the {engine} has another network object"):
        trainer.run()


def test_engines_when_the_trainer_has_another_optimizer_then_it_is_refused(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    trainer = training.trainer()
    trainer.optimizer = TinyTraining(tmp_path).optimizer
    with pytest.raises(ValueError, match="optimizer: the trainer has another optimiser"):
        trainer.run()


@pytest.fixture
def process_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distributed run of one process."""
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "1")):
        monkeypatch.setenv(name, value)
    where = f"file://{tmp_path / 'rendezvous'}"
    idist.initialize("gloo", init_method=where, rank=0, world_size=1)
    yield
    idist.finalize()


def distributed(folder: Path, *, unused: bool) -> TinyTraining:
    training = TinyTraining(folder)
    wrapped = DistributedDataParallel(training.network, find_unused_parameters=unused)
    training.evaluator.network = wrapped
    training.stages = StagedFineTuning(
        wrapped,
        training.optimizer,
        training.evaluator,
        TWO_STAGES,
        epochs=2,
        learning_rate=0.02,
        output_dir=folder,
    )
    training.network = wrapped  # type: ignore[assignment]
    return training


@pytest.mark.usefixtures("process_group")
def test_network_when_wrapped_for_distributed_training_then_its_stages_run(tmp_path: Path) -> None:
    training = distributed(tmp_path, unused=True)
    starts: list[dict[str, torch.Tensor]] = []
    ends: list[dict[str, torch.Tensor]] = []
    trainer = training.trainer()
    inner = training.network.module
    trainer.add_event_handler(StageEvents.STAGE_STARTED, lambda: starts.append(copy_of(inner)))
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: ends.append(copy_of(inner)))
    trainer.run()
    assert moved(starts[0], ends[5]) == {"block1": False, "block2": True, "decoder": True}
    assert moved(starts[1], ends[-1]) == {"block1": True, "block2": True, "decoder": True}
    saved = torch.load(tmp_path / "model.pt", weights_only=True)["model"]
    assert saved.keys() == inner.state_dict().keys()


@pytest.mark.usefixtures("process_group")
def test_network_when_wrapped_without_unused_parameters_then_it_is_refused(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="wrap it with find_unused_parameters=True"):
        distributed(tmp_path, unused=False).trainer().run()
