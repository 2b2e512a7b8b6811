"""Fine-tuning with the pretrained norm statistics."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from scripts.training.stage_checks import unwrapped


class KeptStatistics:
    """Ignite handler that holds the statistics of an encoder's batch norms still while it trains.

    A batch of few crops has other means than the whole slices that the network meets afterwards.
    See :meth:`custom_nets.freezing.Freezable.keep_statistics`.

    Args:
        network: a ``Freezable`` network with a pretrained encoder, or one inside
            DistributedDataParallel.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network: Any = unwrapped(network)

    def attach(self, engine: Engine) -> None:
        """Act when ``engine`` starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Hold the statistics still from now on."""
        self.network.keep_statistics()
