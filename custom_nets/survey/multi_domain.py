"""One U-Net for several domains, such as nodules and organs: shared layers, a head for each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from custom_nets.decoder import settle_norm_of_skips
from custom_nets.encoders.encoder import initialise
from custom_nets.freezing import DECODER, Freezable, prefix_parts
from custom_nets.unet import TransferUNet


class MultiDomainNetwork(Freezable):
    """Image (B, in_channels, H, W) in [0, 1] to the logits of all domains side by side.

    Encoder and decoder are those of a `TransferUNet`; instead of its last 1x1 convolution there is
    one for each domain. A loss that reads the channels of one domain trains the shared layers and
    that domain's head. `for_domain` is the U-Net of one domain by itself.

    Source:
        Chen, Zheng, Park, Heng, Zhou, Iterative multi-domain regularized deep learning for
        anatomical structure detection and segmentation from ultrasound images, MICCAI 2016,
        487-495: lower layers shared by five views, a head for each view. Which layers are shared
        could not be checked; that only the last convolution is separate, and that the domains are
        organs with windows of their own instead of views, is our choice.

    >>> network = MultiDomainNetwork("resnet34", domains={"nodules": 1, "organs": 4},
    ...     decoder_channels=(32, 16, 16, 8, 8))
    >>> tuple(network.eval()(torch.rand(1, 3, 32, 32)).shape)
    (1, 5, 32, 32)
    """

    settled = staticmethod(settle_norm_of_skips)

    def __init__(
        self,
        encoder: str = "resnet34",
        *,
        domains: Mapping[str, int],
        in_channels: int = 3,
        weights: str = "none",
        norm: str = "batch",
        decoder_channels: list[int] | tuple[int, ...] | None = None,
        normalise: str | float | None = None,
        skip_norm: str = "none",
    ) -> None:
        """Build the network; see `TransferUNet` for the arguments that are not named here.

        Args:
            encoder: name of the encoder.
            domains: name of each domain -> its maps of logits, in their order in the output.
            in_channels: 1 or 3, of every domain.
            weights: of the encoder.
            norm: of the decoder.
            decoder_channels: widths of the up steps.
            normalise: mean and std of the input.
            skip_norm: norms on the skips: "auto", "all" or "none".

        Raises:
            ValueError: fewer than two domains, or one without a map.
        """
        super().__init__()
        if len(domains) < 2 or min(domains.values()) < 1:
            raise ValueError(
                f"domains must be two or more, each with at least one map; got {dict(domains)}; "
                "a single domain is a TransferUNet"
            )
        self.trunk = TransferUNet(
            encoder,
            in_channels=in_channels,
            weights=weights,
            norm=norm,
            decoder_channels=decoder_channels,
            normalise=normalise,
            skip_norm=skip_norm,
        )
        width = self.trunk.decoder.head.in_channels
        self.trunk.decoder.head = nn.Identity()  # type: ignore[assignment]
        self.heads = nn.ModuleDict(
            {name: nn.Conv2d(width, count, 1) for name, count in domains.items()}
        )
        initialise(self.heads)
        self.domains, self.in_channels = dict(domains), in_channels
        self.out_channels = sum(domains.values())
        parts = prefix_parts(self.trunk.parts, "trunk")
        self.name_parts({**parts, DECODER: {DECODER: ["trunk.decoder", "heads"]}})

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) in [0, 1] to (B, sum of the maps, H, W)."""
        features = self.trunk(x)
        return torch.cat([head(features) for head in self.heads.values()], dim=1)

    def for_domain(self, domain: str) -> TransferUNet:
        """Return a copy of the network with the head of one domain only.

        Raises:
            ValueError: the domain is unknown.
        """
        if domain not in self.domains:
            raise ValueError(f"domain must be among {', '.join(self.domains)}; got {domain!r}")
        arguments = dict(self.definition)
        for name in ("_target_", "domains", "weights"):
            arguments.pop(name)
        single = TransferUNet(**arguments, out_channels=self.domains[domain])
        state = {name: tensor.clone() for name, tensor in self.trunk.state_dict().items()}
        head = self.heads[domain].state_dict()
        state |= {f"decoder.head.{name}": tensor.clone() for name, tensor in head.items()}
        single.load_state_dict(state)
        return single.train(self.training)


def channels_of(domains: Mapping[str, int]) -> dict[str, slice]:
    """Return the channels of each domain in the output.

    >>> channels_of({"nodules": 1, "organs": 4})
    {'nodules': slice(0, 1, None), 'organs': slice(1, 5, None)}
    """
    channels, start = {}, 0
    for name, count in domains.items():
        channels[name] = slice(start, start + count)
        start += count
    return channels
