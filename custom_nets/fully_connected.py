"""The hidden fully connected layers of a VGG's classifier as the convolutions conv6 and conv7."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from custom_nets.encoders.encoder import Encoder, initialise
from custom_nets.encoders.weights import read_tensors, weights_file
from custom_nets.state_dicts import naming, refuse_non_finite, unwrap

logger = logging.getLogger(__name__)

ORIGINS = ("file", "fresh", "none")
"""Source of conv6 and conv7: the weights file, random numbers, or none, without the layers."""

CLASSIFIER = {"conv6": "classifier.0", "conv7": "classifier.3"}
"""Names of the fully connected layers in the published files of VGG networks."""

WITH_LAYERS = "vgg"
"""Start of the names of encoders whose classifier has hidden layers."""

CLASSIFIER_WIDTH = 4096


class FullyConnected(nn.Module):
    """conv6 (7x7) and conv7 (1x1), each with ReLU: the classifier at every pixel of a map.

    A fully connected layer over 7 x 7 pixels equals a 7x7 convolution at one position. Padding by 3
    keeps the size of the map, where the original (Long et al. 2015) pads the image by 100.
    """

    def __init__(self, in_channels: int, width: int, *, dropout: float) -> None:
        """Map ``in_channels`` maps to ``width``, drawn at random (He et al. 2015)."""
        super().__init__()
        self.conv6 = nn.Conv2d(in_channels, width, 7, padding=3)
        self.conv7 = nn.Conv2d(width, width, 1)
        self.dropout = nn.Dropout(dropout)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, width, H, W)."""
        x = self.dropout(torch.relu(self.conv6(x)))
        return torch.relu(self.conv7(x))


def make_fully_connected(
    encoder: Encoder, origin: str, *, width: int, weights: str, dropout: float
) -> FullyConnected | None:
    """Build conv6 and conv7 of an origin and width of `choose_origin`; None for "none"."""
    if origin == "none":
        return None
    module = FullyConnected(encoder.block_channels[-1], width, dropout=dropout)
    if origin == "file":
        load_fully_connected(module, weights, encoder.name)
    else:
        logger.info("conv6 and conv7 start with random weights, %d wide", width)
    return module


def choose_origin(
    encoder: str, weights: str, *, fully_connected: str | None, width: int | None
) -> tuple[str, int]:
    """Decide the source of conv6 and conv7, and their width (0 if they are left out).

    With None for ``fully_connected``: "none" at width 0 or for an encoder whose classifier has no
    hidden layers; "fresh" if all weights are random anyway (``weights`` is "none"); otherwise
    "file". With None for ``width``: 4096, the classifier's.

    >>> choose_origin("vgg16", "imagenet", fully_connected=None, width=None)
    ('file', 4096)
    >>> choose_origin("resnet34", "imagenet", fully_connected=None, width=None)
    ('none', 0)

    Raises:
        ValueError: the origin is unknown, or contradicts encoder, weights or width; random layers
            would be taken for transferred ones.
    """
    origin = fully_connected or _usual_origin(encoder, weights, width)
    if origin not in ORIGINS:
        raise ValueError(
            f"fully_connected must be one of {', '.join(ORIGINS)}; got {origin!r}; choose one"
        )
    if width is None:
        width = 0 if origin == "none" else CLASSIFIER_WIDTH
    if isinstance(width, bool) or not isinstance(width, int):
        raise ValueError(f"width must be a whole number of channels; got {width!r}; choose one")
    if width < 0 or (origin == "none") != (width == 0):
        raise ValueError(
            f"width must be 0 with fully_connected='none' and positive otherwise; got {width} with "
            f"{origin!r}; change one of them"
        )
    if origin == "file":
        _check_file(encoder, weights, width)
    return origin, width


def load_fully_connected(module: FullyConnected, weights: str, encoder: str = "vgg16") -> None:
    """Fill conv6 and conv7 from the classifier in a VGG's file, and log it.

    classifier.0.weight (4096, 25088) becomes the kernel (4096, 512, 7, 7) of conv6, and
    classifier.3.weight (4096, 4096) the kernel (4096, 4096, 1, 1) of conv7.

    Args:
        module: 4096 wide on 512 channels, as the published file needs.
        weights: "imagenet", a file or a URL with a hash: `custom_nets.encoders.weights`.
        encoder: name of the VGG.

    Raises:
        ValueError: the file lacks these layers, as those of our pretraining do, or has other
            shapes.
        FileNotFoundError, ConnectionError: as `custom_nets.encoders.weights.weights_file`.
    """
    path = weights_file(encoder, weights)
    wanted = {_file_key(key): tensor for key, tensor in module.state_dict().items()}
    with naming(path):
        offered = unwrap(read_tensors(path, encoder), wanted).tensors
    wrong = [
        f"{key} {_shape_or_missing(offered.get(key))}, must be {_flat_shape(tensor)}"
        for key, tensor in wanted.items()
        if key not in offered or list(offered[key].shape) != _flat_shape(tensor)
    ]
    if wrong:
        raise ValueError(
            f"{path} must hold the classifier's layers for fully_connected='file'; got "
            f"{'; '.join(wrong)}; use the published file, or ask for fully_connected='fresh' "
            "(random) or 'none' (left out)"
        )
    refuse_non_finite({key: offered[key] for key in wanted}, path)
    with torch.no_grad():
        for key, tensor in wanted.items():
            tensor.copy_(offered[key].reshape(tensor.shape))
    logger.info("conv6 and conv7: loaded classifier.0 and classifier.3 from %s", path)


def _file_key(key: str) -> str:
    conv, part = key.split(".")
    return f"{CLASSIFIER[conv]}.{part}"


def _flat_shape(tensor: Tensor) -> list[int]:
    """Return the shape of a kernel as a fully connected layer; a bias keeps its shape."""
    return list((tensor.flatten(1) if tensor.ndim > 1 else tensor).shape)


def _usual_origin(encoder: str, weights: str, width: int | None) -> str:
    if width == 0 or (not encoder.startswith(WITH_LAYERS) and width is None):
        return "none"
    return "fresh" if weights == "none" else "file"


def _check_file(encoder: str, weights: str, width: int) -> None:
    wrong = []
    if not encoder.startswith(WITH_LAYERS):
        wrong.append(f"encoder {encoder!r}, whose classifier has no hidden layers")
    if weights == "none":
        wrong.append("weights 'none', which is not a file")
    if width != CLASSIFIER_WIDTH:
        wrong.append(f"width {width}")
    if wrong:
        raise ValueError(
            "fully_connected='file' must go with a VGG as encoder, a weights file and width "
            f"{CLASSIFIER_WIDTH}; got {' and '.join(wrong)}; change that, or ask for "
            "fully_connected='fresh' (random) or 'none' (left out)"
        )


def _shape_or_missing(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else str(list(tensor.shape))
