"""ImageNet classifiers as encoders: one file per family, one common interface."""

from __future__ import annotations

from custom_nets.encoders.contract import BLOCK_NAMES, Encoder
from custom_nets.encoders.densenet import DenseNet121Encoder
from custom_nets.encoders.inception import InceptionV3Encoder
from custom_nets.encoders.resnet import ResNet34Encoder
from custom_nets.encoders.vgg import VGG16Encoder
from custom_nets.encoders.weights import load_encoder_weights

__all__ = ["BLOCK_NAMES", "ENCODERS", "Encoder", "make_encoder"]

ENCODERS: dict[str, type[Encoder]] = {
    encoder.name: encoder
    for encoder in (VGG16Encoder, ResNet34Encoder, InceptionV3Encoder, DenseNet121Encoder)
}
"""Encoders by the name that configs use."""


def make_encoder(name: str, *, in_channels: int = 3, weights: str = "none") -> Encoder:
    """Build an encoder by name and fill it with weights.

    ``weights`` is "none" (random), "imagenet", a file, or a URL with a hash: see
    `custom_nets.encoders.weights.load_encoder_weights`.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in ENCODERS:
        raise ValueError(
            f"encoder must be one of {', '.join(ENCODERS)}; got {name!r}; choose one of them"
        )
    encoder = ENCODERS[name](in_channels)
    load_encoder_weights(encoder, weights)
    return encoder
