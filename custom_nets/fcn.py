"""Fully convolutional networks, FCN-32s to FCN-4s, on an ImageNet classifier.

Long, Shelhamer, Darrell, CVPR 2015; FCN-4s adds pool2 in the same way, as used for liver CT.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.bilinear import BilinearDoubling
from custom_nets.encoders import make_encoder
from custom_nets.encoders.encoder import initialise
from custom_nets.framing import STRIDE, pad_to_stride
from custom_nets.freezing import DECODER, Freezable, prefix_parts
from custom_nets.fully_connected import choose_origin, make_fully_connected
from custom_nets.normalisation import make_normalisation
from custom_nets.state_dicts import (
    UnreadableError,
    flattened,
    read_content,
    refuse_non_finite,
    unwrap,
)

logger = logging.getLogger(__name__)

FCN_STRIDES = (32, 16, 8, 4)
"""Stride of the finest map that is scored: FCN-32s, FCN-16s, FCN-8s, FCN-4s."""

SKIP_SCORE = re.compile(r"decoder\.steps\.\d+\.score\.")
"""Start of the keys of a skip's scores in a ``state_dict``."""


class FusingStep(nn.Module):
    """Class scores upsampled to twice the size, plus the scores of the encoder's map there."""

    def __init__(self, channels: int, *, skip_channels: int, dropout: float = 0.0) -> None:
        """Upsample ``channels`` scores; those of the skip start at zero; 0 channels for no skip."""
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.up = BilinearDoubling(channels)
        self.score: nn.Conv2d | None = None
        if skip_channels:
            self.score = nn.Conv2d(skip_channels, channels, 1)
            nn.init.zeros_(self.score.weight)
            nn.init.zeros_(self.score.bias)  # type: ignore[arg-type]

    # TorchScript does not understand `Tensor | None`.
    def forward(self, x: Tensor, skip: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        """Map (B, C, H, W) and (B, skip_channels, 2H, 2W) to (B, C, 2H, 2W)."""
        doubled: Tensor = self.up(x)
        if self.score is not None and skip is not None:
            doubled = doubled + self.score(self.dropout(skip))
        return doubled


class FusingDecoder(nn.Module):
    """1x1 scores of the deepest map, doubled to full size, plus the scores of the skips."""

    def __init__(
        self,
        in_channels: int,
        skip_channels: Sequence[int],
        out_channels: int,
        *,
        doublings: int,
        dropouts: tuple[float, float],
    ) -> None:
        """Score ``in_channels`` maps and, deepest first, the skips.

        The first skip is twice as large as the deepest map, and so on; ``doublings`` lead to full
        size. ``dropouts`` are the shares dropped before the deepest map's scores and the skips'.
        """
        super().__init__()
        deepest, skips = dropouts
        self.dropout = nn.Dropout(deepest)
        self.score = nn.Conv2d(in_channels, out_channels, 1)
        initialise(self.score)
        unscored = [0] * (doublings - len(skip_channels))
        self.steps = nn.ModuleList(
            FusingStep(out_channels, skip_channels=channels, dropout=skips)
            for channels in [*skip_channels, *unscored]
        )

    def forward(self, deepest: Tensor, skips: list[Tensor]) -> Tensor:
        """Map the deepest map and the skips, fine to coarse, to logits at full size."""
        x: Tensor = self.score(self.dropout(deepest))
        for index, step in enumerate(self.steps):
            skip = skips[-1 - index] if index < len(skips) else None
            x = step(x, skip)
        return x


class TransferFCN(Freezable):
    """Image (B, in_channels, H, W) in [0, 1] to logits (B, out_channels, H, W), any H and W.

    The classes are scored by 1x1 convolutions on the map at 1/32 (pool5, for VGG networks through
    conv6 and conv7, the classifier's fully connected layers) and, down to ``stride``, on pool4,
    pool3 and pool2 or on the other encoders' blocks of strides 16, 8 and 4. The coarse scores are
    doubled and the finer ones added, and so on to full size.

    Every doubling is a separate transposed convolution that starts as bilinear interpolation, also
    after the last skip, where the original upsamples by 8, 16 or 32 in one step. So FCN-32s to
    FCN-4s differ only in the skips' scores, which start at zero: a network that continues a coarser
    one (`load_coarser`) computes the same function at first.

    With a bottleneck ResNet, stride 8 and ``skip_dropout`` it is FCRN (Yu, Chen, Dou, Qin, Heng,
    IEEE Transactions on Medical Imaging 36(4), 994-1004, 2017), whose scores combine the maps at
    strides 32, 16 and 8. Which maps these are, and the dropout of 0.5 before each score, could not
    be compared with the paper; doubling step by step, as here for all, is our choice.

    A residual encoder with an ``output_stride`` below 32 has its deepest map there, and only finer
    maps are skips.

    Inputs are normalised inside. The liver paper subtracts the mean of its training images: give
    that number as ``normalise``, and it becomes part of the weights.

    Parts for freezing are the encoder's blocks and "decoder", which holds the rest. conv6 and conv7
    belong to the decoder: staged strategies train them from the first stage on. (The layer names
    "conv6" and "conv7" mean the encoder's sixth and seventh convolution, as everywhere.)

    >>> network = TransferFCN("resnet34", stride=8, in_channels=1, out_channels=4)
    >>> tuple(network.eval()(torch.rand(1, 1, 40, 50)).shape)
    (1, 4, 40, 50)
    """

    def __init__(
        self,
        encoder: str = "vgg16",
        *,
        stride: int = 8,
        in_channels: int = 3,
        out_channels: int = 4,
        weights: str = "none",
        fully_connected: str | None = None,
        width: int | None = None,
        dropout: float = 0.5,
        normalise: str | float | None = None,
        output_stride: int | None = None,
        skip_dropout: float | None = None,
    ) -> None:
        """Build the network.

        Args:
            encoder: a name of `custom_nets.encoders.ENCODERS`, such as "resnet34".
            stride: of the finest map that is scored: 32, 16, 8 or 4.
            in_channels: 1 (grey) or 3 (a slice repeated, or with its two neighbours).
            out_channels: maps of logits, background included.
            weights: "none", "imagenet", "coco", a file or a URL: `custom_nets.encoders.weights`.
            fully_connected: conv6 and conv7 "file" (from ``weights``; VGG), "fresh" (random) or
                "none" (left out); None: see `custom_nets.fully_connected.choose_origin`.
            width: channels of conv6 and conv7; only 4096 (120 million weights) comes from a file.
            dropout: share of maps' values dropped after conv6 and before the coarsest score.
            normalise: "imagenet", "half", "none", or the mean of the training images; None takes
                what the published weights expect: `custom_nets.normalisation`.
            output_stride: of the deepest map of a residual encoder: 32, 16 or 8; None: the usual.
            skip_dropout: share of maps' values dropped before the skips' scores; None: none.

        Raises:
            ValueError: an option is not among those named here, or contradicts another.
        """
        super().__init__()
        self.stride, self.in_channels = stride, in_channels
        origin, width = choose_origin(
            encoder, weights, fully_connected=fully_connected, width=width
        )
        self.definition["width"] = width  # where its default depends on the weights
        self.encoder = make_encoder(
            encoder, in_channels=in_channels, weights=weights, output_stride=output_stride
        )
        self.normalise = make_normalisation(normalise, self.encoder.normalisation, in_channels)
        self.pools = self.encoder.block_strides[0] == 1
        coarsest = output_stride or STRIDE
        self.finest = len(FCN_STRIDES) - FCN_STRIDES.index(_checked_stride(stride, coarsest))
        self.skips = FCN_STRIDES.index(stride) - FCN_STRIDES.index(coarsest)
        *channels, deepest = self.encoder.block_channels
        self.fully_connected = make_fully_connected(
            self.encoder, origin, width=width, weights=weights, dropout=dropout
        )
        self.decoder = FusingDecoder(
            width or deepest,
            channels[self.finest : self.finest + self.skips][::-1],
            out_channels,
            doublings=coarsest.bit_length() - 1,
            dropouts=(dropout, skip_dropout or 0.0),
        )
        others = ["decoder"] if self.fully_connected is None else ["fully_connected", "decoder"]
        parts = prefix_parts(self.encoder.parts, "encoder")
        self.name_parts({**parts, DECODER: {DECODER: others}})

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) in [0, 1] to logits (B, out_channels, H, W).

        Raises:
            ValueError: the number of channels is not ``in_channels``.
        """
        x, back = pad_to_stride(x, self.in_channels)
        maps = self.encoder(self.normalise(x))
        maps = maps[self.finest : self.finest + self.skips] + maps[-1:]
        if self.pools:
            maps = [F.max_pool2d(block, 2) for block in maps]
        deepest = maps.pop()
        if self.fully_connected is not None:
            deepest = self.fully_connected(deepest)
        return F.pad(self.decoder(deepest, maps), back)

    def load_coarser(self, source: Mapping[str, Any] | str | Path) -> tuple[str, ...]:
        """Continue from a coarser network, such as FCN-8s from FCN-16s, as the same function.

        Args:
            source: the coarser network's ``state_dict``, or a dictionary that holds it under
                "model", as model files do; or a file of either.

        Returns:
            The names of the new tensors, the added skips' scores, which are set to zero.

        Raises:
            ValueError: the weights are not of a coarser network of the same kind; none is loaded.
            FileNotFoundError: no such file.
        """
        own = self.state_dict()
        offered = _read_state(source, own)
        new = [key for key in own if SKIP_SCORE.match(key) and key not in offered]
        wanted = {key: tuple(own[key].shape) for key in own.keys() - new}
        given = {key: tuple(tensor.shape) for key, tensor in offered.items()}
        wrong = sorted(k for k in wanted.keys() | given.keys() if wanted.get(k) != given.get(k))
        if wrong or not new:
            got = f"{len(wrong)} other tensors: {wrong[:5]}" if wrong else "one that is not coarser"
            raise ValueError(
                f"source must be the state_dict of a network coarser than FCN-{self.stride}s, of "
                f"the same encoder, width and out_channels; got {got}; give that of the step before"
            )
        self.load_state_dict({**offered, **{key: torch.zeros_like(own[key]) for key in new}})
        logger.info(
            "FCN-%ds continues a coarser network; new tensors: %s", self.stride, ", ".join(new)
        )
        return tuple(new)


def _checked_stride(stride: int, coarsest: int) -> int:
    """Return the stride of the finest scored map, which no stride above the coarsest can be."""
    valid = [one for one in FCN_STRIDES if one <= coarsest]
    if stride not in valid:
        deepest = f" with output_stride {coarsest}" if coarsest < STRIDE else ""
        raise ValueError(
            f"stride must be one of {', '.join(map(str, valid))}{deepest}; got {stride!r}; "
            "choose one"
        )
    return stride


def _read_state(
    source: Mapping[str, Any] | str | Path, wanted: Collection[str]
) -> Mapping[str, Tensor]:
    """Return the tensors of a state_dict, of a dictionary with one, or of a file of either."""
    content = source if isinstance(source, Mapping) else _read_file(Path(source))
    tensors = unwrap(flattened(content), wanted).tensors
    if not tensors:
        raise ValueError(
            "source must be a state_dict (names to tensors), or hold one under 'model'; got "
            f"{type(content).__name__} with other content; give network.state_dict()"
        )
    refuse_non_finite(tensors, "source")
    return tensors


def _read_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(
            f"source must be a state_dict or an existing file; got {str(path)!r}; train the "
            "coarser network first, or correct the path"
        )
    try:
        return read_content(path)
    except UnreadableError as error:
        raise ValueError(
            f"{path} must be a weights file readable with weights_only=True, but {error}; "
            "give the coarser network's checkpoint"
        ) from error
