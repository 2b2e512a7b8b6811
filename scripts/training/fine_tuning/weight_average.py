"""Average of the weights at the ends of a stage's last epochs (SWA)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.optim.swa_utils import get_swa_avg_fn

from scripts.training.fine_tuning.mechanism import Mechanism
from scripts.training.fine_tuning.stage_options import Stage


class WeightAverage(Mechanism):
    """Averages the weights that a stage trains, for a candidate at its end.

    The average has no statistics of its own: :func:`renew_statistics` computes those of the norms
    that learn from the training batches. Frozen weights and statistics are not touched.
    """

    name = "average"

    def __init__(self, network: Any) -> None:
        self.network = network
        self.count = 0
        self._weights: dict[str, torch.Tensor] = {}
        self._first = 0
        self._active = False

    def begin(self, stage: Stage) -> None:
        """Start without weights."""
        self.count, self._weights = 0, {}
        self.restore(stage)

    def restore(self, stage: Stage) -> None:
        """Follow this stage's setting."""
        self._active = stage.average is not None
        self._first = int(stage.average.start * stage.epochs) if stage.average else 0

    def epoch_ended(self, done: int) -> None:
        """Add the weights to the average, after the first epochs."""
        if not self._active or done <= self._first:
            return
        average = get_swa_avg_fn()  # type: ignore[no-untyped-call]  # untyped in torch
        for name, weight in self._trained().items():
            new = weight.detach()
            before = self._weights.get(name, new)
            self._weights[name] = average(before, new, torch.tensor(self.count)).clone()
        self.count += 1

    def load(self) -> None:
        """Put the average into the network."""
        with torch.no_grad():
            for name, weight in self._trained().items():
                weight.copy_(self._weights[name])

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}

    def state_dict(self) -> dict[str, Any]:
        """Return the average so far and the number of its epochs."""
        return {"count": self.count, "weights": dict(self._weights)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue a saved average."""
        device = next(self.network.parameters()).device
        self.count = int(state_dict["count"])
        self._weights = {name: w.to(device) for name, w in state_dict["weights"].items()}


def renew_statistics(trainer: Any, network: nn.Module) -> None:
    """Compute the statistics of the norms that learn from all training batches, equally weighted.

    In place of ``torch.optim.swa_utils.update_bn``, which would also reset frozen norms, and takes
    batches that are not dicts. In distributed training each process sees its share, and all get
    the statistics of the first process, as in DistributedDataParallel's own training.

    Args:
        trainer: MONAI trainer; its loader, batches and inferer are used, without gradients.
        network: whose norms are computed, the trainer's, without DistributedDataParallel.
    """
    network.train()
    norms: list[Any] = [norm for norm in network.modules() if _learns(norm)]
    momenta = [norm.momentum for norm in norms]
    if not norms:
        return
    try:
        with torch.no_grad():
            for number, batch in enumerate(trainer.data_loader):
                for norm in norms:
                    norm.momentum = 1 / (number + 1)
                inputs = trainer.prepare_batch(batch, trainer.state.device, trainer.non_blocking)
                trainer.inferer(inputs[0], trainer.network)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    if dist.is_available() and dist.is_initialized():
        for statistic in (buffer for norm in norms for buffer in norm.buffers()):
            dist.broadcast(statistic, 0)


def _learns(module: nn.Module) -> bool:
    """Whether a norm's statistics follow the batches."""
    return (
        isinstance(module, nn.modules.batchnorm._BatchNorm)
        and module.training
        and module.track_running_stats
        and not getattr(module, "frozen", False)
    )
