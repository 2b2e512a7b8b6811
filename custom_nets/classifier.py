"""Image classifier: an encoder with one linear layer on the mean of its deepest map."""

from __future__ import annotations

from torch import Tensor, nn

from custom_nets.encoders import make_encoder
from custom_nets.framing import pad_to_stride
from custom_nets.freezing import DECODER, Freezable, prefix_parts
from custom_nets.normalisation import make_normalisation


class TransferClassifier(Freezable):
    """Image (B, in_channels, H, W) in [0, 1] to logits (B, out_channels), any H and W.

    The encoder's deepest map is averaged over the image (Lin, Chen, Yan, Network in network, ICLR
    2014), so that all spatial features are learnt in the encoder, the part that a pretraining is
    to train. Parts for freezing are the encoder's blocks and "decoder", the linear layer.

    >>> import torch
    >>> network = TransferClassifier("resnet34", in_channels=1, out_channels=3)
    >>> tuple(network.eval()(torch.rand(2, 1, 40, 50)).shape)
    (2, 3)
    """

    def __init__(
        self,
        encoder: str = "resnet34",
        *,
        in_channels: int = 3,
        out_channels: int = 1,
        weights: str = "none",
        normalise: str | float | None = None,
    ) -> None:
        """Build the network.

        Args:
            encoder: a name of `custom_nets.encoders.ENCODERS`, such as "resnet34".
            in_channels: 1 (grey) or 3 (a slice repeated, or with its two neighbours).
            out_channels: number of classes, one logit each.
            weights: "none", "imagenet", "coco", a file or a URL: `custom_nets.encoders.weights`.
            normalise: as for `custom_nets.unet.TransferUNet`.

        Raises:
            ValueError: an option is not among those named here.
        """
        super().__init__()
        if out_channels < 1:
            raise ValueError(
                f"out_channels must be at least 1; got {out_channels}; give one for each class"
            )
        self.encoder = make_encoder(encoder, in_channels=in_channels, weights=weights)
        self.normalise = make_normalisation(normalise, self.encoder.normalisation, in_channels)
        self.in_channels = in_channels
        self.score = nn.Linear(self.encoder.block_channels[-1], out_channels)
        parts = prefix_parts(self.encoder.parts, "encoder")
        self.name_parts({**parts, DECODER: {DECODER: ["score"]}})

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) in [0, 1] to logits (B, out_channels).

        Raises:
            ValueError: the number of channels is not ``in_channels``.
        """
        x, _ = pad_to_stride(x, self.in_channels)
        features = self.encoder(self.normalise(x))
        scores: Tensor = self.score(features[-1].mean(dim=(2, 3)))
        return scores
