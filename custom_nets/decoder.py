"""Decoder of a U-Net: steps that upsample, concatenate the encoder's map and convolve twice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import torch
import torch.nn.functional as F
from monai.networks.layers.factories import Norm
from torch import Tensor, nn

from custom_nets.bilinear import BilinearDoubling
from custom_nets.encoders import ENCODERS, Encoder
from custom_nets.encoders.encoder import initialise
from custom_nets.framing import STRIDE
from custom_nets.freezing import NORM_LAYERS, FreezableBatchNorm2d

SKIP_NORMS = ("auto", "all", "none")
NORMS = ("batch", "instance", "group", "none")


class UpStep(nn.Module):
    """Transposed convolution to twice the size, concatenation of the skip, two 3x3 convolutions."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        skip_channels: int,
        norm: str,
        skip_norm: str = "none",
    ) -> None:
        """Map ``in_channels`` maps and ``skip_channels`` maps of the skip to ``channels`` maps."""
        super().__init__()
        self.skip_norm = make_norm(skip_norm, skip_channels) if skip_channels else nn.Identity()
        self.up = nn.ConvTranspose2d(in_channels, channels, 2, stride=2)
        self.convolutions = nn.Sequential(
            *_convolution(channels + skip_channels, channels, norm),
            *_convolution(channels, channels, norm),
        )

    # TorchScript does not understand `Tensor | None`.
    def forward(self, x: Tensor, skip: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        """Map (B, in_channels, H, W) and (B, skip_channels, 2H, 2W) to (B, channels, 2H, 2W)."""
        x = self.up(x)
        if skip is not None:
            x = torch.cat([x, self.skip_norm(skip)], dim=1)
        joined: Tensor = self.convolutions(x)
        return joined


class Decoder(nn.Module):
    """Up steps from the deepest map to full resolution, and a 1x1 convolution to logits.

    With ``stride`` 2 the last step is left out: logits of half the resolution are doubled by a
    learned upsampling that starts as bilinear interpolation.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: Sequence[int],
        out_channels: int,
        *,
        widths: Sequence[int] | None = None,
        norm: str = "batch",
        stride: int = 1,
        skip_norm: str = "none",
    ) -> None:
        """Build one up step for each of ``skip_channels``, deepest first; 0 means no skip.

        ``widths`` are the channels of the steps; None halves the channels at each. ``stride`` is 1,
        or 2 for one step less. ``skip_norm`` is the kind of norm of each skip, as `norm`.

        Raises:
            ValueError: the norm or the stride is unknown, widths and steps differ in number, or
                there is no output.
        """
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"decoder_stride must be 1 or 2; got {stride!r}; choose one of them")
        skip_channels = skip_channels[: len(skip_channels) + 1 - stride]
        steps = len(skip_channels)
        if widths is None:
            widths = [in_channels // 2**step for step in range(1, steps + 1)]
        given = list(widths) if isinstance(widths, Sequence) else [widths]
        if not isinstance(widths, Sequence) or len(widths) != steps or min(widths) < 1:
            raise ValueError(
                f"decoder_channels must be {steps} positive widths, deepest first; "
                f"got {given}; give one for each up step"
            )
        if out_channels < 1:
            raise ValueError(f"out_channels must be at least 1; got {out_channels}; raise it")
        ins = [in_channels, *widths[:-1]]
        self.steps = nn.ModuleList(
            UpStep(before, width, skip_channels=skip, norm=norm, skip_norm=skip_norm)
            for before, width, skip in zip(ins, widths, skip_channels, strict=True)
        )
        self.head = nn.Conv2d(widths[-1], out_channels, 1)
        self.doubling = BilinearDoubling(out_channels) if stride == 2 else nn.Identity()

    def forward(self, deepest: Tensor, skips: list[Tensor]) -> Tensor:
        """Map the deepest map and the skips, fine to coarse, to (B, out_channels, H, W)."""
        x = deepest
        for index, step in enumerate(self.steps):
            skip = skips[-1 - index] if index < len(skips) else None
            x = step(x, skip)
        logits: Tensor = self.doubling(self.head(x))
        return logits


def levels_of_skips(encoder: Encoder) -> tuple[list[int], list[int]]:
    """Return which blocks a decoder concatenates, and the channels of the skip of each up step.

    Returns:
        The indices of the blocks, fine to coarse: for each stride below `STRIDE` that the encoder
        has the deepest block there. And for each step from `STRIDE` to full resolution the
        channels of that block, 0 where the encoder has no map.
    """
    levels = encoder.levels
    strides = [2**power for power in range(STRIDE.bit_length() - 1)]
    channels = [encoder.block_channels[levels[s]] if s in levels else 0 for s in strides]
    return [levels[stride] for stride in strides if stride in levels], channels[::-1]


def make_decoder(
    encoder: Encoder,
    out_channels: int,
    *,
    widths: Sequence[int] | None,
    norm: str,
    stride: int = 1,
    skip_norm: str,
) -> Decoder:
    """Build a decoder for the maps of an encoder, with initialised weights.

    ``skip_norm`` is a word of `norm_of_skips`; the other arguments are those of `Decoder`.
    """
    _, skips = levels_of_skips(encoder)
    decoder = Decoder(
        encoder.block_channels[-1],
        skips,
        out_channels,
        widths=widths,
        norm=norm,
        stride=stride,
        skip_norm=norm_of_skips(skip_norm, norm, encoder),
    )
    initialise(decoder)
    return decoder


def norm_of_skips(skip_norm: str, norm: str, encoder: Encoder) -> str:
    """Return the kind of norm of the skips: "none", or that of the decoder.

    An encoder without norms (VGG) with ImageNet weights gives maps with means of about 100. In a
    concatenation they exceed the decoder's normalised maps so far that the encoder's deep blocks
    get no gradient. ParseNet (Liu, Rabinovich, Berg 2015) and SSD normalise such maps for the same
    reason.

    Args:
        skip_norm: "auto" for a norm where the encoder has none, "all" or "none".
        norm: of the decoder.
        encoder: gives the skips.

    Raises:
        ValueError: another ``skip_norm``, or "all" for a decoder without norms.
    """
    if skip_norm not in SKIP_NORMS:
        raise ValueError(
            f"skip_norm must be one of {', '.join(SKIP_NORMS)}; got {skip_norm!r}; choose one"
        )
    if skip_norm == "all" and norm == "none":
        raise ValueError(
            'skip_norm "all" needs the norm of the decoder; got norm "none"; choose another norm'
        )
    normed = any(isinstance(module, NORM_LAYERS) for module in encoder.modules())
    return norm if skip_norm == "all" or (skip_norm == "auto" and not normed) else "none"


def settle_norm_of_skips(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the ``skip_norm`` "auto" of a U-Net's definition by "all" or "none".

    Networks whose definitions are then equal are equal: files from before the argument existed have
    "none", which is what "auto" means for an encoder with norms.
    """
    encoder = ENCODERS.get(str(definition.get("encoder")))
    if definition.get("skip_norm") != "auto" or encoder is None:
        return dict(definition)
    with torch.device("meta"):
        kind = norm_of_skips("auto", str(definition["norm"]), encoder())
    return {**definition, "skip_norm": "none" if kind == "none" else "all"}


class GroupNorm(nn.GroupNorm):
    """Group norm whose input may come from frozen layers.

    On a CPU, torch 2.13 crashes in the backward pass of a group norm if its input has the channels
    last and needs no gradient, such as the skip of a frozen encoder. That input is copied to
    channels first.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        if torch.is_grad_enabled() and not x.requires_grad:
            x = x.contiguous()
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


def make_norm(norm: str, channels: int) -> nn.Module:
    """Return a norm for (B, channels, H, W): "batch", "instance", "group" (of up to 8) or "none".

    Raises:
        ValueError: another name.
    """
    if norm == "batch":
        return FreezableBatchNorm2d(channels)
    if norm == "instance":
        return Norm[Norm.INSTANCE, 2](channels, affine=True)  # type: ignore[no-any-return]
    if norm == "group":
        return GroupNorm(math.gcd(8, channels), channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm must be one of {', '.join(NORMS)}; got {norm!r}; choose one of them")


def _convolution(in_channels: int, channels: int, norm: str) -> list[nn.Module]:
    layer = make_norm(norm, channels)
    bias = isinstance(layer, nn.Identity)
    convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=bias)
    return [convolution, layer, nn.ReLU(inplace=True)]
