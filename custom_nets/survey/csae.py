"""Multi-scale network whose layers are pretrained as sparse auto-encoders (Kallenberg 2016)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.encoders.encoder import BLOCK_NAMES, Encoder, initialise, number_layers
from custom_nets.encoders.weights import load_encoder_weights
from custom_nets.framing import pad_to_stride
from custom_nets.freezing import DECODER, Freezable, prefix_parts

KERNELS = (7, 5, 5)
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
"""Smoothing filter of a Gaussian pyramid (Burt and Adelson 1983)."""


class GaussianPyramid(nn.Module):
    """Levels of a Gaussian pyramid with factor 2, all at full resolution.

    Every second pixel of level 1, every fourth of level 2 and so on are the levels of the usual
    pyramid, whichever pixel one starts from.

    >>> GaussianPyramid(2)(torch.ones(1, 3, 8, 8)).shape
    torch.Size([1, 6, 8, 8])
    """

    kernel: Tensor

    def __init__(self, levels: int) -> None:
        """Return ``levels`` levels, the first of which is the image.

        Raises:
            ValueError: a number below 1.
        """
        super().__init__()
        if levels < 1:
            raise ValueError(f"scales must be at least 1; got {levels}; correct it")
        self.levels = levels
        self.register_buffer("kernel", torch.tensor(BINOMIAL), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, levels * C, H, W), finest level first."""
        levels = [x]
        kernel = self.kernel[None, None].expand(x.shape[1], 1, -1)
        for level in range(1, self.levels):
            step = 1 << (level - 1)  # TorchScript takes a power for a fraction
            smooth = F.pad(levels[-1], [2 * step, 2 * step, 2 * step, 2 * step], mode="replicate")
            smooth = F.conv2d(smooth, kernel[:, :, :, None], dilation=step, groups=x.shape[1])
            smooth = F.conv2d(smooth, kernel[:, :, None], dilation=step, groups=x.shape[1])
            levels.append(smooth)
        return torch.cat(levels, dim=1)


class MultiScaleConvolution(nn.Conv2d):
    """Convolution of a pyramid: the kernel of level m takes every 2 ** m-th pixel.

    What it sees around a pixel is patches of equal size at each scale, stacked as channels.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, scales: int) -> None:
        """Map ``scales`` levels of ``in_channels`` maps to ``out_channels`` maps of equal size."""
        super().__init__(scales * in_channels, out_channels, kernel_size)
        self.level_channels, self.side, self.scales = in_channels, kernel_size, scales

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, scales * in_channels, H, W), finest level first, to (B, out_channels, H, W)."""
        first, margin = self.level_channels, self.side // 2
        total = F.conv2d(input[:, :first], self.weight[:, :first], self.bias, padding=margin)
        for scale in range(1, self.scales):
            step, start = 1 << scale, scale * first
            total = total + F.conv2d(
                input[:, start : start + first],
                self.weight[:, start : start + first],
                padding=margin * step,
                dilation=step,
            )
        return total


class ConvolutionalSparseEncoder(Encoder):
    """Three blocks of a convolution and a ReLU; each is pretrained as a sparse auto-encoder.

    A layer's auto-encoder is :class:`custom_nets.survey.sparse_layers.SparsePatchLayer`.
    """

    name = "csae"
    block_channels = (50, 50, 100)
    normalisation = "none"

    def __init__(
        self,
        in_channels: int = 3,
        *,
        scales: int = 3,
        widths: Sequence[int] = block_channels,
        poolings: int = 2,
    ) -> None:
        """Build with random weights; see :class:`ConvolutionalSparseNetwork`.

        Raises:
            ValueError: widths for another number of layers or below 1, or other poolings.
        """
        super().__init__(in_channels)
        if len(widths) != len(KERNELS) or min(widths) < 1 or poolings not in (1, 2):
            raise ValueError(
                f"widths must be {len(KERNELS)} numbers of at least 1, poolings 1 or 2; got "
                f"{list(widths)}, {poolings}; correct them"
            )
        first, second, third = widths
        self.pyramid = GaussianPyramid(scales)
        self.conv1 = MultiScaleConvolution(in_channels, first, KERNELS[0], scales)
        self.conv2 = nn.Conv2d(first, second, KERNELS[1], padding=KERNELS[1] // 2)
        self.conv3 = nn.Conv2d(second, third, KERNELS[2], padding=KERNELS[2] // 2)
        self.pool1 = nn.MaxPool2d(2)
        self.pool2 = nn.MaxPool2d(2) if poolings == 2 else nn.Identity()
        self.relu = nn.ReLU()
        layers = number_layers(self, [[one] for one in self.convolutions()], norm_first=False)
        self.name_parts(dict(zip(BLOCK_NAMES, layers, strict=False)))
        initialise(self)

    def convolutions(self) -> list[nn.Conv2d]:
        """Return the convolution of each block."""
        return [self.conv1, self.conv2, self.conv3]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, in_channels, H, W) to block1 ... block3, at strides 1, 2 and 2 ** poolings."""
        block1 = self.relu(self.conv1(self.pyramid(x)))
        block2 = self.relu(self.conv2(self.pool1(block1)))
        return [block1, block2, self.relu(self.conv3(self.pool2(block2)))]

    def block_modules(self) -> list[list[nn.Module]]:
        """See `custom_nets.encoders.encoder.Encoder`."""
        before = (self.pyramid, self.pool1, self.pool2)
        return [
            [first, convolution, self.relu]
            for first, convolution in zip(before, self.convolutions(), strict=True)
        ]

    @property
    def first_kernel(self) -> str:
        """No kernel: a file for another number of channels is refused, by its shapes."""
        return ""


class ConvolutionalSparseNetwork(Freezable):
    """Image (B, in_channels, H, W) in [0, 1] to logits (B, out_channels, H, W), any H and W.

    Parts for freezing are "block1" ... "block3" of the encoder and "decoder", the layer that scores
    the last features; ``configs/strategies/csae.json`` trains first that layer and then all.

    Source: Kallenberg, Petersen, Nielsen, Ng, Diao, Igel, Vachon, Holland, Winkel, Karssemeijer,
    Lillholm, Unsupervised deep learning applied to breast density segmentation and mammographic
    risk scoring, IEEE TMI 35(5), 1322-1331, 2016. From its abstract: features learnt layer by layer
    without labels, a sparsity term with population and lifetime parts, then a simple classifier.
    Could not be checked: three scales; kernels 7, 5, 5 with 50, 50, 100 maps; a pooling after each
    of the first two. With the patches of 24 x 24 pixels that are said to be used, unpadded
    convolutions end in exactly one value if only the first is followed by a pooling, hence
    ``poolings``. Our choice: whole images instead of patches (padded convolutions, scores
    interpolated bilinearly to full size), zero weight for the scores at the start, and for one
    class a sigmoid in place of a softmax over two.

    >>> tuple(ConvolutionalSparseNetwork(in_channels=1).eval()(torch.rand(1, 1, 40, 50)).shape)
    (1, 1, 40, 50)
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int = 1,
        weights: str = "none",
        scales: int = 3,
        widths: Sequence[int] = ConvolutionalSparseEncoder.block_channels,
        poolings: int = 2,
    ) -> None:
        """Build the network.

        Args:
            in_channels: 1 (grey) or 3 (a slice with its two neighbours).
            out_channels: maps of logits.
            weights: of the encoder: "none", or a file that its pretraining wrote.
            scales: levels of the Gaussian pyramid that the first layer sees.
            widths: maps of the three convolutions.
            poolings: 2 for a pooling after each of the first two blocks, 1 after the first only:
                scores are then computed at every fourth, or every second, pixel.

        Raises:
            ValueError: an option is not among those named here.
        """
        super().__init__()
        if out_channels < 1:
            raise ValueError(f"out_channels must be at least 1; got {out_channels}; raise it")
        self.encoder = ConvolutionalSparseEncoder(
            in_channels, scales=scales, widths=widths, poolings=poolings
        )
        load_encoder_weights(self.encoder, weights)
        self.in_channels, self.stride = in_channels, float(2**poolings)
        self.decoder = nn.Conv2d(widths[-1], out_channels, 1)
        for parameter in self.decoder.parameters():
            nn.init.zeros_(parameter)
        parts = prefix_parts(self.encoder.parts, "encoder")
        self.name_parts({**parts, DECODER: {DECODER: ["decoder"]}})

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) in [0, 1] to logits (B, out_channels, H, W).

        Raises:
            ValueError: the number of channels is not ``in_channels``.
        """
        x, back = pad_to_stride(x, self.in_channels)
        scores = self.decoder(self.encoder(x)[-1])
        logits = F.interpolate(
            scores, scale_factor=self.stride, mode="bilinear", align_corners=False
        )
        return F.pad(logits, back)
