"""Training on from a network that was trained elsewhere: transfer from a neighbouring domain."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn

from scripts.training.stage_checks import unwrapped
from scripts.training.weights.trained_weights import TrainedWeights


class StartingWeights:
    """Ignite handler that has a training start from a whole trained network.

    Encoder and decoder, that is: from phantoms to patients, or from a public data set to a
    hospital's own scans. ``encoder_weights`` is then without effect. Place it before the handler of
    checkpoints, so that a resumed run continues from its own weights.

    Args:
        network: the network to train, or one inside DistributedDataParallel.
        path: ``model.pt`` of an earlier training of the same network.
    """

    def __init__(self, network: nn.Module, path: str | Path) -> None:
        self.weights = TrainedWeights(unwrapped(network), path)

    def attach(self, engine: Engine) -> None:
        """Load when ``engine`` starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the network.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when the file belongs to another network.
        """
        try:
            self.weights(engine)
        except (FileNotFoundError, ValueError) as error:
            raise type(error)(f"start_from: {error}") from error
