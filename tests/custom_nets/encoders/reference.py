"""The reference classifiers' figures, and the weights and images they were computed with.

``parity_<encoder>.json`` holds, for torchvision's network filled by `fill`, the state_dict (key to
shape, classifier left out) and each block's map: shape, mean, std and 32 evenly spaced values.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def figures(encoder_name: str) -> dict[str, Any]:
    """Return the figures of one encoder."""
    return json.loads(Path(__file__).with_name(f"parity_{encoder_name}.json").read_text())


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


def image(size: int) -> Tensor:
    """Return the figures' input (1, 3, size, size)."""
    return normal(torch.Size((1, 3, size, size)), 2016)


def sample(feature: Tensor) -> Tensor:
    """Return the 32 values of a map at the figures' places."""
    flat = feature.flatten()
    return flat[torch.linspace(0, flat.numel() - 1, 32).long()]
