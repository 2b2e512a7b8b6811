"""U-Net that also reads the probability maps of an earlier network (iterative refinement)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from custom_nets.decoder import settle_norm_of_skips
from custom_nets.freezing import DECODER, Freezable, prefix_parts
from custom_nets.unet import TransferUNet


class ContextUNet(Freezable):
    """Image and maps (B, in_channels + context_channels, H, W) to logits (B, out_channels, H, W).

    A `custom_nets.unet.TransferUNet`. The maps, the last channels, are convolved (3 x 3, without
    bias) to as many channels as the image has and added to it, before the encoder. As the first
    layer is linear, that is a wider first convolution; and as these kernels are zero at first, the
    network starts as the U-Net with its pretrained encoder. Without maps it is that U-Net.

    Parts for freezing are those of the U-Net; the convolution of the maps belongs to "decoder".

    Source: the result of one network as input of the next, so that it is refined: Chen, Zheng,
    Park, Heng, Zhou, Iterative multi-domain regularized deep learning for anatomical structure
    detection and segmentation from ultrasound images, MICCAI 2016, 487-495; auto-context: Tu and
    Bai, IEEE Transactions on Pattern Analysis and Machine Intelligence 32(10), 2010. How the maps
    enter the pretrained network is our choice, as is that every round has its own weights.

    >>> import torch
    >>> network = ContextUNet(in_channels=1, context_channels=2, decoder_channels=(8, 8, 8, 8, 8))
    >>> tuple(network.eval()(torch.rand(1, 3, 40, 50)).shape)
    (1, 1, 40, 50)
    """

    settled = staticmethod(settle_norm_of_skips)

    def __init__(
        self,
        encoder: str = "resnet34",
        *,
        in_channels: int = 3,
        context_channels: int = 1,
        out_channels: int = 1,
        weights: str = "none",
        norm: str = "batch",
        decoder_channels: Sequence[int] | None = None,
        normalise: str | float | None = None,
        skip_norm: str = "none",
    ) -> None:
        """Build the network.

        Args:
            encoder: see `custom_nets.unet.TransferUNet`, as for the arguments not named here.
            in_channels: of the image alone: 1 (grey) or 3.
            context_channels: maps of the earlier network; 0 for the first network.
            out_channels: maps of logits.
            weights: of the encoder: "none", "imagenet", a file or a URL.
            norm: of the decoder.
            decoder_channels: widths of the five up steps, deepest first.
            normalise: of the image; the maps stay probabilities.
            skip_norm: norms on the skips: "auto", "all" or "none".

        Raises:
            ValueError: an option is not among those of a U-Net, or context_channels is below 0.
        """
        super().__init__()
        if context_channels < 0:
            raise ValueError(
                f"context_channels must be at least 0; got {context_channels}; correct it"
            )
        self.network = TransferUNet(
            encoder,
            in_channels=in_channels,
            out_channels=out_channels,
            weights=weights,
            norm=norm,
            decoder_channels=decoder_channels,
            normalise=normalise,
            skip_norm=skip_norm,
        )
        self.image_channels = in_channels
        self.in_channels = in_channels + context_channels
        parts = prefix_parts(self.network.parts, "network")
        self.context: nn.Conv2d | None = None
        if context_channels:
            self.context = nn.Conv2d(context_channels, in_channels, 3, padding=1, bias=False)
            nn.init.zeros_(self.context.weight)
            parts[DECODER][DECODER].append("context")
        self.name_parts(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Map image in [0, 1] and probabilities to logits.

        Raises:
            ValueError: another number of channels.
        """
        if x.dim() != 4 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"input must be (B, {self.in_channels}, H, W); got {list(x.shape)}; change the "
                "input, or context_channels of the network"
            )
        image = x[:, : self.image_channels]
        if self.context is not None:
            image = image + self.context(x[:, self.image_channels :])
        logits: Tensor = self.network(image)
        return logits
