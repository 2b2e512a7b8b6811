"""A U-Net whose decoder computes only where the image is not empty, for faster prediction."""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.framing import pad_to_stride
from custom_nets.freezing import NORM_LAYERS
from custom_nets.unet import TransferUNet

REACH = 2
"""Voxels that the two 3x3 convolutions of an up step, or the learned doubling, look beyond."""


class NarrowedUNet(nn.Module):
    """The logits of a U-Net near the voxels that are not 0, in less time; constant elsewhere.

    The encoder computes the whole image, as every voxel reaches its deepest map. Each up step of
    the decoder looks `REACH` voxels far, so that it computes only the rows and columns from which
    the logits of the region follow. These equal the U-Net's own but for rounding. Of a slice of
    masked lungs in a box with a margin of 32 voxels the last steps, the most expensive ones, keep
    about half.

    The region is found by operations on tensors, not by numbers of Python, so that a network traced
    with one image finds that of another one.

    >>> import torch
    >>> network = TransferUNet("resnet34", decoder_channels=(8, 8, 8, 8, 8)).eval()
    >>> image = torch.zeros(1, 3, 96, 128)
    >>> image[..., 30:40, 50:60] = 0.5
    >>> logits = NarrowedUNet(network, rim=8, outside=-20.0)(image)
    >>> (logits > -20).nonzero()[[0, -1], 2:].tolist()
    [[22, 42], [47, 67]]
    """

    def __init__(self, network: TransferUNet, *, rim: int, outside: float) -> None:
        """Use a network's own layers.

        Args:
            network: in evaluation mode; see `can_be_narrowed`.
            rim: voxels around the box of those that are not 0, to which the region extends.
            outside: logit of the voxels outside the region.
        """
        super().__init__()
        self.network, self.in_channels = network, network.in_channels
        self.rim, self.outside = rim, outside
        self.eval()

    def extra_repr(self) -> str:
        """Say which region is computed; conversions of the network are told apart by it."""
        return f"rim={self.rim}, outside={self.outside}"

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) in [0, 1] to logits (B, out_channels, H, W).

        Raises:
            ValueError: the number of channels is not that of the network.
        """
        network = self.network
        x, back = pad_to_stride(x, self.in_channels)
        rows, columns = (occupied_range(x, axis, self.rim) for axis in (-2, -1))
        features = network.encoder(network.normalise(x))
        deepest = F.max_pool2d(features[-1], 2) if network.pools_deepest else features[-1]
        skips = [features[index] for index in network.joined]
        logits = self._decode(deepest, skips, rows, columns)
        around: Any = [columns[0], x.shape[-1] - columns[1], rows[0], x.shape[-2] - rows[1]]
        # as one batch of maps: OpenVINO pads the last axes of (B, 1, H, W) voxel by voxel
        padded = F.pad(F.pad(logits.flatten(0, 1), around, value=self.outside), back)
        return padded.reshape(x.shape[0], -1, *padded.shape[1:])

    def _decode(self, x: Tensor, skips: list[Tensor], rows: Tensor, columns: Tensor) -> Tensor:
        """Return the logits of the rows and columns [start, end) of the image."""
        decoder = self.network.decoder
        doubled = not isinstance(decoder.doubling, nn.Identity)
        levels = len(decoder.steps) + doubled
        needed = [_backwards(one, levels) for one in (rows, columns)]
        held = from_start = [torch.zeros_like(rows), torch.zeros_like(columns)]
        for index, step in enumerate(decoder.steps):
            wanted = [one[index] for one in needed]
            x, held = _cut(x, wanted, held), [2 * one for one in wanted]
            skip = _cut(skips[-1 - index], held, from_start) if index < len(skips) else None
            x = step(x, skip)
        wanted = [one[len(decoder.steps)] for one in needed]
        logits: Tensor = _cut(decoder.head(x), wanted, held)  # fewer channels to copy than of x
        if doubled:
            held = [2 * one for one in wanted]
            logits = _cut(decoder.doubling(logits), [rows, columns], held)
        return logits


def can_be_narrowed(network: nn.Module) -> TypeGuard[TransferUNet]:
    """Whether a network is a U-Net whose decoder looks at near voxels only.

    Group and instance norms compute statistics over the image.
    """
    if type(network) is not TransferUNet:
        return False
    norms = [m for m in network.decoder.modules() if isinstance(m, NORM_LAYERS)]
    return all(isinstance(norm, nn.BatchNorm2d) for norm in norms)


def occupied_range(x: Tensor, axis: int, rim: int) -> Tensor:
    """Return start and end (2) along an axis of the voxels that are not 0, with a rim around them.

    They are inside the image. Of an image of zeros they are its own.

    >>> image = torch.zeros(1, 1, 4, 20)
    >>> image[..., 9:11] = 1
    >>> occupied_range(image, -1, 2).tolist(), occupied_range(image[..., :5], -1, 2).tolist()
    ([7, 13], [0, 5])
    """
    others = [0, 1, 2 if axis == -1 else 3]
    occupied = (x != 0).int().amax(dim=others)
    occupied = torch.maximum(occupied, 1 - occupied.amax())  # all of an image of zeros
    positions = torch.arange(x.shape[axis], device=x.device)
    first = torch.where(occupied > 0, positions, positions[-1]).amin() - rim
    last = (positions * occupied).amax() + rim
    return torch.stack([first.clamp(min=0), torch.minimum(last, positions[-1]) + 1])


def _backwards(region: Tensor, levels: int) -> list[Tensor]:
    """Return start and end of what each level needs, the deepest first.

    Args:
        region: (2) of the image.
        levels: doublings between the deepest level and the image.

    Returns:
        Of each level the range of its input, in voxels of this input; then the region itself, or
        for a decoder that ends by a doubling of its logits that doubling's input.
    """
    needed = [region]
    for _ in range(levels):
        start, end = needed[0].unbind(0)
        start = (start - REACH).clamp(min=0)
        halves = torch.stack([start, end + REACH + 1])
        needed.insert(0, torch.div(halves, 2, rounding_mode="floor"))
    return needed


def _cut(x: Tensor, wanted: list[Tensor], held: list[Tensor]) -> Tensor:
    """Return the wanted rows and columns of a map that begins at those held; they may end later."""
    (top, bottom), (left, right) = (
        (one - has[0]).unbind(0) for one, has in zip(wanted, held, strict=True)
    )
    return x[:, :, top:bottom, left:right]
