"""Samples of several domains, each with its own transforms, and their labels in one tensor.

A sample names its domain under the key ``domain``. The label of a network with a head for each
domain (:class:`custom_nets.survey.multi_domain.MultiDomainNetwork`) has the channels of all
domains; those of the other domains are :data:`OTHER`, and no loss or metric reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform, Randomizable
from torch.utils.data import Sampler

from custom_nets.survey.multi_domain import channels_of

DOMAIN = "domain"
OTHER = -2.0
"""Label of the channels of other domains; -1 is a voxel of the own domain of which nothing is known
(:data:`scripts.transforms.partial_labels.UNKNOWN_VOXEL`)."""

Transformation = Callable[[Any], Any]


class ByDomaind(Randomizable):
    """Apply the transforms of a sample's domain; ``domain`` is kept.

    Args:
        transforms: domain -> its transforms.
    """

    def __init__(self, transforms: Mapping[str, Sequence[Transformation]]) -> None:
        super().__init__()
        self.transforms = {name: Compose(list(each)) for name, each in transforms.items()}

    def set_random_state(self, seed: int | None = None, state: Any = None) -> ByDomaind:
        """Seed the random transforms of every domain."""
        super().set_random_state(seed, state)
        for each in self.transforms.values():
            each.set_random_state(seed, state)
        return self

    def randomize(self, data: Any = None) -> None:
        """Do nothing: the transforms of a domain draw for themselves."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Transform one sample.

        Raises:
            ValueError: for a sample whose domain has no transforms.
        """
        domain = data.get(DOMAIN)
        if domain not in self.transforms:
            raise ValueError(
                f"domain: must be one of {', '.join(self.transforms)}, got {domain!r} for "
                f"{data.get('series_uid')}; merge the data again (python -m scripts domains)"
            )
        transformed: dict[Hashable, Any] = self.transforms[str(domain)](dict(data))
        return {**transformed, DOMAIN: domain}


class DomainLabeld(MapTransform):
    """Put a label into the channels of its domain, and :data:`OTHER` into all others.

    Args:
        keys: labels (K, ...), of as many channels as the domain has.
        domains: domain -> number of its channels, in their order.
    """

    def __init__(
        self, keys: KeysCollection, domains: Mapping[str, int], *, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.channels = channels_of(domains)
        self.total = sum(domains.values())

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert the labels of one sample.

        Raises:
            ValueError: for a label with another number of channels than its domain.
        """
        result = dict(data)
        channels = self.channels[str(data[DOMAIN])]
        for key in self.key_iterator(result):
            label = result[key]
            plain = label.as_tensor() if isinstance(label, MetaTensor) else label
            if len(plain) != channels.stop - channels.start:
                raise ValueError(
                    f"{key}: must have {channels.stop - channels.start} channels in the domain "
                    f"{data[DOMAIN]}, got {tuple(plain.shape)}"
                )
            wide = plain.new_full((self.total, *plain.shape[1:]), OTHER, dtype=torch.float32)
            wide[channels] = plain.float()
            result[key] = wide
        return result


class OwnChannelsd(MapTransform):
    """Turn logits and label of all domains into masks; 0 in the channels of other domains.

    One map is thresholded at a probability of 0.5; of several the highest is taken, and the first,
    background, is left empty. Candidate sets count where one class is the only candidate. A figure
    that skips empty channels of the label is then the mean over the sample's own classes.

    Args:
        pred: key of the logits (sum of the maps, ...).
        label: key of the label of :class:`DomainLabeld`.
        domains: domain -> number of its channels, in their order.
    """

    def __init__(self, pred: str, label: str, domains: Mapping[str, int]) -> None:
        super().__init__([pred, label])
        self.pred, self.label, self.channels = pred, label, channels_of(domains)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert one sample."""
        result = dict(data)
        logits, label = torch.as_tensor(result[self.pred]), torch.as_tensor(result[self.label])
        pred, truth = torch.zeros_like(logits), torch.zeros_like(label)
        for channels in self.channels.values():
            own, scores = label[channels], logits[channels]
            if bool((own == OTHER).any()):
                continue
            if len(own) == 1:
                pred[channels], truth[channels] = (scores > 0).to(pred), own
                continue
            single = own.sum(dim=0) == 1
            best = torch.zeros_like(scores).scatter_(0, scores.argmax(dim=0, keepdim=True), 1.0)
            pred[channels], truth[channels] = best * single, own * single
            pred[channels.start], truth[channels.start] = 0, 0
        result[self.pred], result[self.label] = pred, truth
        return result


class DomainBatches(Sampler[list[int]]):
    """Batches with equally many samples of each domain, in random order.

    An epoch shows each sample of the largest domain once, and those of the others repeatedly. It
    draws from torch's generator, so that seeded epochs and resumed runs have the same batches.

    Args:
        samples: each with its ``domain``.
        batch_size: a multiple of the number of domains.

    Raises:
        ValueError: for another batch size, or samples of a single domain.
    """

    def __init__(self, samples: Sequence[Mapping[str, Any]], batch_size: int) -> None:
        domains = sorted({str(sample.get(DOMAIN)) for sample in samples})
        self.members = [
            [i for i, sample in enumerate(samples) if str(sample.get(DOMAIN)) == domain]
            for domain in domains
        ]
        if samples and len(domains) < 2:
            raise ValueError(
                f"samples: must be of two domains or more, got {', '.join(domains)}; merge data "
                "sets with python -m scripts domains"
            )
        if batch_size < 1 or batch_size % max(1, len(domains)):
            raise ValueError(
                f"batch_size: must be a multiple of {len(domains)}, the number of domains, got "
                f"{batch_size}"
            )
        self.each = batch_size // max(1, len(domains))

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return -(-max(map(len, self.members), default=0) // self.each)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the indices of each batch."""
        wanted = len(self) * self.each
        orders = [self._order(members, wanted) for members in self.members]
        for start in range(0, wanted, self.each):
            yield [index for order in orders for index in order[start : start + self.each]]

    def _order(self, members: Sequence[int], wanted: int) -> list[int]:
        """Return so many indices, all of a domain before any of them again."""
        order: list[int] = []
        while len(order) < wanted:
            order += [members[i] for i in torch.randperm(len(members)).tolist()]
        return order[:wanted]
