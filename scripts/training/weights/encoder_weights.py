"""Writing an encoder pretrained here, for ``encoder_weights: FILE`` to take like a download."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from ignite.engine import Engine, Events

from custom_nets.classifier import TransferClassifier
from custom_nets.unet import TransferUNet
from scripts.storage.files import atomic_path

logger = logging.getLogger(__name__)


class EncoderWeights:
    """Ignite handler that writes the encoder's weights whenever an epoch ends.

    The file holds ``{"encoder": name, "state_dict": tensors, "epoch": n}`` and is
    replaced whole, so that a stopped pretraining leaves the last finished epoch.

    Args:
        network: the network that is pretrained.
        path: the file to write.
    """

    def __init__(self, network: TransferUNet | TransferClassifier, path: str | Path) -> None:
        self.network = network
        self.path = Path(path)

    def attach(self, engine: Engine) -> None:
        """Write after every epoch of ``engine``."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the file."""
        encoder = self.network.encoder
        content = {
            "encoder": encoder.name,
            "state_dict": {key: t.detach().cpu() for key, t in encoder.state_dict().items()},
            "epoch": engine.state.epoch,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path) as beside:
            torch.save(content, beside)
        logger.info(
            "epoch %d: wrote the %s encoder to %s", content["epoch"], encoder.name, self.path
        )
