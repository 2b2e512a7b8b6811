"""Presence of classes in an image, a target for pretraining an encoder without further labels.

The presence of a class that was not annotated in a patient is ``UNKNOWN``. It is ignored by the
loss (:class:`PresenceLoss`) and by the validation metrics.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from scripts.transforms.partial_labels import KnownClassesd, candidate_classes

UNKNOWN = -1.0


def class_presence(label: torch.Tensor, class_known: torch.Tensor) -> torch.Tensor:
    """Derive which foreground classes are present in a label.

    Args:
        label: (1, ...), the class of each voxel, 0 for background.
        class_known: bool (C,), whether each class was annotated in the patient.

    Returns:
        float32 (C - 1,): 1 for a class with voxels, 0 for one without, ``UNKNOWN`` for one that
        was not annotated.

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


class ClassPresenced(KnownClassesd):
    """Dictionary form of :func:`class_presence`; the last transform of the label, after cropping.

    Labels (1, ...) become (classes,); ``classes`` does not include background.
    """

    background = 0

    def convert(self, label: torch.Tensor, class_known: torch.Tensor) -> torch.Tensor:
        """Convert (1, ...) class values to (classes,) presences."""
        return class_presence(label, class_known)


class PresenceLoss(nn.Module):
    """Binary cross-entropy averaged over the known presences; 0 if none is known.

    Example:
        >>> loss = PresenceLoss()(torch.zeros(1, 3), torch.tensor([[1.0, 0.0, UNKNOWN]]))
        >>> round(loss.exp().item(), 4)
        2.0
    """

    def forward(self, logits: torch.Tensor, presence: torch.Tensor) -> torch.Tensor:
        """Return the mean over images and classes of two tensors (B, K).

        Raises:
            ValueError: when the shapes differ, as for a network that does not classify images.
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
