"""Which classes an image shows: what an encoder can be pretrained to tell, from outlines.

A class that nobody outlined in a patient may be shown or not. Its presence is ``UNKNOWN``, which
takes no part in the loss (:class:`PresenceLoss`) nor in the figures
(:class:`scripts.evaluation.presence.PresenceAUC`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import nn

from scripts.transforms.partial_labels import candidate_classes, told_classes

UNKNOWN = -1.0


def class_presence(label: torch.Tensor, class_known: torch.Tensor) -> torch.Tensor:
    """Say which foreground classes a label shows.

    Args:
        label: (1, ...), the class of each voxel, 0 for background.
        class_known: bool (C,), whether the patient's outlines tell of each class.

    Returns:
        float32 (C - 1,): 1 where any voxel is of the class, 0 where none is, ``UNKNOWN``.

    Raises:
        ValueError: as :func:`~scripts.transforms.partial_labels.candidate_classes`.

    Example:
        >>> class_presence(torch.tensor([[0, 1, 1]]), torch.tensor([True, True, True, False]))
        tensor([ 1.,  0., -1.])
    """
    candidates = candidate_classes(label, class_known)
    certain = candidates.sum(dim=0) == 1
    shown = (candidates.bool() & certain).flatten(1).any(dim=1)
    known = torch.as_tensor(class_known, dtype=torch.bool, device=label.device)
    return torch.where(known, shown.float(), UNKNOWN)[1:]


class ClassPresenced(MapTransform):
    """Dictionary form of :func:`class_presence`, the last step before a loss; crop before it.

    Args:
        keys: labels (1, ...), which become (classes,).
        classes: how many the network tells apart, background not among them.
        known_key: where the sample says which classes its patient's outlines tell of.

    Raises:
        ValueError: for fewer than one class.
    """

    def __init__(
        self,
        keys: KeysCollection,
        classes: int,
        *,
        known_key: str = "class_known",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if classes < 1:
            raise ValueError(f"classes: must be at least 1, got {classes}")
        self.classes = classes
        self.known_key = known_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn every key.

        Raises:
            ValueError: see :func:`scripts.transforms.partial_labels.told_classes`.
        """
        result = dict(data)
        known = told_classes(data, self.known_key, self.classes + 1)
        for key in self.key_iterator(result):
            label = result[key]
            plain = label.as_tensor() if isinstance(label, MetaTensor) else label
            result[key] = class_presence(plain, known)
        return result


class PresenceLoss(nn.Module):
    """Binary cross-entropy of each class, averaged over what is known; 0 where nothing is.

    Example:
        >>> loss = PresenceLoss()(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, UNKNOWN]]))
        >>> round(loss.exp().item(), 4)
        2.0
    """

    def forward(self, logits: torch.Tensor, presence: torch.Tensor) -> torch.Tensor:
        """Average over images and classes, both (B, K).

        Raises:
            ValueError: when the shapes differ: the network is none that classifies images.
        """
        if logits.shape != presence.shape:
            raise ValueError(
                f"presence: must have the shape of the logits {tuple(logits.shape)}, got "
                f"{tuple(presence.shape)}; the network must be a "
                "custom_nets.classifier.TransferClassifier, not one that segments"
            )
        known = (presence != UNKNOWN).to(logits)
        summed = F.binary_cross_entropy_with_logits(
            logits, presence.to(logits).clamp(min=0), weight=known, reduction="sum"
        )
        return summed / known.sum().clamp(min=1)
