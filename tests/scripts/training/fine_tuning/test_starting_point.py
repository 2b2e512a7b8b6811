"""L2-SP: the gradient of the penalty, and its start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.training.fine_tuning.stage_options import Stage
from scripts.training.fine_tuning.stage_record import copy_of
from scripts.training.fine_tuning.starting_point import StartingPoint
from scripts.training.fine_tuning.strategies import parameter_groups, read_strategy
from tests.scripts.training.tiny_training import TinyNet, TinyTraining, stage, strategy


def penalised(pull: float, decay: float, *trainable: str) -> Stage:
    plan = strategy(stage(list(trainable), penalty={"pull": pull, "decay": decay}))
    return read_strategy(plan, epochs=1, learning_rate=0.1).stages[0]


def made(seed: int = 0) -> tuple[TinyNet, torch.optim.Optimizer, StartingPoint]:
    torch.manual_seed(seed)
    network = TinyNet()
    optimizer = torch.optim.SGD(parameter_groups(network, 0.1))
    return network, optimizer, StartingPoint(network, optimizer)


def loss_of(network: TinyNet, start: dict[str, torch.Tensor]) -> torch.Tensor:
    """The paper's penalty as a loss, with pull 0.5 and decay 0.25."""
    total = torch.zeros(())
    for name, weight in network.named_parameters():
        is_decoder = name.startswith("head")
        centre, factor = (0.0, 0.25) if is_decoder else (start[name], 0.5)
        total = total + factor / 2 * (weight - centre).square().sum()
    return total


def test_penalty_then_its_gradients_are_those_of_the_papers_loss() -> None:
    network, _, point = made()
    point.begin(penalised(0.5, 0.25, "all"))
    start = copy_of(network)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight))
    loss_of(network, start).backward()
    expected = {name: p.grad.clone() for name, p in network.named_parameters()}
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    point.before_step()
    for name, weight in network.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name])


def test_penalty_of_frozen_parts_then_none() -> None:
    network, _, point = made()
    network.set_trainable(["decoder"])
    point.begin(penalised(0.5, 0.25, "decoder"))
    point.before_step()
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize("scale", [None, 8.0])
def test_penalty_with_scaled_gradients_then_it_has_their_scale(scale: float | None) -> None:
    network, optimizer, point = made()
    if scale is not None:
        optimizer.grad_scale = torch.tensor(scale)  # type: ignore[attr-defined]  # as GradScaler does
    point.begin(penalised(0.5, 0.25, "all"))
    network.head.weight.grad = torch.zeros_like(network.head.weight)
    point.before_step()
    expected = 0.25 * network.head.weight.detach() * (scale or 1.0)
    torch.testing.assert_close(network.head.weight.grad, expected)


def test_start_then_that_of_the_run_also_in_a_later_stage_and_from_a_checkpoint() -> None:
    network, _, point = made()
    start = copy_of(network)
    point.begin(penalised(0.5, 0.25, "all"))
    with torch.no_grad():
        network.conv1.weight.add_(1)
    point.begin(penalised(0.5, 0.25, "all"))
    assert torch.equal(point.state_dict()["start"]["conv1.weight"], start["conv1.weight"])
    _, _, other = made(seed=1)
    other.load_state_dict(point.state_dict())
    assert torch.equal(other.state_dict()["start"]["conv1.weight"], start["conv1.weight"])


def test_strong_pull_when_training_then_the_encoder_stays_nearer_to_its_start(
    tmp_path: Path,
) -> None:
    def distance(**settings: Any) -> float:
        plan = strategy(stage(["all"], epochs=4, **settings))
        made = TinyTraining(tmp_path, strategy=plan, optimizer=torch.optim.SGD, learning_rate=0.1)
        start = copy_of(made.network)
        made.trainer().run()
        return float((copy_of(made.network)["conv1.weight"] - start["conv1.weight"]).norm())

    assert distance(penalty={"pull": 5.0, "decay": 0.0}) < 0.7 * distance()


def test_penalty_with_weight_decay_then_refused(tmp_path: Path) -> None:
    def decaying(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(groups, weight_decay=5e-4)

    plan = strategy(stage(["all"], penalty={}))
    with pytest.raises(ValueError, match="stage all: penalty: the optimiser has a weight_decay of"):
        TinyTraining(tmp_path, strategy=plan, optimizer=decaying)  # type: ignore[arg-type]
