"""U-Net of residual units for lung nodules (Tong et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.encoders.encoder import initialise
from custom_nets.encoders.resnet import BasicUnit

WIDTHS = (64, 128, 256, 512, 1024)
"""Maps at full size and after each halving, as in the first U-Net."""


class ResidualUNet(nn.Module):
    """Image (B, in_channels, H, W) to logits (B, out_channels, H, W), for sides that halve evenly.

    A U-Net in which each pair of convolutions is a residual unit with batch normalisation: two 3x3
    convolutions in parallel with an identity, or with a 1x1 projection where the number of maps
    changes. Downsampling is 2x2 max pooling, upsampling a transposed convolution; skips are
    concatenated.

    Source: Tong, Li, Chen, Zhang, Jiang, Improved U-NET network for pulmonary nodules segmentation,
    Optik 174, 460-469, 2018: residual connections and batch normalisation in U-Net, on patches cut
    out of the segmented lungs. Departs from the paper, or could not be checked against it, in: the
    widths, which are those of Ronneberger et al. 2015; norms inside the units as in ResNet (after
    each convolution); input size (theirs are small patches, here any).

    >>> network = ResidualUNet(in_channels=1, widths=(4, 8, 8))
    >>> tuple(network.eval()(torch.rand(1, 1, 12, 20)).shape)
    (1, 1, 12, 20)
    """

    def __init__(
        self, in_channels: int = 1, out_channels: int = 1, *, widths: Sequence[int] = WIDTHS
    ) -> None:
        """Build with random weights.

        Args:
            in_channels: of the image.
            out_channels: maps of logits.
            widths: maps at full size and after each halving.

        Raises:
            ValueError: fewer than two widths, or a number below 1.
        """
        super().__init__()
        if len(widths) < 2 or min(*widths, in_channels, out_channels) < 1:
            raise ValueError(
                f"widths must be two or more numbers of maps, in_channels and out_channels at "
                f"least 1; got {list(widths)}, {in_channels}, {out_channels}; correct them"
            )
        self.in_channels = in_channels
        self.stride = 2 ** (len(widths) - 1)
        ins = [in_channels, *widths[:-1]]
        self.down = nn.ModuleList(
            BasicUnit(before, width, stride=1) for before, width in zip(ins, widths, strict=True)
        )
        rising = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in rising)
        self.joined = nn.ModuleList(BasicUnit(2 * b, b, stride=1) for _, b in rising)
        self.head = nn.Conv2d(widths[0], out_channels, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, H, W).

        Raises:
            ValueError: another number of channels, or sides that do not halve evenly.
        """
        even = x.dim() == 4 and x.shape[2] % self.stride == 0 and x.shape[3] % self.stride == 0
        if not even or x.shape[1] != self.in_channels:
            raise ValueError(
                f"input must be (B, {self.in_channels}, H, W) with sides that are multiples of "
                f"{self.stride}; got {list(x.shape)}; pad it, or wrap the network in PlainNetwork"
            )
        skips: list[Tensor] = []
        for index, unit in enumerate(self.down):
            x = unit(x if index == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for index, (up, joined) in enumerate(zip(self.up, self.joined)):  # noqa: B905
            x = joined(torch.cat([up(x), skips[-2 - index]], dim=1))
        logits: Tensor = self.head(x)
        return logits
