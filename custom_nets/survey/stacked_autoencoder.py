"""Stacked sparse auto-encoders of patches: features learnt without labels.

Guo, Wu, Jin, Nguyen, Shen, Shen, Segmentation of infant hippocampus using common feature
representations learned for multimodal longitudinal data, MICCAI 2014, 308-315; Mansoor et al., Deep
learning guided partitioned shape model for anterior visual pathway segmentation, IEEE TMI 35(8)
1856-1865, 2016. Both learn the features of a voxel from the patch around it with a stack of
auto-encoders. That patches of several images are put side by side is Guo's. What could not be
checked in the papers and is our choice: the widths, the units' sigmoid, the untied decoders, and
the sparsity by its Kullback-Leibler divergence with its target and its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from custom_nets.definition import Defined

SMALLEST = 1e-6
"""Least mean activity and variance, so that logarithms and quotients stay finite."""


class SparseAutoEncoder(nn.Module):
    """One dense layer with the decoder that reads its input back.

    Sigmoid units; the decoder is linear for inputs of any value (standardised intensities) and
    sigmoid for those of a layer below. Its weights are its own, not the transposed encoder's.

    >>> layer = SparseAutoEncoder(12, 5, linear_output=True)
    >>> tuple(layer.encode(torch.rand(3, 12)).shape)
    (3, 5)
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        *,
        linear_output: bool,
        sparsity: float = 0.05,
        sparsity_weight: float = 0.1,
    ) -> None:
        """Build the layer.

        Args:
            inputs: length of an input.
            units: number of features.
            linear_output: whether the decoder is linear.
            sparsity: wanted mean activity of each unit, between 0 and 1.
            sparsity_weight: of the divergence from it in the loss; 0 to leave it out.

        Raises:
            ValueError: a number is out of range.
        """
        super().__init__()
        if inputs < 1 or units < 1:
            raise ValueError(f"widths: must be at least 1, got {units} units for {inputs} inputs")
        if not 0 < sparsity < 1 or not 0 <= sparsity_weight < float("inf"):
            raise ValueError(
                "sparsity, sparsity_weight: must be between 0 and 1, and at least 0, got "
                f"{sparsity} and {sparsity_weight}"
            )
        self.encoder, self.decoder = nn.Linear(inputs, units), nn.Linear(units, inputs)
        for part in (self.encoder, self.decoder):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
        self.linear_output = linear_output
        self.sparsity, self.sparsity_weight = sparsity, sparsity_weight

    def encode(self, x: Tensor) -> Tensor:
        """Map inputs (N, inputs) to features (N, units) between 0 and 1."""
        return torch.sigmoid(self.encoder(x))

    def decode(self, features: Tensor) -> Tensor:
        """Map features (N, units) to reconstructed inputs (N, inputs)."""
        output: Tensor = self.decoder(features)
        return output if self.linear_output else torch.sigmoid(output)

    def loss(self, x: Tensor) -> Tensor:
        """Return the error of the reconstruction and the weighted divergence of the activity.

        The error is half the squared difference, summed over the inputs, mean over the N samples,
        in units of the inputs' variance in the batch: the activities of a sparse layer vary
        less than standardised intensities, and the divergence would count more in each further
        layer. The divergence is summed over the units.
        """
        features = self.encode(x)
        variance = x.var(dim=0, unbiased=False).mean().clamp_min(SMALLEST)
        error = reconstruction_error(self.decode(features), x) / variance
        return error + self.sparsity_weight * sparsity_divergence(features, self.sparsity)


class StackedAutoEncoder(Defined):
    """Layers of auto-encoders, each on the features of the one before, and their decoders unrolled.

    Train the layers of :meth:`stack` one after another, then the whole network by :meth:`loss`.

    >>> network = StackedAutoEncoder(12, (8, 4))
    >>> tuple(network.encode(torch.rand(3, 12)).shape), tuple(network(torch.rand(3, 12)).shape)
    ((3, 4), (3, 12))
    """

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        *,
        sparsity: float = 0.05,
        sparsity_weight: float = 0.1,
    ) -> None:
        """Build the network.

        Args:
            inputs: values of a patch.
            widths: units of each layer, from the patch upwards.
            sparsity: see :class:`SparseAutoEncoder`.
            sparsity_weight: see :class:`SparseAutoEncoder`.

        Raises:
            ValueError: there is no layer, or a number is out of range.
        """
        super().__init__()
        if not widths:
            raise ValueError("widths: must name at least one layer")
        self.layers = nn.ModuleList(
            SparseAutoEncoder(
                *(below, units),
                linear_output=number == 0,
                sparsity=sparsity,
                sparsity_weight=sparsity_weight,
            )
            for number, (below, units) in enumerate(
                zip([inputs, *widths[:-1]], widths, strict=True)
            )
        )
        self.inputs, self.width = inputs, widths[-1]

    def stack(self) -> list[SparseAutoEncoder]:
        """Return the layers, from the patch upwards."""
        return [cast(SparseAutoEncoder, layer) for layer in self.layers]

    def encode(self, x: Tensor) -> Tensor:
        """Map standardised patches (N, inputs) to features (N, width) between 0 and 1.

        Raises:
            ValueError: the patches have another length.
        """
        if x.dim() != 2 or x.shape[1] != self.inputs:
            raise ValueError(
                f"patches must be (N, {self.inputs}); got {list(x.shape)}; cut out patches of the "
                "size and windows that the network was trained with"
            )
        for layer in self.stack():
            x = layer.encode(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Map patches (N, inputs) to their reconstruction (N, inputs)."""
        x = self.encode(x)
        for layer in reversed(self.stack()):
            x = layer.decode(x)
        return x

    def loss(self, x: Tensor) -> Tensor:
        """Return the error of the reconstruction by the whole stack, without sparsity."""
        return reconstruction_error(self(x), x)


def reconstruction_error(output: Tensor, wanted: Tensor) -> Tensor:
    """Return half the squared difference, summed over a sample's values, mean over the samples.

    >>> reconstruction_error(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 3.0]])).item()
    5.0
    """
    return 0.5 * (output - wanted).square().sum(dim=1).mean()


def sparsity_divergence(features: Tensor, target: float) -> Tensor:
    """Return the Kullback-Leibler divergence of the units' mean activity, summed over the units.

    Mean activity m of a unit over the batch and target t are read as probabilities of being active:
    t log(t / m) + (1 - t) log((1 - t) / (1 - m)).

    Args:
        features: (N, units), between 0 and 1.
        target: wanted mean activity, between 0 and 1.

    >>> round(sparsity_divergence(torch.tensor([[0.5], [0.3]]), 0.4).item(), 6)
    0.0
    """
    mean = features.mean(dim=0).clamp(SMALLEST, 1 - SMALLEST)
    active = target * torch.log(target / mean)
    inactive = (1 - target) * torch.log((1 - target) / (1 - mean))
    return (active + inactive).sum()
