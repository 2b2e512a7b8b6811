"""Convolutional encoder network with a shortcut, CEN-s (Brosch 2016)."""

import math
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.encoders.encoder import Encoder
from custom_nets.encoders.weights import load_encoder_weights
from custom_nets.framing import check_input
from custom_nets.freezing import DECODER, Freezable, prefix_parts
from custom_nets.survey.crbm import ConvolutionalRBM

DEVIATION = 0.2
"""Images in [0, 1] are divided by it: about the deviation of windowed CT, so that it becomes 1."""


class Scaling(nn.Module):
    """Divide images by `DEVIATION`."""

    def __init__(self) -> None:
        """Keep the number, which TorchScript reads from no module."""
        super().__init__()
        self.deviation = DEVIATION

    def forward(self, x: Tensor) -> Tensor:
        """Map any shape to itself."""
        return x / self.deviation


class ConvolutionalPathway(Encoder):
    """Two valid 3D convolutions with ReLU and an average pooling between them.

    Each convolution is pretrained as a convolutional RBM (:mod:`custom_nets.survey.crbm`), whose
    visible bias is kept for the way back.
    """

    name = "cen_s"
    normalisation = "none"
    visible1: Tensor
    visible2: Tensor

    def __init__(self, in_channels: int, filters: int, kernel_size: Sequence[int]) -> None:
        """Build with random weights; see :class:`ConvolutionalEncoderNetwork`.

        Raises:
            ValueError: a kernel of other than three sides, or a number below 1.
        """
        super().__init__(in_channels)
        if len(kernel_size) != 3 or min(*kernel_size, filters) < 1:
            raise ValueError(
                f"kernel_size must be three numbers of at least 1, filters at least 1; got "
                f"{list(kernel_size)}, {filters}; correct them"
            )
        side = (kernel_size[0], kernel_size[1], kernel_size[2])
        self.conv1 = nn.Conv3d(in_channels, filters, side)
        self.conv2 = nn.Conv3d(filters, filters, side)
        self.scaling, self.pool, self.relu = Scaling(), nn.AvgPool3d(2), nn.ReLU()
        self.register_buffer("visible1", torch.zeros(in_channels))
        self.register_buffer("visible2", torch.zeros(filters))
        self.name_parts({"block1": {"conv1": ["conv1"]}, "block2": {"conv2": ["conv2"]}})
        for convolution in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, in_channels, H, W, D) to the maps of both convolutions."""
        first = self.relu(self.conv1(self.scaling(x)))
        return [first, self.relu(self.conv2(self.pool(first)))]

    def block_modules(self) -> list[list[nn.Module]]:
        """See `custom_nets.encoders.encoder.Encoder`."""
        return [[self.scaling, self.conv1, self.relu], [self.pool, self.conv2, self.relu]]

    @property
    def first_kernel(self) -> str:
        """No kernel: a file for another number of channels is refused, by its shapes."""
        return ""


class ConvolutionalEncoderNetwork(Freezable):
    """Volume (B, in_channels, H, W, D) in [0, 1] to logits (B, out_channels, H, W, D), any size.

    Convolution, average pooling, convolution, then transposed convolution, unpooling, transposed
    convolution; the last one also gets the maps of the first convolution. Valid convolutions on the
    way forth and full ones back: its logits have the size of its input. Parts for freezing are
    "block1", "block2" and "decoder".

    Source: Brosch, Tang, Yoo, Li, Traboulsee, Tam, Deep 3D convolutional encoder networks with
    shortcuts for multiscale feature integration applied to multiple sclerosis lesion segmentation,
    IEEE TMI 35(5), 1229-1239, 2016. From its abstract: two interconnected pathways, pretrained as
    convolutional RBMs, with a shortcut. Could not be checked: 32 filters; average pooling; that the
    weights of the way back start as those of the way forth, transposed, with the RBM's visible
    bias. Our choice: kernels 9 x 9 x 3 for CT slices thicker than 2 mm, 7 x 7 x 7 for thinner
    ones, in place of those for MR images; unpooling that repeats values; halves of the first
    kernels for both inputs of the last layer; padding of volumes of other sizes; the bias of the
    last layer, by which each voxel starts with the probability ``first_probability``. Under
    :class:`scripts.training.losses.SensitivityRatio` its ratio is the best constant; from 0.5, the
    many inputs of the last layer are first driven down together until no voxel has a gradient.

    >>> network = ConvolutionalEncoderNetwork(filters=2, kernel_size=(3, 3, 3))
    >>> tuple(network.eval()(torch.rand(1, 1, 20, 19, 9)).shape)
    (1, 1, 20, 19, 9)
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        filters: int = 32,
        kernel_size: Sequence[int] = (9, 9, 3),
        first_probability: float = 0.05,
        weights: str = "none",
    ) -> None:
        """Build the network.

        Args:
            in_channels: 1, or 3.
            out_channels: maps of logits.
            filters: maps of each layer.
            kernel_size: of each layer, along (H, W, D).
            first_probability: of every voxel at the start, by the last bias alone.
            weights: of the way forth, from which the way back starts too: "none", or a file that
                the pretraining as RBMs wrote.

        Raises:
            ValueError: an option is not among those named here.
        """
        super().__init__()
        if out_channels < 1:
            raise ValueError(f"out_channels must be at least 1; got {out_channels}; raise it")
        if not 0 < first_probability < 1:
            raise ValueError(
                f"first_probability must be between 0 and 1; got {first_probability}; correct it"
            )
        self.encoder = ConvolutionalPathway(in_channels, filters, kernel_size)
        self.in_channels = in_channels
        self.kernel = [int(side) for side in kernel_size]
        self.decoder = Returning(filters, out_channels, kernel_size)
        parts = prefix_parts(self.encoder.parts, "encoder")
        self.name_parts({**parts, DECODER: {DECODER: ["decoder"]}})
        load_encoder_weights(self.encoder, weights)
        if weights != "none":
            self.decoder.start_from(self.encoder)
        first_logit = math.log(first_probability / (1 - first_probability))
        nn.init.constant_(self.decoder.up1.bias, first_logit)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W, D) in [0, 1] to logits (B, out_channels, H, W, D).

        Raises:
            ValueError: the number of channels or axes is wrong.
        """
        check_input(x, self.in_channels, axes=3)
        missing: list[int] = []
        for axis in range(3):
            missing += [0, missing_voxels(x.shape[4 - axis], self.kernel[2 - axis])]
        maps = self.encoder(F.pad(x, missing, mode="replicate"))
        logits: Tensor = self.decoder(maps[0], maps[1])
        return F.pad(logits, [-lacking for lacking in missing])


class Returning(nn.Module):
    """The way back: transposed convolutions with an unpooling between them, and the shortcut."""

    def __init__(self, filters: int, out_channels: int, kernel_size: Sequence[int]) -> None:
        """Map two sets of ``filters`` maps to ``out_channels`` maps of logits."""
        super().__init__()
        side = (kernel_size[0], kernel_size[1], kernel_size[2])
        self.up2 = nn.ConvTranspose3d(filters, filters, side)
        self.up1 = nn.ConvTranspose3d(2 * filters, out_channels, side)
        nn.init.kaiming_normal_(self.up2.weight.transpose(0, 1), nonlinearity="relu")
        nn.init.zeros_(self.up1.weight)  # large first logits would have no gradient
        nn.init.zeros_(self.up2.bias)  # type: ignore[arg-type]

    def start_from(self, encoder: ConvolutionalPathway) -> None:
        """Start from the transposed weights of the way forth and the second RBM's visible bias."""
        with torch.no_grad():
            self.up2.weight.copy_(encoder.conv2.weight)
            self.up2.bias.copy_(encoder.visible2)  # type: ignore[union-attr]
            half = encoder.conv1.weight.mean(dim=1, keepdim=True) / 2
            self.up1.weight.copy_(torch.cat([half, half]).expand_as(self.up1.weight))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Map the maps of both convolutions to logits of the size of their input."""
        back = F.relu(self.up2(second))
        unpooled = F.interpolate(back, scale_factor=2.0, mode="nearest")
        logits: Tensor = self.up1(torch.cat([unpooled, first], dim=1))
        return logits


def missing_voxels(size: int, kernel: int) -> int:
    """Return the voxels that a side lacks to leave an even number, and enough for both kernels.

    >>> missing_voxels(48, 9), missing_voxels(47, 9), missing_voxels(5, 3)
    (0, 1, 3)
    """
    left = max(size - kernel + 1, 2 * kernel)
    return left + left % 2 + kernel - 1 - size


def rbm_layers(
    network: ConvolutionalEncoderNetwork, *, sparsity: float = 0.1, target: float = 0.1
) -> list[nn.Module]:
    """Return the convolutions of the network as RBMs, to be trained one after the other.

    The first one's visible units are Gaussian, the second one's rectified; both have rectified
    hidden units. Their kernels start small, as usual for RBMs; so the network must be a new one.

    Args:
        network: trained in place; its way back starts from them when their file is loaded.
        sparsity: weight of the sparsity by the hidden biases; our choice, as is ``target``.
        target: mean activation of a hidden unit.

    Raises:
        ValueError: another network.
    """
    if not isinstance(network, ConvolutionalEncoderNetwork):
        raise ValueError(
            f"network must be a CEN-s; got a {type(network).__name__}; choose "
            "configs/networks/cen_s.json"
        )
    encoder = network.encoder
    for convolution in (encoder.conv1, encoder.conv2):
        nn.init.normal_(convolution.weight, std=0.01)
    rbm = partial(ConvolutionalRBM, sparsity=sparsity, target=target)
    return [
        rbm(encoder.conv1, encoder.visible1, before=encoder.scaling),
        rbm(encoder.conv2, encoder.visible2, before=encoder.pool, visible="relu"),
    ]
