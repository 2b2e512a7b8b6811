"""What every encoder promises: five named blocks, their layers, widths and strides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from custom_nets.freezing import Freezable, FreezableBatchNorm2d

BLOCK_NAMES = ("block1", "block2", "block3", "block4", "block5")


class Encoder(Freezable):
    """ImageNet classifier without its classifier: an image to five maps, fine to coarse.

    ``state_dict`` keys and shapes equal those of the published weight files. Height and width that
    are multiples of 32 give maps of exactly ``block_strides`` times smaller sides.
    """

    name: ClassVar[str]
    block_channels: ClassVar[tuple[int, ...]]
    block_strides: ClassVar[tuple[int, ...]] = (2, 4, 8, 16, 32)
    normalisation: ClassVar[str] = "imagenet"
    """Inputs that the published weights expect: "imagenet" mean and std, or "half" (0.5, 0.5)."""
    norm_first: ClassVar[bool] = False
    """Whether a norm belongs to the convolution that it feeds, rather than to the one before it."""

    def __init__(self, in_channels: int = 3) -> None:
        """Take grey images (1 channel), or three: a slice repeated or with its two neighbours.

        Raises:
            ValueError: another number of channels, for which no published kernel fits.
        """
        super().__init__()
        if in_channels not in (1, 3):
            raise ValueError(
                f"in_channels must be 1 (grey) or 3 (RGB, or a slice and its two neighbours); "
                f"got {in_channels}; choose one of them"
            )
        self.in_channels = in_channels

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, in_channels, H, W) to the outputs of block1 ... block5, before any pooling."""
        raise NotImplementedError

    def stretches(self) -> list[list[nn.Module]]:
        """List, block by block, the modules that lead from the block before to its output."""
        raise NotImplementedError

    def continue_from(self, maps: Sequence[Tensor], *, until: int = 5) -> list[Tensor]:
        """Return block1 ... block ``until``, of which the first are given.

        Args:
            maps: (B, in_channels, H, W), the image, and after it the outputs of block1, block2 ...
                as far as they are known.
            until: number of the last block to compute.

        >>> import torch
        >>> from custom_nets.encoders import make_encoder
        >>> encoder = make_encoder("resnet34", in_channels=1).eval()
        >>> image = torch.rand(1, 1, 64, 64)
        >>> known = encoder.continue_from([image], until=3)
        >>> bool(torch.equal(encoder.continue_from([image, *known])[-1], encoder(image)[-1]))
        True
        """
        maps = list(maps)
        for stretch in self.stretches()[len(maps) - 1 : until]:
            x = maps[-1]
            for module in stretch:
                x = module(x)
            maps.append(x)
        return maps[1:]

    def finish(self, blocks: Sequence[Sequence[nn.Module]]) -> None:
        """Name the layers of the five blocks and draw random weights; ends every constructor."""
        layers = number_layers(self, blocks, norm_first=self.norm_first)
        self.name_parts(dict(zip(BLOCK_NAMES, layers, strict=True)))
        initialise(self)

    @property
    def first_kernel(self) -> str:
        """Key of the weight whose second axis is the input channels."""
        return f"{self.parts['block1']['conv1'][0]}.weight"

    @staticmethod
    def current_key(key: str) -> str:
        """Translate a key of an old weight file to the key used today."""
        return key

    __jit_unused_properties__ = [*Freezable.__jit_unused_properties__, "first_kernel"]


def number_layers(
    encoder: nn.Module, blocks: Iterable[Iterable[nn.Module]], *, norm_first: bool
) -> list[dict[str, list[str]]]:
    """Give each block its layers {"conv3": [paths of the convolution and of its norm]}.

    A norm joins the convolution before it, or with ``norm_first`` the one after it (in a block's
    end, where none comes after, the last). Modules must be registered in forward order.
    """
    paths = {id(module): path for path, module in encoder.named_modules()}
    numbered: list[dict[str, list[str]]] = []
    count = 0
    for block in blocks:
        layers: dict[str, list[str]] = {}
        waiting: list[str] = []
        for module in (leaf for top in block for leaf in top.modules()):
            if isinstance(module, nn.Conv2d):
                count += 1
                layers[f"conv{count}"] = [paths[id(module)], *waiting]
                waiting = []
            elif isinstance(module, FreezableBatchNorm2d):
                if norm_first:
                    waiting.append(paths[id(module)])
                else:
                    layers[f"conv{count}"].append(paths[id(module)])
        layers[f"conv{count}"].extend(waiting)
        numbered.append(layers)
    return numbered


def initialise(network: nn.Module) -> None:
    """Draw He-normal kernels (He et al. 2015), zero biases: for ReLU networks without weights."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
