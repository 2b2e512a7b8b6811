"""The loss of a network with a head for each domain: the sum of those of the domains."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from monai.data import MetaTensor
from torch import nn

from custom_nets.survey.multi_domain import channels_of
from scripts.transforms.domains import OTHER


class SumOverDomains(nn.Module):
    """Sum of the losses of the domains in a batch, each of its own samples and channels.

    The head of a domain without a sample in the batch gets a gradient of exactly 0.

    Args:
        domains: domain -> number of its channels, in their order.
        losses: domain -> module that maps (logits, labels) of its channels to one number.

    Raises:
        ValueError: when a domain has no loss, or a loss no domain.

    Source:
        Chen, Zheng, Park, Heng, Zhou, MICCAI 2016, 487-495: the joint loss of all domains. That
        they are weighted equally is our choice.
    """

    def __init__(self, domains: Mapping[str, int], losses: Mapping[str, nn.Module]) -> None:
        super().__init__()
        if set(domains) != set(losses):
            raise ValueError(
                f"losses: must be one for each of {', '.join(domains)}, got {', '.join(losses)}"
            )
        self.channels, self.losses = channels_of(domains), nn.ModuleDict(dict(losses))

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Add the losses for (B, sum of the maps, H, W) logits and labels.

        Labels are those of :class:`scripts.transforms.domains.DomainLabeld`.
        """
        plain = labels.as_tensor() if isinstance(labels, MetaTensor) else labels
        scores = logits.as_tensor() if isinstance(logits, MetaTensor) else logits
        total = scores.sum() * 0
        for name, loss in self.losses.items():
            own = plain[:, self.channels[name]]
            members = (own != OTHER).flatten(1).all(dim=1)
            if bool(members.any()):
                total = total + loss(scores[members][:, self.channels[name]], own[members])
        return total
