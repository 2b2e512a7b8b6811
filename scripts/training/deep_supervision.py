"""Deep supervision: losses of all side outputs besides that of their sum, with a falling weight."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from monai.losses import DeepSupervisionLoss
from monai.utils.enums import CommonKeys
from torch import nn

from scripts.training.engine_events import keep_state

HALVINGS = 10  # of the weight of the side outputs, over the epochs of a run


class SideOutputLoss(nn.Module):
    """Loss of the sum of side outputs, plus the weighted loss of each side output.

    For networks that in training mode return the scores of all side outputs one after another, and
    predict their sum, such as :class:`custom_nets.survey.voxresnet.VoxResNet`. What the network
    returns in evaluation mode has as many channels as the label, and only the loss itself applies.

    Args:
        loss: of (logits, labels), any of configs/losses or configs/class_losses.
        sides: number of side outputs.

    Raises:
        ValueError: for less than one side output.

    Source:
        Deep supervision: Lee, Xie, Gallagher, Zhang, Tu, Deeply-supervised nets, AISTATS 2015; with
        weights that fall during the training: Chen, Dou, Yu, Qin, Heng, NeuroImage 170, 2018.

    Example:
        >>> loss = SideOutputLoss(nn.L1Loss(), sides=2)
        >>> loss.weigh(0.5)
        >>> loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0]])).item()  # 1 + (3 + 2) / 2
        3.5
    """

    def __init__(self, loss: nn.Module, *, sides: int = 4) -> None:
        super().__init__()
        if sides < 1:
            raise ValueError(f"sides: must be at least 1, got {sides}")
        self.sides = sides
        self.loss = loss
        self._each = DeepSupervisionLoss(loss)
        self.weigh(1.0)

    def weigh(self, weight: float) -> None:
        """Set the weight of each side output; that of the sum is 1."""
        self._each.weights = [1.0, *[weight] * self.sides]

    @property
    def weight(self) -> float:
        """Weight of each side output."""
        return float((self._each.weights or [1.0])[-1])

    def summed(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the prediction (B, C, ...) of side outputs (B, sides * C, ...)."""
        return torch.stack(self._split(outputs)).sum(dim=0)

    def _split(self, outputs: torch.Tensor) -> list[torch.Tensor]:
        if outputs.shape[1] % self.sides:
            raise ValueError(
                f"outputs: must be the scores of {self.sides} side outputs, got "
                f"{outputs.shape[1]} channels; this loss is for networks with side outputs"
            )
        return list(outputs.chunk(self.sides, dim=1))

    def forward(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Map (B, sides * C, ...) and (B, C, ...) to one number.

        Raises:
            ValueError: for outputs that are not those of all sides.
        """
        if outputs.shape[1] == labels.shape[1]:
            alone: torch.Tensor = self.loss(outputs, labels)
            return alone
        sides = self._split(outputs)
        total: torch.Tensor = self._each([torch.stack(sides).sum(dim=0), *sides], labels)
        return total


class DeepSupervision:
    """Ignite handler that lowers the weight of the side outputs during a training.

    Their weight is halved after every tenth of the epochs, from 1 to 1/512. It depends on the epoch
    alone, so that a resumed run continues with the right one. Metrics of the training see the sum
    of the side outputs, the prediction.

    Args:
        loss: that the trainer uses.

    Raises:
        ValueError: for a loss without side outputs.
    """

    def __init__(self, loss: SideOutputLoss) -> None:
        if not isinstance(loss, SideOutputLoss):
            raise ValueError(
                f"loss: must be a SideOutputLoss, got {type(loss).__name__}; name the file of the "
                "network after those that set train::loss"
            )
        self.loss = loss

    def attach(self, engine: Engine) -> None:
        """Weigh the loss of a trainer."""
        keep_state(engine, "deep supervision", None, settings={"side_halvings": HALVINGS})
        engine.add_event_handler(Events.STARTED, self._started)
        engine.add_event_handler(Events.EPOCH_STARTED, self._epoch_started)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._loss_completed)

    def _started(self, trainer: Engine) -> None:
        """Refuse a trainer with another loss, whose weights would never fall.

        Raises:
            ValueError: naming that loss.
        """
        used: Any = getattr(trainer, "loss_function", None)
        if used is not self.loss:
            raise ValueError(
                f"loss: the trainer uses another loss, {type(used).__name__}; give it @train::loss"
            )

    def _epoch_started(self, trainer: Engine) -> None:
        done = HALVINGS * (trainer.state.epoch - 1) // (trainer.state.max_epochs or 1)
        self.loss.weigh(0.5**done)

    def _loss_completed(self, trainer: Engine) -> None:
        output: Any = trainer.state.output
        output[CommonKeys.PRED] = self.loss.summed(output[CommonKeys.PRED])
