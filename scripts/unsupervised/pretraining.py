"""A bundle's pretraining that trains an encoder layer by layer: it stands where a trainer would."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import DataLoader, MetaTensor
from monai.utils.enums import CommonKeys
from torch import Tensor, nn

from scripts.bundle.record import record_config
from scripts.storage.files import write_text
from scripts.training.determinism import ORDER, epoch_seed, seed_loader
from scripts.training.weights.starting_weights import write_encoder
from scripts.unsupervised.layerwise import train_layers

logger = logging.getLogger(__name__)

ENCODER_FILE, LOSSES_FILE = "encoder.pt", "layers.csv"


class ImageBatches:
    """The images of a data loader, on a device; order and crops are a function of (seed, epoch).

    Args:
        loader: gives dictionaries with ``image`` (B, C, ...).
        device: to move them to.
        seed: 0 or more.
    """

    def __init__(self, loader: DataLoader, device: torch.device | str, *, seed: int) -> None:
        self.loader, self.device, self.seed = loader, device, seed
        self.epoch = 0

    def __iter__(self) -> Iterator[Tensor]:
        """Go through the loader once, as the next epoch."""
        self.epoch += 1
        order = epoch_seed(self.seed, self.epoch, stream=ORDER)
        seed_loader(self.loader, epoch_seed(self.seed, self.epoch), order_seed=order)
        for batch in self.loader:
            image = batch[CommonKeys.IMAGE]
            plain = image.as_tensor() if isinstance(image, MetaTensor) else image
            yield plain.to(self.device)


class LayerwisePretraining:
    """Trains an encoder's layers one after the other on images, see :func:`train_layers`.

    ``run`` writes ``encoder.pt`` after every layer, which ``encoder_weights: FILE`` reads like a
    download, ``layers.csv`` with the loss of each epoch, and the record of the run.

    Args:
        network: whose ``encoder`` is written; its ``name`` goes into the file.
        layers: of this encoder, see :class:`scripts.unsupervised.layerwise.Layer`.
        loader: gives dictionaries with ``image``.
        epochs: of each layer.
        learning_rate: of Adam.
        seed: 0 or more.
        output_dir: folder of the results.
        device: of the network.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[Any],
        loader: DataLoader,
        *,
        epochs: int,
        learning_rate: float,
        seed: int,
        output_dir: str | Path,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network: Any = network
        self.layers = [layer.to(device) for layer in layers]
        self.batches = ImageBatches(loader, device, seed=seed)
        self.epochs, self.learning_rate, self.seed = epochs, learning_rate, seed
        self.output_dir = Path(output_dir)

    def run(self) -> None:
        """Train all layers and write the files.

        Raises:
            ValueError: see :func:`train_layers`.
        """
        record_config(self.output_dir, name="pretraining")
        history = train_layers(
            self.layers,
            self.batches,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            seed=self.seed,
            after_layer=self._write,
        )
        lines = io.StringIO()
        writer = csv.writer(lines)
        writer.writerow(["layer", "epoch", "loss"])
        for layer, losses in enumerate(history, start=1):
            writer.writerows([layer, epoch, loss] for epoch, loss in enumerate(losses, start=1))
        write_text(self.output_dir / LOSSES_FILE, lines.getvalue())

    def _write(self, layer: int) -> None:
        epochs = (layer + 1) * self.epochs
        write_encoder(self.network.encoder, self.output_dir / ENCODER_FILE, epoch=epochs)
