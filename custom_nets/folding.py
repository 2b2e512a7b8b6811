"""Batch norms folded into the convolutions before them: fewer passes over the maps."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from custom_nets.freezing import Freezable, FreezableBatchNorm2d

PROBE = (64, 96)
"""Height and width of the image that folded and unfolded network are compared on."""
TOLERANCE = 1e-4
"""Of the largest logit, in float32."""


@torch.no_grad()
def fold_norms(network: Freezable) -> int:
    """Fold every batch norm that is registered right after its convolution; for inference only.

    A norm that stands elsewhere, as before the convolutions of a DenseNet, stays. The network can
    neither be trained nor loaded into afterwards: the norms and their weights are gone.

    Args:
        network: in evaluation mode, with its weights, float32; is changed in place.

    Returns:
        How many norms were folded.

    Raises:
        ValueError: for a network in training mode, or one that calls its modules in another order
            than it registers them, whose logits would change, or that does not say in
            ``in_channels`` what images it takes; it is left as it is.
    """
    if network.training:
        raise ValueError("network must be in evaluation mode; got training mode; call eval() first")
    pairs = _pairs(network)
    if not pairs:
        return 0
    plain = deepcopy(network).cpu()  # GPUs round float32 to fewer digits in convolutions
    folded = deepcopy(plain)
    for convolution, norm in pairs:
        _fold(folded, convolution, norm)
    _compare(plain, folded)
    for convolution, norm in pairs:
        _fold(network, convolution, norm)
    return len(pairs)


def _pairs(network: nn.Module) -> list[tuple[str, str]]:
    """Paths of each convolution and of the norm registered after it in the same module."""
    found = []
    for path, parent in network.named_modules():
        prefix = f"{path}." if path else ""
        for (name, child), (after, norm) in pairwise(parent.named_children()):
            if (
                isinstance(child, nn.Conv2d)
                and isinstance(norm, FreezableBatchNorm2d)
                and child.out_channels == norm.num_features
            ):
                found.append((prefix + name, prefix + after))
    return found


def _fold(network: nn.Module, convolution: str, norm: str) -> None:
    before: Any = network.get_submodule(convolution)
    after: Any = network.get_submodule(norm)
    network.set_submodule(convolution, fuse_conv_bn_eval(before, after))
    network.set_submodule(norm, nn.Identity())


def _compare(network: Freezable, folded: Freezable) -> None:
    """Compare two networks on the CPU."""
    channels = getattr(network, "in_channels", None)
    if not isinstance(channels, int):
        raise ValueError(
            f"network must have the channels of its images as in_channels; got {channels!r}; add "
            "it, or set fold_norms to false"
        )
    own = torch.Generator().manual_seed(0)  # a run's own random numbers stay as they are
    image = torch.rand(1, channels, *PROBE, generator=own)
    with torch.autocast("cpu", enabled=False):
        wanted: Tensor = network(image)
        got: Tensor = folded(image)
    apart, largest = float((got - wanted).abs().max()), float(wanted.abs().max())
    if not apart <= TOLERANCE * largest:
        raise ValueError(
            f"network must call each norm on what the convolution registered before it gives; "
            f"folded, its logits are up to {apart:g} off, the largest being {largest:g}; set "
            "fold_norms to false"
        )
