"""Wrapper that lets staged fine-tuning train a network without a transferred encoder."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.framing import pad_to_stride
from custom_nets.freezing import DECODER, Freezable


class PlainNetwork(Freezable):
    """Image (B, in_channels, ...) to logits, by a network that is trained as a whole.

    For comparison with transfer learning: MONAI's networks and those of other papers have no
    pretrained encoder, so that there is one part, "decoder". Strategies can name "decoder" or
    "all"; those that name blocks are refused. Images whose sides are not multiples of ``stride``
    are padded and the logits cropped, as in the project's other networks.

    >>> import torch
    >>> from functools import partial
    >>> halving = partial(nn.Conv2d, 3, 1, 2, stride=2)
    >>> network = PlainNetwork(halving, in_channels=3, stride=2)
    >>> network.block_names, network.layer_names
    (('decoder',), ())
    """

    def __init__(
        self,
        network: Callable[[], nn.Module],
        *,
        in_channels: int,
        spatial_dims: int = 2,
        stride: int = 1,
    ) -> None:
        """Wrap a network.

        Args:
            network: ``functools.partial`` of a class (``"_mode_": "callable"`` in a config) whose
                network maps (B, in_channels, ...) to logits.
            in_channels: of the images.
            spatial_dims: 2 for images (B, C, H, W), 3 for volumes (B, C, H, W, D).
            stride: the network needs sides that are multiples of it; 1 if it accepts any size.

        Raises:
            ValueError: a number is out of range.
        """
        super().__init__()
        if spatial_dims not in (2, 3) or stride < 1 or in_channels < 1:
            raise ValueError(
                f"spatial_dims must be 2 or 3, stride and in_channels at least 1; got "
                f"{spatial_dims}, {stride}, {in_channels}; correct them"
            )
        self.network = network()
        self.in_channels, self.spatial_dims, self.stride = in_channels, spatial_dims, stride
        self.name_parts({DECODER: {DECODER: ["network"]}})

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, ...) to (B, out_channels, ...).

        Raises:
            ValueError: the number of channels or axes is wrong.
        """
        x, back = pad_to_stride(x, self.in_channels, self.stride, self.spatial_dims)
        logits: Tensor = self.network(x)
        return F.pad(logits, back)
