"""Order of a network's weights in memory: the one in which it is fastest."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

LARGE_KERNEL = 1 << 20
"""Weights from which a convolution stays in PyTorch's plain order on a CPU."""


def to_fast_layout(network: Network, device: str | torch.device) -> Network:
    """Move a network to a device with its weights in the order in which it trains fastest.

    This is channels last, but for the large kernels of deep blocks on a CPU: their gradients are
    computed in the plain order, so that each step would reorder them, and the fused Adam would copy
    them once more. A step of the ResNet34 U-Net on crops of 96 x 96 takes a tenth less, one on
    larger maps as long as before. The maps of such a convolution are brought into its order, so
    that all results agree with those in channels last up to rounding.

    Args:
        network: it is changed in place.
        device: where it will run.

    Returns:
        The network.
    """
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if torch.device(device).type == "cpu":
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and _is_large(module):
                module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
                module.register_forward_pre_hook(_match_layout)
    return network


def _is_large(convolution: nn.Conv2d) -> bool:
    return convolution.weight.numel() >= LARGE_KERNEL and max(convolution.kernel_size) > 1


def _match_layout(convolution: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Bring the maps (B, C, H, W) into the plain order if the weights still are in it."""
    weight: Any = convolution.weight
    if not weight.is_contiguous():
        return None
    return tuple(one.contiguous() if isinstance(one, Tensor) else one for one in inputs)


def match_state_layout(optimizer: torch.optim.Optimizer) -> None:
    """Bring an optimiser's loaded state, such as Adam's moments, into its parameters' order.

    A fused optimiser on a CPU goes through parameter, gradient and state by position in memory
    (PyTorch 2.13): if their orders differ, it updates each weight by the moments of another.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
