"""Interface of every encoder: five named blocks, their layers, widths and strides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from torch import Tensor, nn

from custom_nets.freezing import Freezable, FreezableBatchNorm2d

BLOCK_NAMES = ("block1", "block2", "block3", "block4", "block5")


class OneLayer(nn.Module):
    """Module whose parameters are frozen and released together, as one layer of the encoder."""


class Encoder(Freezable):
    """ImageNet network without its classifying layers: an image to five maps, fine to coarse.

    ``state_dict`` keys and shapes equal those of the published weight files. Height and width that
    are multiples of 32 give maps of exactly ``block_strides`` times smaller sides.
    """

    name: ClassVar[str]
    block_channels: ClassVar[tuple[int, ...]]
    block_strides: tuple[int, ...] = (2, 4, 8, 16, 32)
    """Of the blocks' maps; neighbours may share one, of which a decoder takes the deepest."""
    normalisation: ClassVar[str] = "imagenet"
    """Inputs that the published weights expect: "imagenet" mean and std, or "half" (0.5, 0.5)."""
    norm_first: ClassVar[bool] = False
    """Whether a norm belongs to the convolution after it rather than to the one before it."""

    def __init__(self, in_channels: int = 3) -> None:
        """Accept grey images (1 channel), or 3 channels: a slice repeated or with its neighbours.

        Raises:
            ValueError: another number of channels, which the published kernels do not fit.
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

    def block_modules(self) -> list[list[nn.Module]]:
        """List, for each block, the modules that lead from the previous block to its output."""
        raise NotImplementedError

    def continue_from(self, maps: Sequence[Tensor], *, until: int = 5) -> list[Tensor]:
        """Compute block1 ... block ``until``, given the first of them.

        Args:
            maps: the image (B, in_channels, H, W), then the outputs of block1, block2 ... as far as
                they are known.
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
        for modules in self.block_modules()[len(maps) - 1 : until]:
            x = maps[-1]
            for module in modules:
                x = module(x)
            maps.append(x)
        return maps[1:]

    def finish(self, blocks: Sequence[Sequence[nn.Module]]) -> None:
        """Name the layers of the five blocks, draw random weights; last call of a constructor."""
        layers = number_layers(self, blocks, norm_first=self.norm_first)
        self.name_parts(dict(zip(BLOCK_NAMES, layers, strict=True)))
        initialise(self)

    @property
    def levels(self) -> dict[int, int]:
        """Stride -> index of the deepest block of that stride, fine to coarse.

        >>> from custom_nets.encoders import make_encoder
        >>> make_encoder("convnext_tiny").levels  # block1 and block2 have stride 4
        {4: 1, 8: 2, 16: 3, 32: 4}
        """
        return {stride: index for index, stride in enumerate(self.block_strides)}

    @property
    def first_kernel(self) -> str:
        """Key of the weight whose second axis is the input channels."""
        return f"{self.parts['block1']['conv1'][0]}.weight"

    @staticmethod
    def current_key(key: str) -> str:
        """Translate a key of an old weight file to the key used today."""
        return key

    @staticmethod
    def for_normalised_input(tensors: dict[str, Tensor], source: object) -> dict[str, Tensor]:
        """Convert weights of a known file that were made for inputs on another scale.

        Args:
            tensors: key of the encoder -> tensor.
            source: named in the log.
        """
        return tensors

    __jit_unused_properties__ = [*Freezable.__jit_unused_properties__, "first_kernel", "levels"]


def number_layers(
    encoder: nn.Module, blocks: Iterable[Iterable[nn.Module]], *, norm_first: bool
) -> list[dict[str, list[str]]]:
    """Give each block its layers {"conv3": [paths of the convolution and of its norm]}.

    A norm joins the convolution before it, or with ``norm_first`` the one after it (at the end of a
    block, the last one); one that starts a block always joins the one after it. A `OneLayer` counts
    as a convolution. Modules must be registered in forward order.
    """
    paths = {id(module): path for path, module in encoder.named_modules()}
    numbered: list[dict[str, list[str]]] = []
    count = 0
    for block in blocks:
        layers: dict[str, list[str]] = {}
        pending: list[str] = []
        for module in (layer for top in block for layer in _convolutions_and_norms(top)):
            if isinstance(module, nn.Conv2d | OneLayer):
                count += 1
                layers[f"conv{count}"] = [paths[id(module)], *pending]
                pending = []
            elif norm_first or not layers:
                pending.append(paths[id(module)])
            else:
                layers[f"conv{count}"].append(paths[id(module)])
        layers[f"conv{count}"].extend(pending)
        numbered.append(layers)
    return numbered


def _convolutions_and_norms(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the convolutions, norms and `OneLayer` modules inside, in the order of registration."""
    if isinstance(module, nn.Conv2d | FreezableBatchNorm2d | nn.LayerNorm | OneLayer):
        yield module
        return
    for child in module.children():
        yield from _convolutions_and_norms(child)


def initialise(network: nn.Module) -> None:
    """Draw He-normal kernels (He et al. 2015) and zero biases, for untrained ReLU networks."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
