"""U-Net whose down path is an ImageNet classifier (Ma, Wei, Ma 2020, fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from custom_nets.decoder import levels_of_skips, make_decoder, settle_norm_of_skips
from custom_nets.encoders import make_encoder
from custom_nets.framing import STRIDE, pad_to_stride
from custom_nets.freezing import DECODER, Freezable, prefix_parts
from custom_nets.normalisation import make_normalisation


class TransferUNet(Freezable):
    """Image (B, in_channels, H, W) in [0, 1] to logits (B, out_channels, H, W), any H and W.

    The encoder's deepest map (1/32) is upsampled in five steps: a transposed convolution doubles
    its size and halves its channels, the deepest encoder block of that size is concatenated, and
    two 3x3 convolutions follow. Only VGG networks have a block at full resolution; for the others
    the last step has no skip, for ConvNeXt, whose stem divides by 4, the last two. With
    ``decoder_stride`` 2 the last step, the most expensive one, is replaced by a learned upsampling
    of the logits.
    Parts for freezing are the encoder's blocks and "decoder".

    >>> import torch
    >>> network = TransferUNet("resnet34", in_channels=1, decoder_channels=(32, 16, 16, 8, 8))
    >>> tuple(network.eval()(torch.rand(1, 1, 40, 50)).shape)
    (1, 1, 40, 50)
    """

    settled = staticmethod(settle_norm_of_skips)

    def __init__(
        self,
        encoder: str = "resnet34",
        *,
        in_channels: int = 3,
        out_channels: int = 1,
        weights: str = "none",
        norm: str = "batch",
        decoder_channels: Sequence[int] | None = None,
        normalise: str | float | None = None,
        decoder_stride: int = 1,
        skip_norm: str = "none",
    ) -> None:
        """Build the network.

        Args:
            encoder: a name of `custom_nets.encoders.ENCODERS`, such as "resnet34".
            in_channels: 1 (grey) or 3 (a slice repeated, or with its two neighbours).
            out_channels: maps of logits.
            weights: "none", "imagenet", "coco", a file or a URL: `custom_nets.encoders.weights`.
            norm: of the decoder: "batch", "instance", "group" or "none".
            decoder_channels: widths of the five up steps (four with ``decoder_stride`` 2), deepest
                first; None halves at each.
            normalise: mean and std that turn [0, 1] into what the encoder expects: "imagenet",
                "half" (0.5 and 0.5), "none", or the mean of the training images as a number; None
                takes what the published weights expect: `custom_nets.normalisation`.
            decoder_stride: 1, or 2 for a decoder of four steps that ends at half the resolution;
                its logits are doubled by a learned upsampling.
            skip_norm: norms on the maps that the decoder concatenates, of its own kind: "auto"
                where the encoder has no norms (VGG), "all" or "none":
                `custom_nets.decoder.norm_of_skips`.

        Raises:
            ValueError: an option is not among those named here.
        """
        super().__init__()
        self.encoder = make_encoder(encoder, in_channels=in_channels, weights=weights)
        self.normalise = make_normalisation(normalise, self.encoder.normalisation, in_channels)
        self.in_channels = in_channels
        self.pools_deepest = self.encoder.block_strides[-1] < STRIDE
        self.joined, _ = levels_of_skips(self.encoder)
        self.decoder = make_decoder(
            self.encoder,
            out_channels,
            widths=decoder_channels,
            norm=norm,
            stride=decoder_stride,
            skip_norm=skip_norm,
        )
        parts = prefix_parts(self.encoder.parts, "encoder")
        self.name_parts({**parts, DECODER: {DECODER: ["decoder"]}})

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) in [0, 1] to logits (B, out_channels, H, W).

        Raises:
            ValueError: the number of channels is not ``in_channels``.
        """
        x, back = pad_to_stride(x, self.in_channels)
        return self.decode(self.encoder(self.normalise(x)), back)

    def decode(self, features: list[Tensor], back: list[int]) -> Tensor:
        """Map block1 ... block5 of the encoder to logits; ``back`` crops to the image's size."""
        deepest = F.max_pool2d(features[-1], 2) if self.pools_deepest else features[-1]
        skips = [features[index] for index in self.joined]
        return F.pad(self.decoder(deepest, skips), back)
