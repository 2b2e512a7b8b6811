"""Fine-tuning with the pretrained norm statistics."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from scripts.training.engine_events import keep_state
from scripts.training.fine_tuning.stage_checks import unwrapped


class KeptStatistics:
    """Ignite handler that freezes the statistics of an encoder's batch norms during training.

    A batch of few crops has other means than the whole slices of evaluation and prediction.
    See :meth:`custom_nets.freezing.Freezable.keep_statistics`.

    Args:
        network: a ``Freezable`` network with a pretrained encoder, or one inside
            DistributedDataParallel.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network: Any = unwrapped(network)

    def attach(self, engine: Engine) -> None:
        """Act when ``engine`` starts; a run with and one without cannot be one training."""
        keep_state(engine, "keep_statistics", None, settings={"keep_statistics": True})
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Freeze the statistics from now on."""
        self.network.keep_statistics()
