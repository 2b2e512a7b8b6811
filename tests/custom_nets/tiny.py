"""An encoder small enough to train in milliseconds."""

from __future__ import annotations

from torch import Tensor, nn

from custom_nets.encoders.encoder import Encoder
from custom_nets.freezing import FreezableBatchNorm2d


class TinyEncoder(Encoder):
    """Five blocks of a strided and a plain convolution, 4 channels each."""

    name = "tiny"
    block_channels = (4, 4, 4, 4, 4)

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__(in_channels)
        widths = [in_channels, 4, 4, 4, 4]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, 4, 3, stride=2, padding=1, bias=False),
                FreezableBatchNorm2d(4),
                nn.ReLU(),
                nn.Conv2d(4, 4, 3, padding=1, bias=False),
                FreezableBatchNorm2d(4),
                nn.ReLU(),
            )
            for width in widths
        )
        self.finish(self.block_modules())

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return outputs

    def block_modules(self) -> list[list[nn.Module]]:
        return [[block] for block in self.blocks]
