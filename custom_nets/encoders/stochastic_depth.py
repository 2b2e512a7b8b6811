"""Stochastic depth (Huang, Sun, Liu, Sedra, Weinberger, ECCV 2016): residual branches left out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """In training mode, zero each image's residual branch with probability ``rate``.

    The branches that are kept are divided by ``1 - rate``, so that the mean stays. A unit that
    holds one must keep it in evaluation mode while nothing in the unit trains: what is frozen
    computes the same map every time.

    >>> branch = StochasticDepth(0.5).train()(torch.ones(1000, 1, 1, 1))
    >>> sorted(set(branch.flatten().tolist())), 0.8 < branch.mean().item() < 1.2
    ([0.0, 2.0], True)
    """

    def __init__(self, rate: float) -> None:
        """Leave out a share ``rate`` of the branches, in [0, 1).

        Raises:
            ValueError: the rate is outside.
        """
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be at least 0 and below 1; got {rate}; correct it")
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        """Map (B, ...) to the same shape."""
        if not self.training or self.rate == 0:
            return branch
        sizes = [branch.shape[0]] + [1] * (branch.dim() - 1)
        kept = torch.empty(sizes, dtype=branch.dtype, device=branch.device)
        return branch * kept.bernoulli_(1 - self.rate).div_(1 - self.rate)
