"""Penalty of the distance from the starting weights (L2-SP)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from custom_nets.freezing import DECODER
from scripts.training.fine_tuning.mechanism import Mechanism
from scripts.training.fine_tuning.stage_options import Penalty, Stage


class StartingPoint(Mechanism):
    """Adds the gradient of a stage's :class:`.stage_options.Penalty` before each step.

    The starting weights are those with which the run's first stage begins; they are saved in
    checkpoints. Encoder: everything but the decoder, also scale and shift of its norms.
    """

    name = "starting_point"

    def __init__(self, network: Any, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.encoder: dict[str, torch.nn.Parameter] = {}
        self.decoder: list[torch.nn.Parameter] = []
        names = {id(p): name for name, p in network.named_parameters()}
        for group in network.parameter_groups():
            if group["name"] == DECODER:
                self.decoder += group["params"]
            else:
                self.encoder |= {names[id(p)]: p for p in group["params"]}
        self._start: dict[str, torch.Tensor] = {}
        self._penalty: Penalty | None = None

    def begin(self, stage: Stage) -> None:
        """Note the weights before the first update of the run."""
        if not self._start:
            self._start = {name: p.detach().clone() for name, p in self.encoder.items()}
        self.restore(stage)

    def restore(self, stage: Stage) -> None:
        """Follow this stage's penalty."""
        self._penalty = stage.penalty

    def before_step(self) -> None:
        """Add the gradients of the penalty to those of the loss, of the weights that train."""
        if self._penalty is None:
            return
        # A fused optimiser divides by the scale of mixed precision in its step: the penalty's
        # gradients need the same scale as those of the loss.
        scale = getattr(self.optimizer, "grad_scale", None)
        with torch.no_grad():
            for name, weight in self.encoder.items():
                pull = self._penalty.pull * (weight - self._start[name])
                _add(weight, pull if scale is None else pull * scale)
            for weight in self.decoder:
                decay = self._penalty.decay * weight
                _add(weight, decay if scale is None else decay * scale)

    def state_dict(self) -> dict[str, Any]:
        """Return the starting weights."""
        return {"start": dict(self._start)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take saved starting weights."""
        self._start = {
            name: tensor.to(self.encoder[name].device)
            for name, tensor in state_dict["start"].items()
        }


def _add(weight: torch.nn.Parameter, gradient: torch.Tensor) -> None:
    if weight.grad is not None:
        weight.grad.add_(gradient)
