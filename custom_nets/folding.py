"""Folding of batch norms into the convolutions before them, for faster inference."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from custom_nets.freezing import Freezable, FreezableBatchNorm2d

PROBE = (64, 96)
"""Height and width of the image on which folded and unfolded network are compared."""
TOLERANCE = 1e-4
"""Of the largest logit, in float32."""


@torch.no_grad()
def fold_norms(network: Freezable) -> int:
    """Fold every batch norm that is registered right after its convolution; for inference only.

    A norm in another position, as before the convolutions of a DenseNet, stays. Afterwards the
    network can neither be trained nor load weights: the norms and their weights are removed.

    Args:
        network: in evaluation mode, with its weights, in float32; it is changed in place.

    Returns:
        The number of folded norms.

    Raises:
        ValueError: for a network in training mode, one whose logits are not finite, one that calls
            its modules in another order than it registers them, whose logits would change, or one
            without ``in_channels``; the network is not changed.
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


class FoldedCopy:
    """The copy of a trained network that is run in its place: norms folded, channels last.

    It is made at the first call, and again for another network or changed weights.
    """

    def __init__(self) -> None:
        """Make the copy later."""
        self._network: nn.Module | None = None
        self._versions: list[int] = []
        self._copy: nn.Module | None = None

    def of(self, network: Any) -> Any:
        """Return the network to run.

        Args:
            network: one in training mode, one that has nothing to fold and is in channels-last
                order already, or another callable than a ``Freezable``, is returned as it is.

        Raises:
            ValueError: see :func:`fold_norms`.
        """
        if not isinstance(network, Freezable) or network.training:
            return network
        tensors = [*network.parameters(), *network.buffers()]
        versions = [0 if tensor.is_inference() else tensor._version for tensor in tensors]
        if self._copy is None or self._network is not network or self._versions != versions:
            self._network, self._versions = network, versions
            self._copy = network if _is_folded(network) else _folded_copy(network)
        return self._copy


def _is_folded(network: nn.Module) -> bool:
    weights = [tensor for tensor in network.parameters() if tensor.ndim == 4]
    ordered = all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    return ordered and not _pairs(network)


def _folded_copy(network: Freezable) -> nn.Module:
    copy = deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fold_norms(copy)
    return copy  # type: ignore[no-any-return]


def _pairs(network: nn.Module) -> list[tuple[str, str]]:
    """Return the paths of each convolution and of the norm registered right after it."""
    pairs = []
    for path, parent in network.named_modules():
        prefix = f"{path}." if path else ""
        for (name, child), (after, norm) in pairwise(parent.named_children()):
            if (
                isinstance(child, nn.Conv2d)
                and isinstance(norm, FreezableBatchNorm2d)
                and child.out_channels == norm.num_features
            ):
                pairs.append((prefix + name, prefix + after))
    return pairs


def _fold(network: nn.Module, convolution: str, norm: str) -> None:
    before: Any = network.get_submodule(convolution)
    after: Any = network.get_submodule(norm)
    network.set_submodule(convolution, fuse_conv_bn_eval(before, after))
    network.set_submodule(norm, nn.Identity())


def _compare(network: Freezable, folded: Freezable) -> None:
    """Refuse a folded network whose logits differ from the unfolded one's, on the CPU."""
    channels = getattr(network, "in_channels", None)
    if not isinstance(channels, int):
        raise ValueError(
            f"network must state the channels of its images in in_channels; got {channels!r}; add "
            "it, or set fold_norms to false"
        )
    own = torch.Generator().manual_seed(0)  # does not disturb the run's random numbers
    image = torch.rand(1, channels, *PROBE, generator=own)
    with torch.autocast("cpu", enabled=False):
        expected: Tensor = network(image)
        actual: Tensor = folded(image)
    if not bool(torch.isfinite(expected).all()):
        raise ValueError(
            "network gives logits that are not finite for an image in [0, 1]; its weights cannot "
            "be used, check its training"
        )
    difference, largest = float((actual - expected).abs().max()), float(expected.abs().max())
    if not difference <= TOLERANCE * largest:
        raise ValueError(
            f"network must call each norm on the output of the convolution registered before it; "
            f"folding changed its logits by up to {difference:g}, the largest being {largest:g}; "
            "set fold_norms to false"
        )
