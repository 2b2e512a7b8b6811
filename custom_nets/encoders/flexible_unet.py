"""The encoders as backbones of MONAI's FlexibleUNet; importing this module registers them.

>>> from monai.networks.nets import FlexibleUNet
>>> network = FlexibleUNet(in_channels=1, out_channels=2, backbone="transfer_resnet34")
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from monai.networks.blocks import BaseEncoder
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from torch import Tensor, nn

from custom_nets.encoders import ENCODERS, Encoder, make_encoder

PREFIX = "transfer_"
"""Distinguishes our backbones from those that MONAI registers, such as its own "resnet34"."""


BACKBONES: dict[str, type[Encoder]] = {
    name: encoder for name, encoder in ENCODERS.items() if len(set(encoder.block_strides)) == 5
}
"""Encoders with five maps of different sizes; ConvNeXt has none at stride 2."""


class TransferBackbone(nn.Module, BaseEncoder):
    """Encoder with five maps of strides 2, 4, 8, 16, 32, as FlexibleUNet needs them.

    VGG networks, whose block1 is at full resolution, give block2 ... block5 and pool5; block1 is
    computed but not returned. Load other weights than the published ones into ``encoder`` with
    `custom_nets.encoders.weights.load_encoder_weights`; freeze with ``encoder.set_trainable``.
    """

    def __init__(
        self,
        name: str,
        *,
        in_channels: int = 3,
        spatial_dims: int = 2,
        pretrained: bool = False,
    ) -> None:
        """Build the encoder ``name``, with its ImageNet weights if ``pretrained``.

        Raises:
            ValueError: three spatial dimensions; the published kernels are 2D.
        """
        super().__init__()
        if spatial_dims != 2:
            raise ValueError(
                f"spatial_dims must be 2 for {PREFIX}{name}; got {spatial_dims}; "
                "choose another backbone for volumes"
            )
        weights = "imagenet" if pretrained else "none"
        self.encoder = make_encoder(name, in_channels=in_channels, weights=weights)
        self.pools_deepest = self.encoder.block_strides[0] == 1

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, in_channels, H, W), sides multiples of 32, to the five maps, fine to coarse."""
        features: list[Tensor] = self.encoder(x)
        if self.pools_deepest:
            features.append(F.max_pool2d(features[-1], 2))
        return features[-5:]

    @classmethod
    def get_encoder_parameters(cls) -> list[dict[str, Any]]:
        """Return constructor arguments, a new dictionary per encoder: FlexibleUNet changes them."""
        defaults = {"spatial_dims": 2, "in_channels": 3, "pretrained": False}
        return [{"name": name, **defaults} for name in BACKBONES]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        """Return the channels of the five maps of each encoder."""
        return [
            (*e.block_channels, e.block_channels[-1])[-5:]
            if e.block_strides[0] == 1
            else e.block_channels
            for e in BACKBONES.values()
        ]

    @classmethod
    def num_outputs(cls) -> list[int]:
        """Return the number of maps of each encoder."""
        return [5] * len(BACKBONES)

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        """Return the names for FlexibleUNet's ``backbone``."""
        return [PREFIX + name for name in BACKBONES]


def register() -> None:
    """Add the encoders to FlexibleUNet's registry; a second call changes nothing."""
    FLEXUNET_BACKBONE.register_class(TransferBackbone)


register()
