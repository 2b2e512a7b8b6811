"""The reference classifiers' figures, and the weights and images they were computed with.

``parity_<encoder>.json`` holds, for torchvision's network filled by `fill`, the state_dict (key to
shape, classifier left out) and each block's map: shape, mean, std and 32 evenly spaced values.
``parity_variants.json`` holds those of further encoders in short: the `fingerprint` of the
state_dict instead of its keys, 8 values of each map, and the mean and std of the maps in training
mode, for `batch` and the seed 3.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tests.custom_nets.undrawn import undrawn_weights

Network = TypeVar("Network", bound=nn.Module)
FOLDER = Path(__file__).parent


def figures(encoder_name: str) -> dict[str, Any]:
    """Return the figures of one encoder."""
    if encoder_name in variants():
        return variants()[encoder_name]
    return json.loads((FOLDER / f"parity_{encoder_name}.json").read_text())


@functools.cache
def variants() -> dict[str, Any]:
    """Return the figures in short, by encoder."""
    return json.loads((FOLDER / "parity_variants.json").read_text())


def fingerprint(keys: Mapping[str, list[int]]) -> str:
    """Return the sha256 of the keys and shapes of a state_dict, in their order."""
    return hashlib.sha256(json.dumps(list(keys.items())).encode()).hexdigest()


def normal(shape: torch.Size, seed: int) -> Tensor:
    """Standard normal numbers that depend on the seed alone."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def fill(network: nn.Module) -> None:
    """Give every tensor values that follow from its key and shape."""
    for key, tensor in network.state_dict().items():
        noise = normal(tensor.shape, zlib.crc32(key.encode()))
        if key.endswith("num_batches_tracked"):
            tensor.zero_()
        elif key.endswith("running_var"):
            tensor.copy_(1 + noise.abs() / 10)
        elif key.endswith(("running_mean", "bias")):
            tensor.copy_(noise / 10)
        elif tensor.ndim == 1:
            tensor.copy_(1 + noise / 10)
        else:
            tensor.copy_(noise * math.sqrt(2 / tensor[0].numel()))


def filled(build: Callable[[], Network]) -> Network:
    """Return a network as `fill` fills it, in evaluation mode."""
    with undrawn_weights():
        network = build()
    fill(network)
    return network.eval()


def image(size: int) -> Tensor:
    """Return the figures' input (1, 3, size, size)."""
    return normal(torch.Size((1, 3, size, size)), 2016)


def batch(size: int) -> Tensor:
    """Return the input of the figures in training mode, (2, 3, size, size)."""
    first = image(size)
    return torch.cat([first, first.flip(-1) * 0.5])


def sample(feature: Tensor, count: int = 32) -> Tensor:
    """Return the values of a map at the figures' places."""
    flat = feature.flatten()
    return flat[torch.linspace(0, flat.numel() - 1, count).long()]
