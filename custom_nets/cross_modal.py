"""U-Net with two pretrained encoders, one for each of two images of the same slice."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.decoder import levels_of_skips, make_decoder, settle_norm_of_skips
from custom_nets.encoders import Encoder, make_encoder
from custom_nets.framing import STRIDE, pad_to_stride
from custom_nets.freezing import DECODER, Freezable, prefix_parts
from custom_nets.normalisation import make_normalisation

FUSIONS = ("concat", "sum")


class Fusion(nn.Module):
    """Two maps of one shape to one: their sum, or a 1x1 convolution of both, concatenated.

    The convolution starts as the mean of the two maps, so that the features of the pretrained
    encoders reach the decoder from the first step on.

    >>> fusion = Fusion(2, "concat")
    >>> fusion(torch.full((1, 2, 1, 1), 1.0), torch.full((1, 2, 1, 1), 3.0)).flatten().tolist()
    [2.0, 2.0]
    """

    def __init__(self, channels: int, kind: str) -> None:
        """Fuse maps of ``channels`` by "concat" or "sum".

        Raises:
            ValueError: another kind.
        """
        super().__init__()
        if kind not in FUSIONS:
            raise ValueError(f"fusion must be one of {', '.join(FUSIONS)}; got {kind!r}")
        self.mix: nn.Conv2d | None = None
        if kind == "concat":
            self.mix = nn.Conv2d(2 * channels, channels, 1)
            mean = torch.cat([torch.eye(channels), torch.eye(channels)], dim=1) / 2
            with torch.no_grad():
                self.mix.weight.copy_(mean[:, :, None, None])
            nn.init.zeros_(self.mix.bias)  # type: ignore[arg-type]

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Map two (B, channels, H, W) to one."""
        if self.mix is None:
            return first + second
        mixed: Tensor = self.mix(torch.cat([first, second], dim=1))
        return mixed


class CrossModalUNet(Freezable):
    """Two modalities in one image (B, 2 * in_channels, H, W) to logits (B, out_channels, H, W).

    The first half of the channels is one modality (a CT window), the second half the other (another
    window, or the lung field); both in [0, 1]. Each has its own pretrained encoder, the maps are
    fused at every level, and one decoder follows as in `custom_nets.unet`. The two encoders have
    the same layers and separate weights and are trained together: cross-modal transfer.

    A part for freezing holds that part of both encoders: "block5" is block5 of both, "conv1"
    likewise; the fusions belong to "decoder".

    >>> network = CrossModalUNet("resnet34", in_channels=1, decoder_channels=(32, 16, 16, 8, 8))
    >>> tuple(network.eval()(torch.rand(1, 2, 40, 50)).shape)
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
        fusion: str = "concat",
        norm: str = "batch",
        decoder_channels: Sequence[int] | None = None,
        normalise: str | float | None = None,
        skip_norm: str = "none",
    ) -> None:
        """Build the network.

        Args:
            encoder: of both: a name of `custom_nets.encoders.ENCODERS`.
            in_channels: of each modality: 1 (grey) or 3.
            out_channels: maps of logits.
            weights: of both encoders: "none", "imagenet", "coco", a file or a URL.
            fusion: "concat" (and a 1x1 convolution) or "sum".
            norm: of the decoder: "batch", "instance", "group" or "none".
            decoder_channels: widths of the five up steps, deepest first; None halves at each.
            normalise: of each modality, see `custom_nets.unet.TransferUNet`.
            skip_norm: norms on the fused skips: "auto" where the encoders have none, "all", "none".

        Raises:
            ValueError: an option is not among those named here.
        """
        super().__init__()
        self.in_channels = 2 * in_channels  # of the whole image, as in the other networks
        self.first = make_encoder(encoder, in_channels=in_channels, weights=weights)
        self.second = make_encoder(encoder, in_channels=in_channels, weights=weights)
        channels = self.first.block_channels
        self.normalise = make_normalisation(normalise, self.first.normalisation, in_channels)
        self.pools_deepest = self.first.block_strides[-1] < STRIDE
        joined, _ = levels_of_skips(self.first)
        self.fused = joined if self.pools_deepest else [*joined, len(channels) - 1]
        self.fusions = nn.ModuleList(Fusion(channels[index], fusion) for index in self.fused)
        self.decoder = make_decoder(
            self.first, out_channels, widths=decoder_channels, norm=norm, skip_norm=skip_norm
        )
        self.name_parts(
            {**_merged_parts(self.first, self.second), DECODER: {DECODER: ["fusions", "decoder"]}}
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 2 * in_channels, H, W) in [0, 1] to logits (B, out_channels, H, W).

        Raises:
            ValueError: another number of channels.
        """
        x, back = pad_to_stride(x, self.in_channels)
        image, other_image = x.chunk(2, dim=1)
        maps = self.first(self.normalise(image))
        other_maps = self.second(self.normalise(other_image))
        features: list[Tensor] = []
        for position, fusion in enumerate(self.fusions):
            index = self.fused[position]
            features.append(fusion(maps[index], other_maps[index]))
        deepest = F.max_pool2d(features[-1], 2) if self.pools_deepest else features.pop()
        return F.pad(self.decoder(deepest, features), back)


def _merged_parts(first: Encoder, second: Encoder) -> dict[str, dict[str, list[str]]]:
    """Merge the parts of two encoders of one kind; each layer holds both encoders' modules."""
    parts, other_parts = prefix_parts(first.parts, "first"), prefix_parts(second.parts, "second")
    return {
        block: {layer: [*paths, *other_parts[block][layer]] for layer, paths in layers.items()}
        for block, layers in parts.items()
    }
