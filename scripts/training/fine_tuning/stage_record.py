"""Record of staged fine-tuning: epochs, best weights, current stage."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Best:
    """The weights with the best validation metric of a stage.

    Attributes:
        stage: 0-based number of the stage.
        epoch: of the whole run, from 1.
        metric: of the validation.
        weights: the network's state_dict (weights and norm statistics), on the CPU.
        averaged: epochs whose weights were averaged for it; 0 if it is the network as trained.
    """

    stage: int
    epoch: int
    metric: float
    weights: dict[str, torch.Tensor]
    averaged: int = 0


@dataclass(frozen=True)
class Score:
    """The best validation of a stage, without the weights.

    Attributes:
        epoch: of the whole run, from 1.
        metric: the evaluator's key metric.
        metrics: every scalar of that validation.
        averaged: epochs whose weights were averaged for it.
    """

    epoch: int
    metric: float
    metrics: dict[str, float]
    averaged: int = 0


@dataclass(frozen=True)
class Epoch:
    """One epoch of the run.

    Attributes:
        epoch: of the whole run, from 1.
        stage: 0-based number of the stage.
        stage_epoch: of the stage, from 1.
        train_loss: mean over the epoch's iterations.
        seconds: training and validation together.
        metrics: every scalar of the epoch's last validation; empty without a validation.
        rates: learning rate of each group of parameters that trained, at the epoch's last update.
    """

    epoch: int
    stage: int
    stage_epoch: int
    train_loss: float
    seconds: float
    metrics: dict[str, float]
    rates: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """Whether the next stage begins, by a strategy's ``stop_margin``.

    Attributes:
        stage: 0-based number of the stage that ended.
        value: its best validation.
        before: the best validation of all stages before it.
        margin: by which the value must be better.
        goes_on: whether it is.
    """

    stage: int
    value: float
    before: float
    margin: float
    goes_on: bool

    def text(self) -> str:
        """Return the decision for tables and log lines.

        Example:
            >>> Decision(1, 0.62, 0.6, 0.005, True).text()
            'goes on: 0.6200 after 0.6000, margin 0.005'
        """
        verb = "goes on" if self.goes_on else "stops"
        return f"{verb}: {self.value:.4f} after {self.before:.4f}, margin {self.margin:g}"


@dataclass
class StageRecord:
    """Progress of staged fine-tuning; its state_dict is plain Python and tensors.

    Attributes:
        stage: 0-based number of the stage that runs, or that is next.
        begun: whether that stage's parts are released.
        stage_epoch: number of complete epochs of that stage.
        stale: validations of that stage since its last improvement.
        current: best weights of that stage.
        result: best weights of the best stage that has ended.
        scores: best validation of each validated stage, in the order of the stages.
        history: every complete epoch.
        decisions: of a strategy that may stop before its last stage.
    """

    stage: int = 0
    begun: bool = False
    stage_epoch: int = 0
    stale: int = 0
    current: Best | None = None
    result: Best | None = None
    scores: list[Score] = field(default_factory=list)
    history: list[Epoch] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def improve(self, best: Best, metrics: dict[str, float]) -> None:
        """Record the stage's new best validation."""
        self.current, self.stale = best, 0
        self.scores[best.stage :] = [Score(best.epoch, best.metric, metrics, best.averaged)]

    def decide(self, best: Best, margin: float, better: Callable[[float, float], bool]) -> bool:
        """Note and return whether a stage was better than all before it by more than a margin.

        Args:
            best: of the stage that ends.
            margin: of the key metric.
            better: whether the first of two values is better.
        """
        if self.result is None:
            return True
        value, before = best.metric, self.result.metric
        goes_on = better(value, before) and abs(value - before) > margin
        self.decisions.append(Decision(self.stage, value, before, margin, goes_on))
        return goes_on

    def advance(self) -> None:
        """Move on to the next stage, which has not begun."""
        self.stage += 1
        self.begun, self.stage_epoch, self.stale, self.current = False, 0, 0, None

    def state_dict(self) -> dict[str, Any]:
        """Return all fields; weights are shared with the record, not copied."""
        return {
            "stage": self.stage,
            "begun": self.begun,
            "stage_epoch": self.stage_epoch,
            "stale": self.stale,
            "current": None if self.current is None else vars(self.current).copy(),
            "result": None if self.result is None else vars(self.result).copy(),
            "scores": [asdict(score) for score in self.scores],
            "history": [asdict(epoch) for epoch in self.history],
            "decisions": [asdict(decision) for decision in self.decisions],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a saved record."""
        self.stage = state_dict["stage"]
        self.begun = state_dict["begun"]
        self.stage_epoch = state_dict["stage_epoch"]
        self.stale = state_dict["stale"]
        current, result = state_dict["current"], state_dict["result"]
        self.current = None if current is None else Best(**current)
        self.result = None if result is None else Best(**result)
        self.scores = [Score(**score) for score in state_dict["scores"]]
        self.history = [Epoch(**epoch) for epoch in state_dict["history"]]
        self.decisions = [Decision(**one) for one in state_dict.get("decisions", [])]


def copy_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Copy the current weights and norm statistics to the CPU."""
    return {
        key: tensor.detach().to("cpu", copy=True) for key, tensor in network.state_dict().items()
    }


def scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics that are single numbers, as plain floats.

    Example:
        >>> scalars({"dice": torch.tensor([0.5]), "per_class": torch.zeros(3), "note": "x"})
        {'dice': 0.5}
    """
    numbers = {}
    for name, value in metrics.items():
        if isinstance(value, (torch.Tensor, np.ndarray)) and math.prod(value.shape) == 1:
            numbers[name] = float(value.item())
        elif isinstance(value, (int, float, np.number)):
            numbers[name] = float(value)
    return numbers
