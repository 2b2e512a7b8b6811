"""Multi-scale structured CNN: columns of convolutions with kernels of several sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.bilinear import BilinearDoubling
from custom_nets.encoders.encoder import initialise
from custom_nets.framing import pad_to_stride
from custom_nets.freezing import DECODER, Freezable, FreezableBatchNorm2d

KERNELS = (3, 5, 7)
"""Kernel size of each column."""

WIDTHS = (32, 48, 64)
"""Maps of a column's three convolutions."""

STRIDE = 4
"""Of the columns' last maps: there is a pooling after the first and the second convolution."""


class ColumnStage(nn.Module):
    """One convolution in each column; the columns do not see one another."""

    def __init__(self, in_channels: int, channels: int, kernels: Sequence[int]) -> None:
        """Map ``in_channels`` maps of each column to ``channels``, keeping their size."""
        super().__init__()
        self.columns = nn.ModuleList(_convolution(in_channels, channels, k) for k in kernels)

    def forward(self, columns: list[Tensor]) -> list[Tensor]:
        """Map (B, in_channels, H, W) of each column to (B, channels, H, W)."""
        found: list[Tensor] = []
        for number, column in enumerate(self.columns):
            found.append(column(columns[number]))
        return found


class MultiScaleCNN(Freezable):
    """Image (B, in_channels, H, W) to logits (B, out_channels, H, W), any H and W.

    Columns with kernels of 3, 5 and 7 pixels see the same image and stay apart for three
    convolutions, with a max pooling after the first and the second. Their last maps are joined by a
    1x1 convolution and scored, and the scores are enlarged four times by transposed convolutions
    that start as bilinear interpolation. Parts for freezing are "block1" to "block3", each with the
    convolutions of all columns, and "decoder".

    Source: Bao and Chung, Multi-scale structured CNN with label consistency for brain MR image
    segmentation, Computer Methods in Biomechanics and Biomedical Engineering: Imaging &
    Visualization 6(1), 113-117, 2018: kernels of several sizes in each layer, computed apart and
    merged in the last layers. Could not be checked against the paper, and are our choice: the sizes
    3, 5, 7; three convolutions and two poolings; the widths 32, 48, 64 and 256; batch norms, which
    halve the updates until nodules are found at all; whole slices in place of patches, therefore
    padded convolutions, and the enlargement of the scores. Label consistency is a step after the
    network: :mod:`scripts.transforms.random_walk`.

    >>> network = MultiScaleCNN(in_channels=1, widths=(2, 3, 4), joined=8)
    >>> tuple(network.eval()(torch.rand(1, 1, 30, 41)).shape)
    (1, 1, 30, 41)
    >>> network.block_names
    ('block1', 'block2', 'block3', 'decoder')
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 1,
        kernels: Sequence[int] = KERNELS,
        widths: Sequence[int] = WIDTHS,
        joined: int = 256,
    ) -> None:
        """Build with random weights.

        Args:
            in_channels: of the image.
            out_channels: maps of logits.
            kernels: kernel size of each column.
            widths: maps of the three convolutions of a column.
            joined: maps of the 1x1 convolution that joins the columns.

        Raises:
            ValueError: kernels that are not odd, other than three widths, or a number below 1.
        """
        super().__init__()
        numbers = (*kernels, *widths, joined, in_channels, out_channels)
        odd = bool(kernels) and all(kernel % 2 == 1 for kernel in kernels)
        if not odd or len(widths) != 3 or min(numbers) < 1:
            raise ValueError(
                f"kernels must be odd, widths three numbers, joined, in_channels and out_channels "
                f"at least 1; got {list(kernels)}, {list(widths)}, {joined}, {in_channels}, "
                f"{out_channels}; correct them"
            )
        self.in_channels, self.stride = in_channels, STRIDE
        self.columns = len(kernels)
        self.block1 = ColumnStage(in_channels, widths[0], kernels)
        self.block2 = ColumnStage(widths[0], widths[1], kernels)
        self.block3 = ColumnStage(widths[1], widths[2], kernels)
        self.decoder = nn.Sequential(
            _convolution(len(kernels) * widths[2], joined, 1),
            nn.Conv2d(joined, out_channels, 1),
            BilinearDoubling(out_channels),
            BilinearDoubling(out_channels),
        )
        initialise(self)
        blocks = {f"block{n}": {f"conv{n}": [f"block{n}"]} for n in (1, 2, 3)}
        self.name_parts({**blocks, DECODER: {DECODER: ["decoder"]}})

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) in [0, 1] to logits (B, out_channels, H, W).

        Raises:
            ValueError: the number of channels is not ``in_channels``.
        """
        x, back = pad_to_stride(x, self.in_channels, self.stride)
        columns = self.block1([x] * self.columns)
        columns = self.block2([F.max_pool2d(column, 2) for column in columns])
        columns = self.block3([F.max_pool2d(column, 2) for column in columns])
        logits: Tensor = self.decoder(torch.cat(columns, dim=1))
        return F.pad(logits, back)


def _convolution(in_channels: int, channels: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, FreezableBatchNorm2d(channels), nn.ReLU(inplace=True))
