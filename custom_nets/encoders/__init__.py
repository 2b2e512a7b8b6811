"""ImageNet classifiers as encoders: one file per family, one common interface."""

from __future__ import annotations

from custom_nets.encoders.contract import BLOCK_NAMES, Encoder
from custom_nets.encoders.densenet import DenseNet121Encoder
from custom_nets.encoders.googlenet import GoogLeNetEncoder
from custom_nets.encoders.inception import InceptionV3Encoder
from custom_nets.encoders.resnet import (
    ResNet34Encoder,
    ResNet38Encoder,
    ResNet50Encoder,
    ResNet101Encoder,
    ResNetEncoder,
)
from custom_nets.encoders.vgg import VGG16Encoder
from custom_nets.encoders.weights import load_encoder_weights

__all__ = ["BLOCK_NAMES", "ENCODERS", "Encoder", "make_encoder"]

ENCODERS: dict[str, type[Encoder]] = {
    encoder.name: encoder
    for encoder in (
        *(VGG16Encoder, ResNet34Encoder, InceptionV3Encoder, DenseNet121Encoder),
        *(ResNet38Encoder, ResNet50Encoder, ResNet101Encoder, GoogLeNetEncoder),
    )
}
"""Encoders by the name that configs use."""


def make_encoder(
    name: str, *, in_channels: int = 3, weights: str = "none", output_stride: int | None = None
) -> Encoder:
    """Build an encoder by name and fill it with weights.

    Args:
        name: of `ENCODERS`.
        in_channels: 1 or 3.
        weights: "none" (random), "imagenet", "coco", a file, or a URL with a hash: see
            `custom_nets.encoders.weights.load_encoder_weights`.
        output_stride: 32, 16 or 8, of the deepest map, for a residual network: see
            `custom_nets.encoders.resnet.ResNetEncoder`; None leaves the encoder as it is.

    Raises:
        ValueError: the name is unknown, or the encoder has no dilated form.
    """
    if name not in ENCODERS:
        raise ValueError(
            f"encoder must be one of {', '.join(ENCODERS)}; got {name!r}; choose one of them"
        )
    encoder_type = ENCODERS[name]
    if output_stride is None:
        encoder = encoder_type(in_channels)
    elif issubclass(encoder_type, ResNetEncoder):
        encoder = encoder_type(in_channels, output_stride=output_stride)
    else:
        residual = [key for key, value in ENCODERS.items() if issubclass(value, ResNetEncoder)]
        raise ValueError(
            f"output_stride must be left out for {name}, only {', '.join(residual)} have stages "
            f"that can be dilated; got {output_stride}; choose one of them, or leave it out"
        )
    load_encoder_weights(encoder, weights)
    return encoder
