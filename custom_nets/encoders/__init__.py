"""ImageNet classifiers as encoders: one file per family, one common interface."""

from __future__ import annotations

import difflib

from custom_nets.encoders.convnext import ConvNeXtEncoder
from custom_nets.encoders.densenet import DenseNetEncoder
from custom_nets.encoders.efficientnet import EfficientNetEncoder
from custom_nets.encoders.encoder import BLOCK_NAMES, Encoder
from custom_nets.encoders.googlenet import GoogLeNetEncoder
from custom_nets.encoders.inception import InceptionV3Encoder
from custom_nets.encoders.mobilenet import MobileNetV3Encoder
from custom_nets.encoders.resnet import ResNetEncoder
from custom_nets.encoders.vgg import VGGEncoder
from custom_nets.encoders.weights import load_encoder_weights

__all__ = ["BLOCK_NAMES", "ENCODERS", "Encoder", "check_encoder", "make_encoder"]

FAMILIES: tuple[type[Encoder], ...] = (
    *(VGGEncoder, ResNetEncoder, DenseNetEncoder, EfficientNetEncoder, MobileNetV3Encoder),
    *(ConvNeXtEncoder, GoogLeNetEncoder, InceptionV3Encoder),
)
"""One for each file; the classes that a family's file derives from it are its members."""

ENCODERS: dict[str, type[Encoder]] = {
    encoder.name: encoder
    for family in FAMILIES
    for encoder in (family.__subclasses__() or [family])
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
    check_encoder(name)
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


def check_encoder(name: str) -> None:
    """Refuse a name that is not among `ENCODERS`, and suggest similar ones.

    Raises:
        ValueError: the name is unknown.
    """
    if name in ENCODERS:
        return
    near = difflib.get_close_matches(str(name), ENCODERS)
    advice = f"did you mean {' or '.join(near)}?" if near else "choose one of them"
    raise ValueError(f"encoder must be one of {', '.join(ENCODERS)}; got {name!r}; {advice}")
