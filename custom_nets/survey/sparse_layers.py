"""Layers of a network as sparse auto-encoders, to be trained one at a time without labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.classifier import TransferClassifier
from custom_nets.fcn import TransferFCN
from custom_nets.survey.csae import ConvolutionalSparseNetwork
from custom_nets.unet import TransferUNet

SMALLEST = 1e-8
"""Added to lengths: a unit or a sample without any activation has none to share out."""


def sparsity(activations: Tensor) -> Tensor:
    """Return how evenly the activations (samples, units) are spread: population plus lifetime part.

    The population part is the mean L1 length of a sample's activations over all units, scaled to
    L2 length 1: it is 1 if one unit responds to a sample, and the root of the number of units if
    all do equally. The lifetime part is the same of a unit's activations over all samples. Neither
    depends on the scale of the activations.

    Source: both parts are in the abstract of Kallenberg et al. 2016; the normalised lengths are
    those of Ngiam, Koh, Chen, Bhaskar, Ng, Sparse filtering, NIPS 2011. The means are our choice.

    >>> sparsity(torch.eye(4)).item(), sparsity(torch.ones(4, 9)).item()
    (2.0, 5.0)
    """
    population = F.normalize(activations, dim=1, eps=SMALLEST).abs().sum(dim=1).mean()
    lifetime = F.normalize(activations, dim=0, eps=SMALLEST).abs().sum(dim=0).mean()
    return population + lifetime


def variance(x: Tensor) -> Tensor:
    """Return the variance of all numbers, as a unit of errors; of constant ones a small number."""
    return x.detach().var().clamp_min(SMALLEST)


class SparsePatchLayer(nn.Module):
    """A convolution with ReLU, trained to restore random patches of its input from its units.

    A patch is what the kernel sees at one place; the decoder is linear and not part of the network.
    The loss is the mean squared error, in units of the patches' variance, plus ``weight`` times
    :func:`sparsity`.

    Args:
        before: what leads from the layer's input to the convolution's: a pooling, a pyramid.
        convolution: trained in place.
        weight: of the sparsity.
        patches: taken from each batch.
    """

    def __init__(
        self, before: nn.Module, convolution: nn.Conv2d, *, weight: float, patches: int
    ) -> None:
        super().__init__()
        self.before, self.convolution = before, convolution
        self.decoder = nn.Linear(convolution.out_channels, convolution.weight[0].numel())
        with torch.no_grad():
            kernels = convolution.weight.flatten(1)
            self.decoder.weight.copy_(kernels.T / kernels.square().sum(dim=1))
            self.decoder.bias.zero_()
        self.weight, self.patches = weight, patches

    def encode(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the activations (B, units, h, w)."""
        return torch.relu(self.convolution(self.before(x)))

    def units(self, patches: Tensor) -> Tensor:
        """Map patches (N, C * k * k) to the activations (N, units)."""
        convolution = self.convolution
        return torch.relu(F.linear(patches, convolution.weight.flatten(1), convolution.bias))

    def loss(self, x: Tensor) -> Tensor:
        """Return the loss of random patches of a batch (B, C, H, W)."""
        with torch.no_grad():
            patches = self.draw(self.before(x))
        activations = self.units(patches)
        error = F.mse_loss(self.decoder(activations), patches) / variance(patches)
        return error + self.weight * sparsity(activations)

    def draw(self, maps: Tensor) -> Tensor:
        """Draw random patches (N, C * k * k) of maps (B, C, H, W), as the kernel would see them."""
        side = self.convolution.kernel_size[0]
        scales = getattr(self.convolution, "scales", 1)
        margin = side // 2 * 2 ** (scales - 1)
        images = torch.randint(len(maps), (self.patches, 1, 1))
        rows = torch.randint(maps.shape[-2], (self.patches, 1, 1)) + margin
        columns = torch.randint(maps.shape[-1], (self.patches, 1, 1)) + margin
        padded = F.pad(maps, [margin] * 4).movedim(1, -1)
        offsets = torch.arange(side) - side // 2
        levels = []
        for scale, level in enumerate(padded.chunk(scales, dim=-1)):
            reach = offsets * 2**scale
            found = level[images, rows + reach[:, None], columns + reach[None]]
            levels.append(found.movedim(-1, 1))
        return torch.cat(levels, dim=1).flatten(1)


class SparseBlock(nn.Module):
    """A block of an encoder, trained to restore its input from its map, with few active units.

    The idea of :class:`SparsePatchLayer` for blocks of several convolutions, norms and poolings;
    our transfer to the encoders of this project. The decoder enlarges the map to the size of the
    input and applies one 3x3 convolution. The error is in units of the input's variance, since maps
    of different blocks differ in scale; a place of the map is a sample.

    Args:
        modules: of the block, trained in place.
        channels: of its input and of its map.
        weight: of the sparsity.
    """

    def __init__(
        self, modules: list[nn.Module], channels: tuple[int, int], *, weight: float
    ) -> None:
        super().__init__()
        self.block = nn.Sequential(*modules)
        self.decoder = nn.Conv2d(channels[1], channels[0], 3, padding=1)
        self.weight = weight

    def encode(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the block's map."""
        encoded: Tensor = self.block(x)
        return encoded

    def loss(self, x: Tensor) -> Tensor:
        """Return the loss of a batch (B, C, H, W)."""
        encoded = self.encode(x)
        enlarged = F.interpolate(encoded, x.shape[-2:], mode="nearest")
        error = F.mse_loss(self.decoder(enlarged), x) / variance(x)
        return error + self.weight * sparsity(encoded.relu().movedim(1, -1).flatten(0, -2))


def sparse_layers(
    network: nn.Module, *, weight: float = 5e-3, patches: int = 1000
) -> list[nn.Module]:
    """Return the blocks of a network's encoder as sparse auto-encoders, first to last.

    Args:
        network: with an encoder: U-Net, FCN, classifier, or the CSAE's own network.
        weight: of the sparsity.
        patches: of a batch, for the CSAE's own network.

    Raises:
        ValueError: a number out of range, or a network without an encoder.
    """
    if weight < 0 or patches < 2:
        raise ValueError(
            f"sparsity must be at least 0, patches at least 2; got {weight}, {patches}; correct "
            "them"
        )
    if isinstance(network, ConvolutionalSparseNetwork):
        return [
            SparsePatchLayer(before, convolution, weight=weight, patches=patches)
            for before, convolution, _ in network.encoder.block_modules()
            if isinstance(convolution, nn.Conv2d)
        ]
    if not isinstance(network, (TransferUNet, TransferFCN, TransferClassifier)):
        raise ValueError(
            f"network must have an encoder of blocks; got a {type(network).__name__}; choose "
            "configs/networks/unet.json, fcn.json or csae.json"
        )
    encoder, normalise = network.encoder, network.normalise
    widths = [encoder.in_channels, *encoder.block_channels]
    layers: list[nn.Module] = []
    for number, modules in enumerate(encoder.block_modules()):
        first = [normalise] if number == 0 else []
        channels = (widths[number], widths[number + 1])
        layers.append(SparseBlock([*first, *modules], channels, weight=weight))
    return layers
