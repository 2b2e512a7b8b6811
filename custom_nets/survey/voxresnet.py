"""VoxResNet, a deeply supervised residual network for volumes (Chen et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.encoders.encoder import initialise
from custom_nets.framing import pad_to_stride
from custom_nets.freezing import DECODER, Freezable, FreezableBatchNorm3d

WIDTHS = (32, 64)
"""Maps at full size, and at all smaller sizes."""

STRIDES = (1, 2, 4, 8)
"""Of the maps that the four side outputs read."""

SIDE_MAPS = 4
"""Maps of a side output at full size, of which its class scores are computed."""


class VoxRes(nn.Module):
    """x + conv(ReLU(norm(conv(ReLU(norm(x)))))): the identity path has no ReLU."""

    def __init__(self, channels: int) -> None:
        """Map (B, channels, H, W, D) to the same shape."""
        super().__init__()
        self.norm1 = FreezableBatchNorm3d(channels)
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm2 = FreezableBatchNorm3d(channels)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Add the two convolutions to x."""
        residual: Tensor = self.conv1(F.relu(self.norm1(x)))
        residual = self.conv2(F.relu(self.norm2(residual)))
        return x + residual


class Level(nn.Module):
    """Convolution that halves the map, and two VoxRes modules."""

    def __init__(self, in_channels: int, channels: int) -> None:
        """Map (B, in_channels, H, W, D) to (B, channels, H / 2, W / 2, D / 2)."""
        super().__init__()
        self.norm = FreezableBatchNorm3d(in_channels)
        self.conv = nn.Conv3d(in_channels, channels, 3, stride=2, padding=1)
        self.first = VoxRes(channels)
        self.second = VoxRes(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Halve, then refine."""
        refined: Tensor = self.second(self.first(self.conv(F.relu(self.norm(x)))))
        return refined


class Side(nn.Module):
    """Side output: a map of a level, brought to full size, to class scores."""

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        """Enlarge ``stride`` times: kernel = stride, at full size 3."""
        super().__init__()
        kernel, padding = (3, 1) if stride == 1 else (stride, 0)
        self.up = nn.ConvTranspose3d(channels, SIDE_MAPS, kernel, stride=stride, padding=padding)
        self.score = nn.Conv3d(SIDE_MAPS, out_channels, 1)
        # each voxel of the result reads `read` weights of every map, and no ReLU follows
        read = (kernel // stride) ** 3
        nn.init.normal_(self.up.weight, std=(read * channels) ** -0.5)
        nn.init.zeros_(self.up.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.score.weight, std=SIDE_MAPS**-0.5)
        nn.init.zeros_(self.score.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H / stride, ...) to (B, out_channels, H, ...)."""
        scores: Tensor = self.score(self.up(x))
        return scores


class VoxResNet(Freezable):
    """Volume (B, in_channels, H, W, D), slices along D, to logits (B, out_channels, H, W, D).

    25 convolutions: two at full size, three levels of a halving convolution and two residual
    modules each, and four side outputs of two convolutions (strides 1, 2, 4, 8) whose scores are
    added. **In training mode** the result is (B, 4 * out_channels, H, W, D), the scores of the side
    outputs one after another, so that each gets its own loss
    (``scripts.training.deep_supervision``); in evaluation mode it is their sum.

    Blocks for freezing: "block1" (full size), "block2" to "block4" (strides 2, 4, 8), "decoder"
    (the side outputs); layers conv1 to conv17.

    Source: Chen, Dou, Yu, Qin, Heng, VoxResNet: deep voxelwise residual networks for brain
    segmentation from 3D MR images, NeuroImage 170, 446-455, 2018 (arXiv 1608.05895), and the public
    re-implementation txin96/VoxResNet, from which the kernels and widths are. There, the second
    kernel is 3 x 3 within a slice (``thick_slices`` here), in other descriptions 3 x 3 x 3 (the
    default). Could not be checked against the paper: biases, the initial weights (here He et al.
    2015), and the number of maps of a side output. Sides that are not multiples of 8 are padded
    with copies of the last voxels, and the result is cropped.

    >>> network = VoxResNet(2, 3, widths=(4, 8))
    >>> volume = torch.rand(1, 2, 16, 12, 9)
    >>> tuple(network.eval()(volume).shape), tuple(network.train()(volume).shape)
    ((1, 3, 16, 12, 9), (1, 12, 16, 12, 9))
    """

    def __init__(
        self,
        in_channels: int = 2,
        out_channels: int = 1,
        *,
        thick_slices: bool = False,
        widths: Sequence[int] = WIDTHS,
    ) -> None:
        """Build with random weights.

        Args:
            in_channels: modalities: CT windows, and maps of an earlier network (auto-context).
            out_channels: maps of logits.
            thick_slices: give the second convolution a kernel within the slice, 3 x 3 x 1: for
                slices at least twice as far apart as pixels.
            widths: maps at full size, and at all smaller sizes.

        Raises:
            ValueError: a number is below 1, or there are not two widths.
        """
        super().__init__()
        if len(widths) != 2 or min(*widths, in_channels, out_channels) < 1:
            raise ValueError(
                f"widths must be two numbers of maps, in_channels and out_channels at least 1; got "
                f"{list(widths)}, {in_channels}, {out_channels}; correct them"
            )
        self.in_channels = in_channels
        full, reduced = widths
        kernel, padding = ((3, 3, 1), (1, 1, 0)) if thick_slices else ((3, 3, 3), (1, 1, 1))
        self.conv1a = nn.Conv3d(in_channels, full, 3, padding=1)
        self.norm1 = FreezableBatchNorm3d(full)
        self.conv1b = nn.Conv3d(full, full, kernel, padding=padding)
        ins = (full, *[reduced] * (len(STRIDES) - 2))
        self.levels = nn.ModuleList(Level(before, reduced) for before in ins)
        initialise(self)
        maps = (full, *[reduced] * (len(STRIDES) - 1))
        self.sides = nn.ModuleList(
            Side(channels, out_channels, stride)
            for channels, stride in zip(maps, STRIDES, strict=True)
        )
        self.name_parts(_parts(len(self.levels)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W, D) to logits: the sum, or in training mode every side output.

        Raises:
            ValueError: the number of channels or axes is wrong.
        """
        x, back = pad_to_stride(x, self.in_channels, stride=8, axes=3)
        scores = self.side_scores(x)
        result = torch.cat(scores, dim=1) if self.training else torch.stack(scores).sum(dim=0)
        return F.pad(result, back)

    def side_scores(self, x: Tensor) -> list[Tensor]:
        """Return the scores of each side output, (B, out_channels, H, W, D), the finest first.

        The sides of x must be multiples of 8.
        """
        x = self.conv1b(F.relu(self.norm1(self.conv1a(x))))
        maps = [x]
        for level in self.levels:
            x = level(x)
            maps.append(x)
        scores: list[Tensor] = []
        for index, side in enumerate(self.sides):  # TorchScript cannot zip the two
            scores.append(side(maps[index]))
        return scores


def _parts(levels: int) -> dict[str, dict[str, list[str]]]:
    """Name blocks and layers; a norm belongs to the convolution that reads it."""
    parts = {"block1": {"conv1": ["conv1a"], "conv2": ["norm1", "conv1b"]}}
    number = 2
    for level in range(levels):
        pairs = [("norm", "conv")]
        for module in ("first", "second"):
            pairs += [(f"{module}.norm{i}", f"{module}.conv{i}") for i in (1, 2)]
        layers: dict[str, list[str]] = {}
        for pair in pairs:
            number += 1
            layers[f"conv{number}"] = [f"levels.{level}.{path}" for path in pair]
        parts[f"block{level + 2}"] = layers
    return {**parts, DECODER: {DECODER: ["sides"]}}
