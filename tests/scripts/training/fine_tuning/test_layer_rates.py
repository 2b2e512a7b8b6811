"""Rates of single convolutions: with depth, and with their gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines.utils import IterationEvents

from scripts.training.fine_tuning.layer_rates import (
    GradientRates,
    groups_of,
    is_layered,
    layer_decay,
    relative_gradient,
    split_groups,
)
from scripts.training.fine_tuning.stage_options import Stage
from scripts.training.fine_tuning.strategies import parameter_groups, read_strategy
from tests.scripts.training.tiny_training import TinyNet, TinyTraining, stage, strategy

AUTO = Stage("auto", ("all",), 2, None, 0.1, auto_rates=True)


@pytest.mark.parametrize(
    ("layers", "decay", "message"),
    [
        ("conv1", 0.8, "layers: must be a list of layer names, got 'conv1'"),
        ([], 0.8, "layers: must be a list"),
        (["conv1"], 0, "decay: must be above 0 and at most 1, got 0"),
        (["conv1"], 1.1, "decay: must be above 0 and at most 1, got 1.1"),
    ],
)
def test_layer_decay_when_it_makes_no_sense_then_it_is_refused(
    layers: Any, decay: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        layer_decay(layers, 0.1, decay=decay)


def test_groups_when_split_then_by_layer_with_the_settings_of_their_block_and_all_parameters() -> (
    None
):
    network = TinyNet()
    optimizer = torch.optim.SGD(parameter_groups(network, 0.1), momentum=0.5)
    for _ in range(2):  # the second time changes nothing
        split_groups(optimizer, network)
        names = [(group["name"], group["block"]) for group in optimizer.param_groups]
        assert names == [("conv1", "block1"), ("conv2", "block2"), ("decoder", "decoder")]
        assert {(group["lr"], group["momentum"]) for group in optimizer.param_groups} == {
            (0.1, 0.5)
        }
        held = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert held == [id(p) for g in network.parameter_groups() for p in g["params"]]


def test_layered_then_only_strategies_with_rates_of_layers() -> None:
    def layered(**settings: Any) -> bool:
        plan = strategy(stage(["decoder"]), {**stage(["all"]), **settings})
        return is_layered(TinyNet(), read_strategy(plan, epochs=1, learning_rate=0.1))

    assert not layered()
    assert not layered(learning_rates={"block2": 0.1})
    assert layered(learning_rates={"conv2": 0.1})
    assert layered(auto_rates=True)
    assert [g["name"] for g in groups_of(TinyNet(), False)] == ["block1", "block2", "decoder"]


def test_rates_of_layers_then_each_layer_moves_by_its_own(tmp_path: Path) -> None:
    rates = {"conv1": 0.003, "block2": 0.01}
    plan = strategy(stage(["all"], epochs=1, learning_rates=rates))
    made = TinyTraining(tmp_path, strategy=plan, optimizer=torch.optim.Adam, count=2)
    before = {name: p.detach().clone() for name, p in made.network.named_parameters()}
    trainer = made.trainer()
    steps: dict[str, float] = {}

    def measure() -> None:
        for name, p in made.network.named_parameters():
            steps[name] = float((p.detach() - before[name]).abs().max())

    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), measure)
    trainer.run()
    # Adam's first step is the rate itself wherever there is a gradient
    assert steps["conv1.weight"] == pytest.approx(0.003, rel=1e-3)
    assert steps["conv2.weight"] == pytest.approx(0.01, rel=1e-3)
    assert steps["head.weight"] == pytest.approx(0.02, rel=1e-3)


def optimizer_with(gradients: dict[str, float]) -> torch.optim.Optimizer:
    """One weight of norm 2 for each name, with a gradient of this norm; 0 is no gradient."""
    groups = []
    for name, gradient in gradients.items():
        weight = torch.nn.Parameter(torch.tensor([2.0, 0.0]))
        weight.grad = torch.tensor([0.0, gradient]) if gradient else None
        groups.append({"name": name, "block": name, "params": [weight]})
    return torch.optim.SGD(groups, lr=1.0)


def test_gradient_rates_then_in_proportion_to_relative_gradients_and_the_decoder_full() -> None:
    rates = GradientRates(optimizer_with({"conv1": 0.4, "conv2": 1.6, "conv3": 0, "decoder": 9}))
    rates.begin(AUTO)
    rates.before_step()
    found = [rates.factor(name) for name in ("conv1", "conv2", "conv3", "decoder")]
    assert found == pytest.approx([0.25, 1.0, 1.0, 1.0])


def test_gradient_rates_then_those_of_the_epoch_before_and_forgotten_by_the_next_stage() -> None:
    optimizer = optimizer_with({"conv1": 0.4, "conv2": 1.6})
    rates = GradientRates(optimizer)
    rates.begin(AUTO)
    rates.before_step()
    rates.epoch_ended(1)
    optimizer.param_groups[0]["params"][0].grad *= 10
    rates.before_step()
    assert rates.factor("conv1") == pytest.approx(0.25)
    rates.epoch_ended(2)
    assert (rates.factor("conv1"), rates.factor("conv2")) == pytest.approx((1.0, 0.4))
    rates.begin(AUTO)
    assert rates.factor("conv2") == 1.0


def test_gradient_rates_when_an_update_is_not_finite_then_of_the_others() -> None:
    optimizer = optimizer_with({"conv1": 0.4, "conv2": 1.6})
    rates = GradientRates(optimizer)
    rates.begin(AUTO)
    gradient = optimizer.param_groups[0]["params"][0].grad
    for value in (torch.inf, 0.4):
        gradient.fill_(0.0)[1] = value
        rates.before_step()
    assert (rates.factor("conv1"), rates.factor("conv2")) == pytest.approx((0.25, 1.0))


def test_gradient_rates_in_a_stage_without_then_1() -> None:
    rates = GradientRates(optimizer_with({"conv1": 0.4, "conv2": 1.6}))
    rates.begin(Stage("plain", ("all",), 2, None, 0.1))
    rates.before_step()
    assert rates.factor("conv1") == 1.0
    assert rates.state_dict() == {"before": {}}


def test_auto_rates_when_training_then_the_first_update_follows_the_first_gradients(
    tmp_path: Path,
) -> None:
    plan = strategy(stage(["all"], epochs=2, auto_rates=True))
    made = TinyTraining(tmp_path, strategy=plan)
    expected: dict[str, float] = {}
    used: dict[str, float] = {}
    trainer = made.trainer()

    def gradients() -> None:
        if expected:
            return
        groups = made.network.layer_groups()
        ratios = {g["name"]: relative_gradient(g["params"]) for g in groups}
        largest = max(ratios["conv1"], ratios["conv2"])
        expected.update({name: 0.02 * ratio / largest for name, ratio in ratios.items()})
        expected["decoder"] = 0.02

    def rates() -> None:
        used.update({group["name"]: group["lr"] for group in made.optimizer.param_groups})

    trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, gradients)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=1), rates)
    trainer.run()
    assert used == pytest.approx(expected)
    assert min(used.values()) < 0.02
    assert made.stages.record.history[1].rates.keys() == {"conv1", "conv2", "decoder"}
