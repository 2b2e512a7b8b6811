"""Convolutional restricted Boltzmann machine, trained by one step of contrastive divergence."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VISIBLE, HIDDEN = ("gaussian", "relu", "binary"), ("relu", "binary")


class ConvolutionalRBM(nn.Module):
    """Layer whose hidden maps are a valid convolution of the visible ones, with its transpose back.

    Units: visible ones are Gaussian with variance 1 (images), rectified Gaussian (maps of an
    earlier layer) or binary; hidden ones are noisy rectified linear units or binary. With the
    activations ``a = convolution(v) + hidden bias`` the free energy of Gaussian and rectified
    visible units is ``sum((v - b)^2) / 2 - sum(relu(a)^2) / 2``; binary ones have ``-sum(b v)`` and
    ``softplus(a)`` in their place.

    ``loss`` is the free energy of the data less that of their reconstruction, which is one Gibbs
    step away and has no gradient. Its gradient is that of contrastive divergence (CD-1), averaged
    over the hidden units.

    Source: Lee, Grosse, Ranganath, Ng, Convolutional deep belief networks, ICML 2009 (also the
    sparsity by the hidden biases alone); Nair, Hinton, Rectified linear units improve restricted
    Boltzmann machines, ICML 2010; Hinton, Training products of experts by minimizing contrastive
    divergence, Neural Computation 14(8), 2002. The closed form for rectified units, which takes
    the mean activation relu(a) for the sum of infinitely many binary ones, and Adam in place of
    plain gradient steps are our choice.

    Args:
        convolution: valid, 2D or 3D, with a bias; trained in place.
        visible_bias: (channels,), changed in place, so that it may be a buffer of the network.
        before: from the layer's input to the visible units, such as a pooling.
        visible: "gaussian", "relu" or "binary".
        hidden: "relu" or "binary".
        sparsity: weight of the sparsity term.
        target: mean activation of a hidden unit that it aims at.

    Raises:
        ValueError: an option is not among those named here, or the convolution is padded.
    """

    def __init__(
        self,
        convolution: nn.Conv2d | nn.Conv3d,
        visible_bias: Tensor,
        *,
        before: nn.Module | None = None,
        visible: str = "gaussian",
        hidden: str = "relu",
        sparsity: float = 0.0,
        target: float = 0.1,
    ) -> None:
        super().__init__()
        if visible not in VISIBLE or hidden not in HIDDEN:
            raise ValueError(
                f"visible must be one of {', '.join(VISIBLE)}, hidden one of {', '.join(HIDDEN)}; "
                f"got {visible!r}, {hidden!r}; correct them"
            )
        if convolution.bias is None or any(convolution.padding) or sparsity < 0:
            raise ValueError(
                "convolution must have a bias and no padding, sparsity be at least 0; got padding "
                f"{convolution.padding}, sparsity {sparsity}; correct them"
            )
        self.convolution, self.before = convolution, before or nn.Identity()
        self.visible_bias = nn.Parameter(visible_bias)
        self.visible, self.hidden = visible, hidden
        self.sparsity, self.target = sparsity, target
        spatial = convolution.weight.dim() - 2
        self._transposed = F.conv_transpose2d if spatial == 2 else F.conv_transpose3d
        self._shape = (1, -1, *[1] * spatial)

    def encode(self, x: Tensor) -> Tensor:
        """Map (B, C, ...) to the mean hidden maps (B, units, ...), smaller by the kernel."""
        return self.expected(self.activations(self.before(x)))

    def activations(self, visible: Tensor) -> Tensor:
        """Return the input (B, units, ...) of each hidden unit."""
        activations: Tensor = self.convolution(visible)
        return activations

    def expected(self, activations: Tensor) -> Tensor:
        """Return the mean of each hidden unit."""
        return activations.relu() if self.hidden == "relu" else activations.sigmoid()

    def restored(self, hidden: Tensor) -> Tensor:
        """Return the mean of each visible unit (B, C, ...), larger by the kernel."""
        bias = self.visible_bias.view(self._shape)
        inputs = self._transposed(hidden, self.convolution.weight) + bias
        if self.visible == "gaussian":
            return inputs
        return inputs.relu() if self.visible == "relu" else inputs.sigmoid()

    def sampled_hidden(self, activations: Tensor) -> Tensor:
        """Draw the hidden units: relu(a + noise of variance sigmoid(a)), or 0 and 1."""
        if self.hidden == "binary":
            return activations.sigmoid().bernoulli()
        noise = torch.randn_like(activations) * activations.sigmoid().sqrt()
        return (activations + noise).relu()

    def sampled_visible(self, hidden: Tensor) -> Tensor:
        """Draw the visible units; of Gaussian and rectified ones the mean is taken."""
        mean = self.restored(hidden)
        return mean.bernoulli() if self.visible == "binary" else mean

    def free_energy(self, visible: Tensor) -> Tensor:
        """Return the free energy (B,) of visible units (B, C, ...)."""
        bias = self.visible_bias.view(self._shape)
        activations = self.activations(visible)
        binary, rectified = self.visible == "binary", self.hidden == "relu"
        own = -(bias * visible) if binary else (visible - bias).square() / 2
        gained = activations.relu().square() / 2 if rectified else F.softplus(activations)
        return own.flatten(1).sum(dim=1) - gained.flatten(1).sum(dim=1)

    def loss(self, x: Tensor) -> Tensor:
        """Return the contrast of a batch (B, C, ...), per hidden unit, plus the sparsity term."""
        with torch.no_grad():
            data = self.before(x)
            activations = self.activations(data)
            reconstructed = self.sampled_visible(self.sampled_hidden(activations))
        units = activations[0, 0].numel()
        contrast = (self.free_energy(data) - self.free_energy(reconstructed)).mean() / units
        if not self.sparsity or self.convolution.bias is None:
            return contrast
        mean = self.expected(activations).transpose(0, 1).flatten(1).mean(dim=1)
        return contrast + self.sparsity * ((mean - self.target) * self.convolution.bias).sum()

    @torch.no_grad()
    def restoration_error(self, x: Tensor) -> float:
        """Return the mean squared error of visible units restored from their mean hidden maps."""
        data = self.before(x)
        return F.mse_loss(self.restored(self.expected(self.activations(data))), data).item()
