"""Changes of frozen kernels that are products of two small matrices (LoRA)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from scripts.training.fine_tuning.mechanism import Mechanism
from scripts.training.fine_tuning.stage_options import LowRank, Stage

WITH_KERNELS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
SEED = 20220425
"""Of the first factors, so that all processes, and a resumed run, draw the same."""


def kernels_of(network: Any, parts: Sequence[str]) -> dict[str, nn.Parameter]:
    """Return the kernels of the convolutions in blocks or layers of a network, by name.

    Those of linear layers, ConvNeXt's convolutions of 1 x 1, are among them; those of transposed
    convolutions are not.
    """
    found = {}
    names = {id(p): name for name, p in network.named_parameters()}
    for group in network.layer_groups():
        family = {"all", group["name"], group["block"]}
        family.add("encoder" if group["block"] != "decoder" else "decoder")
        if family.isdisjoint(parts):
            continue
        own = {id(p) for p in group["params"]}
        for module in network.modules():
            has_kernel = isinstance(module, WITH_KERNELS)
            if has_kernel and id(module.weight) in own:
                found[names[id(module.weight)]] = module.weight
    return found


class LowRankChanges(Mechanism):
    """Trains kernels W = start + scale * B A, with A (rank, in * k * k) and B (out, rank).

    The optimiser has A and B in a group of its own and never sees W, whose gradient G is turned
    into theirs: scale * B^T G and scale * G A^T. After each step W is set anew. So the network has
    its ordinary parameters all the time: weights are saved, validated and exported as always, and
    nothing has to be merged. B starts at 0; the numbers of A are drawn once for each stage.
    """

    name = "low_rank"

    def __init__(self, network: Any, optimizer: Optimizer, stages: Sequence[Stage]) -> None:
        self.network, self.optimizer = network, optimizer
        self._factors: dict[str, dict[str, tuple[nn.Parameter, nn.Parameter]]] = {
            stage.name: _factors(network, stage.low_rank) for stage in stages if stage.low_rank
        }
        self._kernels: dict[str, nn.Parameter] = {}
        self._start: dict[str, torch.Tensor] = {}
        self._stage: Stage | None = None

    def add_groups(self) -> None:
        """Give the optimiser the factors of all stages, also of later ones, in a fixed order."""
        have = {group["name"] for group in self.optimizer.param_groups}
        for stage, factors in self._factors.items():
            params = [factor for pair in factors.values() for factor in pair]
            if (name := group_name(stage)) not in have:
                self.optimizer.add_param_group({"name": name, "params": params})

    @property
    def kernels(self) -> list[nn.Parameter]:
        """Those that change in the stage that runs."""
        return list(self._kernels.values())

    def begin(self, stage: Stage) -> None:
        """Note the kernels before the stage; draw A, and start with B = 0."""
        self._take(stage)
        self._start = {name: kernel.detach().clone() for name, kernel in self._kernels.items()}
        generator = torch.Generator().manual_seed(SEED)
        with torch.no_grad():
            for first, second in self._factors.get(stage.name, {}).values():
                drawn = torch.empty(first.shape)
                nn.init.kaiming_uniform_(drawn, a=5**0.5, generator=generator)
                first.copy_(drawn)
                second.zero_()

    def restore(self, stage: Stage) -> None:
        """Release the kernels of a stage that goes on."""
        self._take(stage)

    def _take(self, stage: Stage) -> None:
        """Release the kernels of a stage, so that they have gradients; their norms stay frozen."""
        self._stage = stage if stage.low_rank else None
        self._kernels = kernels_of(self.network, stage.low_rank.parts) if stage.low_rank else {}
        for factors in self._factors.values():
            for factor in (factor for pair in factors.values() for factor in pair):
                factor.grad = None
        for kernel in self._kernels.values():
            kernel.requires_grad_(True)

    def before_step(self) -> None:
        """Turn the gradients of the kernels into those of their factors."""
        for name, kernel in self._kernels.items():
            if kernel.grad is None or self._stage is None or self._stage.low_rank is None:
                continue
            first, second = self._factors[self._stage.name][name]
            gradient = kernel.grad.reshape(kernel.shape[0], -1) * self._stage.low_rank.scale
            first.grad = second.detach().T @ gradient
            second.grad = gradient @ first.detach().T
            kernel.grad = None

    def after_step(self) -> None:
        """Set the kernels to their start plus the change."""
        if self._stage is None or self._stage.low_rank is None:
            return
        with torch.no_grad():
            for name, kernel in self._kernels.items():
                first, second = self._factors[self._stage.name][name]
                change = (second @ first).reshape(kernel.shape) * self._stage.low_rank.scale
                kernel.copy_(self._start[name] + change)

    def state_dict(self) -> dict[str, Any]:
        """Return the kernels at the start of the stage that runs, and its factors."""
        factors = self._factors[self._stage.name] if self._stage else {}
        return {
            "start": dict(self._start),
            "factors": {
                name: [factor.detach().clone() for factor in pair] for name, pair in factors.items()
            },
            "stage": self._stage.name if self._stage else None,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take saved kernels and factors."""
        device = next(self.network.parameters()).device
        self._start = {name: tensor.to(device) for name, tensor in state_dict["start"].items()}
        with torch.no_grad():
            for name, pair in state_dict["factors"].items():
                for factor, saved in zip(
                    self._factors[state_dict["stage"]][name], pair, strict=True
                ):
                    factor.copy_(saved)


def group_name(stage: str) -> str:
    """Return the name of the optimiser's group of a stage's factors."""
    return f"low rank of {stage}"


def sizes_of(network: Any, options: LowRank) -> int:
    """Count the numbers in the factors of a stage."""
    return sum(factor.numel() for pair in _factors(network, options).values() for factor in pair)


def _factors(network: Any, options: LowRank) -> dict[str, tuple[nn.Parameter, nn.Parameter]]:
    """Return empty A and B of each kernel; the rank is at most that of the kernel."""
    found = {}
    for name, kernel in kernels_of(network, options.parts).items():
        out, rest = kernel.shape[0], kernel[0].numel()
        rank = min(options.rank, out, rest)
        first = kernel.new_zeros(rank, rest, requires_grad=False)
        second = kernel.new_zeros(out, rank, requires_grad=False)
        found[name] = (nn.Parameter(first), nn.Parameter(second))
    return found
