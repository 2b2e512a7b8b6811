"""Real training steps, and a comparison of what they moved."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from custom_nets.freezing import Freezable


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """Copy every weight and statistic."""
    return {key: tensor.clone() for key, tensor in network.state_dict().items()}


def adam(network: Freezable) -> torch.optim.Optimizer:
    """One optimiser over all parts, frozen ones too, that would decay any weight it may touch."""
    return torch.optim.Adam(network.parameter_groups(), lr=1e-3, weight_decay=0.1)


def train(
    network: Freezable,
    batches: Iterable[Tensor],
    *,
    optimizer: torch.optim.Optimizer | None = None,
    through: nn.Module | None = None,
) -> None:
    """Take a step for each batch in training mode, called as engines do in every iteration.

    ``through`` is what the batch is given to where it is not the network itself (a DDP wrapper).
    """
    model = through or network
    optimizer = optimizer or adam(network)
    for batch in batches:
        model.train()
        optimizer.zero_grad()
        output = model(batch)
        maps = output if isinstance(output, list) else [output]
        sum(feature.square().mean() for feature in maps).backward()
        optimizer.step()


def moved_shares(network: Freezable, before: dict[str, Tensor]) -> dict[str, float]:
    """Return, for each part, the share of its tensors (weights and statistics) that changed."""
    after = network.state_dict()
    shares = {}
    for block, layers in network.parts.items():
        paths = [f"{path}." for layer in layers.values() for path in layer]
        keys = [key for key in after if key.startswith(tuple(paths))]
        shares[block] = sum(not torch.equal(after[key], before[key]) for key in keys) / len(keys)
    return shares
