"""Going from FCN-32s to 16s, 8s and 4s, each from the last."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events
from torch import nn

from custom_nets.fcn import TransferFCN
from scripts.training.stage_checks import unwrapped


class CoarserWeights:
    """Ignite handler that has a fully convolutional network go on from a coarser one.

    At first the network is the very same function; see
    :meth:`custom_nets.fcn.TransferFCN.load_coarser`. Place it before the handler of checkpoints,
    so that a resumed run goes on from its own weights.

    Args:
        network: the finer network, or one inside DistributedDataParallel.
        path: ``model.pt`` of the coarser one.

    Raises:
        ValueError: when the network is no FCN.
    """

    def __init__(self, network: nn.Module, path: str | Path) -> None:
        inner = unwrapped(network)
        if not isinstance(inner, TransferFCN):
            raise ValueError(
                f"coarser_weights: only an FCN goes on from a coarser one, got a "
                f"{type(inner).__name__}; leave it out, or choose configs/networks/fcn*.json"
            )
        self.network = inner
        self.path = Path(path)

    def attach(self, engine: Engine) -> None:
        """Load when ``engine`` starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the coarser network's weights.

        Raises:
            FileNotFoundError, ValueError: see ``load_coarser``.
        """
        self.network.load_coarser(self.path)
