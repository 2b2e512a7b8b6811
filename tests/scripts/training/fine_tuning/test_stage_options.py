"""Options of a stage by their numbers; what is refused is in ``test_strategies``."""

from __future__ import annotations

import pytest
import torch
from torch.optim.lr_scheduler import LinearLR, PolynomialLR, SequentialLR

from scripts.training.fine_tuning.stage_options import (
    Average,
    LowRank,
    Penalty,
    Schedule,
    read_average,
    read_low_rank,
    read_penalty,
    read_schedule,
)


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step.*:UserWarning")
@pytest.mark.parametrize(("warm_up", "power"), [(0.25, 0.9), (0.5, 2.0)])
def test_schedule_then_equals_the_schedulers_of_torch(warm_up: float, power: float) -> None:
    updates, rise = 20, round(20 * warm_up)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    parts = [
        LinearLR(optimizer, start_factor=1 / rise, total_iters=rise - 1),
        PolynomialLR(optimizer, total_iters=updates - rise, power=power),
    ]
    scheduler = SequentialLR(optimizer, parts, milestones=[rise])
    for update in range(updates):
        found = Schedule(warm_up, power).factor(update, updates)
        assert found == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


def test_schedule_without_rise_and_fall_then_constant() -> None:
    assert {Schedule(0.0, 0.0).factor(update, 7) for update in range(7)} == {1.0}


def test_options_without_numbers_then_those_of_their_papers() -> None:
    assert read_schedule({}, "s") == Schedule(0.0, 0.9)
    assert read_penalty({}, "s") == Penalty(0.1, 0.01)
    assert read_average({}, "s") == Average(0.5)
    assert read_low_rank({}, "s") == LowRank(4, 1.0, ("encoder",))


def test_options_with_numbers_then_these() -> None:
    assert read_schedule({"warm_up": 0.2, "power": 1}, "s") == Schedule(0.2, 1.0)
    assert read_penalty({"pull": 0, "decay": 2}, "s") == Penalty(0.0, 2.0)
    assert read_average({"start": 0}, "s") == Average(0.0)
    low_rank = {"rank": 8, "scale": 2, "parts": ["block4", "conv1"]}
    assert read_low_rank(low_rank, "s") == LowRank(8, 2.0, ("block4", "conv1"))
