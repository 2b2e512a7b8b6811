"""Training of a stack of layers without labels, one layer at a time."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from scripts.running.options import check_whole
from scripts.running.progress import Progress

logger = logging.getLogger(__name__)


class Layer(Protocol):
    """A torch module that learns from its own input.

    ``loss`` may draw random numbers and need not be an error: the gradient of a restricted
    Boltzmann machine's contrastive divergence is that of a difference of free energies.
    """

    def encode(self, x: Tensor) -> Tensor:
        """Map a batch (B, ...) to what the next layer sees."""

    def loss(self, x: Tensor) -> Tensor:
        """Return the number to minimise for a batch (B, ...), with its gradient."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return what is trained, decoders included."""

    def train(self, mode: bool = True) -> object:
        """Set the mode of training or of evaluation."""


def train_layers(
    layers: Sequence[Layer],
    batches: Iterable[Tensor],
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    after_layer: Callable[[int], None] | None = None,
) -> list[list[float]]:
    """Train the first layer on the batches, the next one on its encodings, and so on, in place.

    Layers before the one that is trained are in evaluation mode and without gradient, so that their
    weights and statistics stay as they are; at the end all are in evaluation mode. Each layer has
    its own Adam. All random numbers that layers and batches take from torch's default generator
    are a function of the seed; the generator's state outside is kept.

    Source: Bengio, Lamblin, Popovici, Larochelle, Greedy layer-wise training of deep networks,
    NIPS 2006; Hinton, Osindero, Teh, A fast learning algorithm for deep belief nets, Neural
    Computation 18(7), 2006.

    Args:
        layers: first to last.
        batches: tensors (B, ...) of the first layer's input; gone through once in each epoch of
            each layer, so that an iterator is not enough.
        epochs: of each layer.
        learning_rate: of Adam.
        seed: 0 or more.
        after_layer: called with the number of a layer, from 0, when it is trained.

    Returns:
        The mean loss of each epoch, for each layer.

    Raises:
        ValueError: for no layers, no batches, an iterator, a number out of range, a layer without
            parameters, or a loss that is not finite.
    """
    _check(layers, batches, epochs=epochs, learning_rate=learning_rate, seed=seed)
    history: list[list[float]] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for layer in layers:
            layer.train(False)
        for number, layer in enumerate(layers):
            history.append([])
            optimizer = torch.optim.Adam(_trained(layer, number), lr=learning_rate)
            title = f"layer {number + 1} of {len(layers)}"
            for epoch in Progress(range(1, epochs + 1), desc=title, unit="epoch"):
                where = f"{title}, epoch {epoch} of {epochs}"
                loss = _epoch(layer, encodings(layers[:number], batches), optimizer, where)
                history[-1].append(loss)
                logger.info("%s: loss %.5g", where, loss)
            if after_layer is not None:
                after_layer(number)
    return history


def encodings(layers: Sequence[Layer], batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """Give the encodings of batches by some layers, one after the other, without gradient."""
    for batch in batches:
        with torch.no_grad():
            x = batch
            for layer in layers:
                x = layer.encode(x)
        yield x


def _epoch(
    layer: Layer, batches: Iterable[Tensor], optimizer: torch.optim.Optimizer, where: str
) -> float:
    """Take a step for each batch; return the mean loss.

    Raises:
        ValueError: for no batch, or a loss that is not finite, before it changes the weights.
    """
    losses: list[float] = []
    layer.train(True)
    for number, batch in enumerate(batches, start=1):
        optimizer.zero_grad()
        loss = layer.loss(batch)
        if not torch.isfinite(loss):
            raise ValueError(
                f"loss: is {loss.item()} in {where}, batch {number}; lower the learning rate or "
                "check that batch"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    layer.train(False)
    if not losses:
        raise ValueError(f"batches: must be at least one, got none in {where}; give more images")
    return math.fsum(losses) / len(losses)


def _trained(layer: Layer, number: int) -> list[nn.Parameter]:
    parameters = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError(
            f"layers: layer {number + 1} has no parameter that trains; leave it out, or join it to "
            "the layer before it"
        )
    return parameters


def _check(
    layers: Sequence[Layer],
    batches: Iterable[Tensor],
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
) -> None:
    check_whole("epochs", epochs, 1)
    check_whole("seed", seed, 0)
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(f"learning_rate: must be a number above 0, got {learning_rate!r}")
    if not layers:
        raise ValueError("layers: must be at least one, got none")
    if isinstance(batches, Iterator):
        raise ValueError(
            "batches: must be gone through once in every epoch, got an iterator, which ends after "
            "the first; give a list or a DataLoader"
        )
