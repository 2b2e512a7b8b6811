"""Weighted sums of losses, and losses for partially labelled images.

For partial labels see :mod:`scripts.transforms.partial_labels`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.utils import convert_to_tensor
from torch import nn

from scripts.transforms.partial_labels import UNKNOWN_VOXEL

UNKNOWN = ("merge", "ignore")
SURELY_NOT = -100.0
"""Logit of voxels that are left out: its probability, and its cross-entropy with 0, are 0."""


class MarginalCrossEntropy(nn.Module):
    """Softmax cross-entropy on sets of candidate classes.

    A voxel's loss is ``-log(sum of the probabilities of its candidates)``. With one candidate that
    is the usual cross-entropy. If a patient's kidneys were not outlined, background voxels have the
    candidates background and kidney: ``-log(p_background + p_kidney)``, so that the network learns
    that they are neither liver nor bone, and may still predict kidney.

    Args:
        unknown: "merge" as described; "ignore" leaves out voxels with several candidates, so that
            only the outlined voxels of such patients count, not the background around them.
        class_weights: factor of each class, for a set that of its first class; the mean is then a
            weighted mean. Equal when None.

    Raises:
        ValueError: when ``unknown`` is neither, or a weight is not positive.

    Source:
        "merge": Shi, Xiao, Chen, Zhou, Marginal loss and exclusion loss for partially supervised
        multi-organ segmentation, Medical Image Analysis 70, 2021; Fang and Yan, Multi-organ
        segmentation over partially labeled datasets with multi-scale feature abstraction, IEEE
        Transactions on Medical Imaging 39(11), 2020.

    Example:
        >>> logits = torch.zeros(1, 4, 1, 1)
        >>> candidates = torch.tensor([1, 0, 0, 1]).view(1, 4, 1, 1)
        >>> round(MarginalCrossEntropy()(logits, candidates).exp().item(), 4)
        2.0

    A voxel whose candidates are all classes, of which nothing is known, has no loss.
    """

    def __init__(
        self, unknown: str = "merge", *, class_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if unknown not in UNKNOWN:
            raise ValueError(f"unknown: must be one of {', '.join(UNKNOWN)}, got {unknown!r}")
        if class_weights is not None and min(class_weights) <= 0:
            raise ValueError(f"class_weights: must be above 0, got {list(class_weights)}")
        self.unknown = unknown
        self.weights = None if class_weights is None else torch.tensor(list(class_weights))

    def forward(self, logits: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Average over voxels.

        Args:
            logits: (B, C, ...).
            candidates: (B, C, ...), 1 where a class is a candidate.

        Raises:
            ValueError: when the shapes differ, or the number of weights is not that of classes.
        """
        if logits.shape != candidates.shape:
            raise ValueError(
                f"candidates: must have the shape of the logits {tuple(logits.shape)}, got "
                f"{tuple(candidates.shape)}; labels go through CandidateClassesd"
            )
        chosen = convert_to_tensor(candidates).bool()
        scores: torch.Tensor = convert_to_tensor(logits).float()
        candidate_scores = scores.masked_fill(~chosen, -torch.inf).logsumexp(dim=1)
        loss = scores.logsumexp(dim=1) - candidate_scores
        weights = self._voxel_weights(chosen, loss)
        return (loss * weights).sum() / weights.sum().clamp_min(torch.finfo(loss.dtype).tiny)

    def _voxel_weights(self, chosen: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return the weight of each voxel (B, ...)."""
        weights = torch.ones_like(like)
        if self.weights is not None:
            if len(self.weights) != chosen.shape[1]:
                raise ValueError(
                    f"class_weights: must be {chosen.shape[1]}, one for each class, got "
                    f"{len(self.weights)}"
                )
            first = chosen.to(torch.uint8).argmax(dim=1)
            weights = self.weights.to(like)[first]
        if self.unknown == "ignore":
            weights = weights * (chosen.sum(dim=1) == 1)
        return weights


class MarginalDice(nn.Module):
    """1 - Dice, averaged over the foreground classes that are known in an image.

    The probabilities of unknown classes count as background, as in
    :class:`MarginalCrossEntropy`; an unknown class has no Dice and is not part of the average.
    Voxels of which nothing is known, so that every class is a candidate, are left out.

    Args:
        smooth: added to numerator and denominator, for classes that are not in an image.

    Raises:
        ValueError: when ``smooth`` is not above 0: a class in no image would have 0 / 0.

    Source:
        Shi et al., Medical Image Analysis 70, 2021 (marginal Dice loss).
    """

    def __init__(self, *, smooth: float = 1.0) -> None:
        super().__init__()
        if smooth <= 0:
            raise ValueError(f"smooth: must be above 0, got {smooth}")
        self.smooth = smooth

    def forward(self, logits: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Average over images and their known foreground classes; both (B, C, ...).

        Raises:
            ValueError: when the shapes differ.
        """
        if logits.shape != candidates.shape:
            raise ValueError(
                f"candidates: must have the shape of the logits {tuple(logits.shape)}, got "
                f"{tuple(candidates.shape)}; labels go through CandidateClassesd"
            )
        chosen: torch.Tensor = convert_to_tensor(candidates).flatten(2).float()
        probable: torch.Tensor = convert_to_tensor(logits).float().flatten(2).softmax(dim=1)
        nothing = chosen.amin(dim=1, keepdim=True) > 0
        nothing &= ~nothing.all(dim=2, keepdim=True)  # an image without any organ outlined
        chosen, probable = chosen.masked_fill(nothing, 0), probable.masked_fill(nothing, 0)
        several = chosen.sum(dim=1, keepdim=True) > 1
        known = ~((chosen > 0) & several).any(dim=2)[:, 1:]
        shared = (probable * chosen).sum(dim=2)[:, 1:]
        sizes = (probable + chosen).sum(dim=2)[:, 1:]
        dice = (2 * shared + self.smooth) / (sizes + self.smooth)
        return ((1 - dice) * known).sum() / known.sum().clamp_min(1)


class MarginalDiceCrossEntropy(nn.Module):
    """Sum of :class:`MarginalDice` and :class:`MarginalCrossEntropy`, each weighted once."""

    def __init__(self) -> None:
        super().__init__()
        self.dice, self.cross_entropy = MarginalDice(), MarginalCrossEntropy()

    def forward(self, logits: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        """Add the two for (B, C, ...) logits and candidates."""
        total: torch.Tensor = self.dice(logits, candidates) + self.cross_entropy(logits, candidates)
        return total


class KnownVoxels(nn.Module):
    """A loss of one logit, of the voxels whose label is known only.

    Unknown voxels count as background that the network is sure of: they add nothing to overlaps,
    sizes and cross-entropies, and have no gradient. Means over voxels stay means over all of them.

    Args:
        loss: maps (logits, labels) to one number, and takes logits through a sigmoid.

    Example:
        >>> loss = KnownVoxels(nn.BCEWithLogitsLoss(reduction="sum"))
        >>> round(loss(torch.zeros(1, 1, 3), torch.tensor([[[1.0, 0.0, -1.0]]])).exp().item(), 4)
        4.0
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of (B, 1, ...) logits and labels: 1, 0, or ``UNKNOWN_VOXEL``."""
        plain = convert_to_tensor(labels)
        unknown = plain == UNKNOWN_VOXEL
        scores = convert_to_tensor(logits).masked_fill(unknown, SURELY_NOT)
        value: torch.Tensor = self.loss(scores, plain.masked_fill(unknown, 0))
        return value


def loss_of_known(loss: nn.Module, samples: Sequence[Mapping[str, Any]]) -> nn.Module:
    """Return the loss to train on some samples with: of known voxels, if any has unknown ones.

    Losses of organs leave unknown voxels out by themselves, as sets of all candidates.

    Args:
        loss: of one logit, or of organs.
        samples: entries of a datalist; those with an ``unknown_value`` may have unknown voxels,
            those with ``class_known`` are of organs.
    """
    lesions = any("unknown_value" in one and "class_known" not in one for one in samples)
    return KnownVoxels(loss) if lesions else loss


class SensitivityRatio(nn.Module):
    """Mean squared error over lesion voxels and over all others, weighted against each other.

    ``r sum(S (S - y)^2) / sum(S) + (1 - r) sum((1 - S) (S - y)^2) / sum(1 - S)`` with the mask S
    and the probabilities y, over all voxels of a batch; without lesion voxels only the second term
    counts. Lesions weigh the same however small they are, so that a probability of 0.5 has no
    meaning: the threshold has to be chosen (:mod:`scripts.training.chosen_threshold`).

    Args:
        ratio: r, the sensitivity ratio; 0.05 could not be checked in the paper.

    Raises:
        ValueError: for a ratio that is not between 0 and 1.

    Source:
        Brosch et al., IEEE TMI 35(5), 1229-1239, 2016.

    Example:
        >>> certain = torch.tensor([40.0, -40.0, 40.0])  # probabilities 1, 0, 1
        >>> round(SensitivityRatio(0.25)(certain, torch.tensor([1.0, 1.0, 0.0])).item(), 4)
        0.875
    """

    def __init__(self, ratio: float = 0.05) -> None:
        super().__init__()
        if not 0 < ratio < 1:
            raise ValueError(f"sensitivity_ratio: must be between 0 and 1, got {ratio}")
        self.ratio = ratio

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of (B, 1, ...) logits and labels 0 and 1.

        Raises:
            ValueError: when the shapes differ.
        """
        if logits.shape != labels.shape:
            raise ValueError(
                f"labels: must have the shape of the logits {tuple(logits.shape)}, got "
                f"{tuple(labels.shape)}"
            )
        scores: torch.Tensor = convert_to_tensor(logits)
        lesion: torch.Tensor = convert_to_tensor(labels).to(scores)
        error: torch.Tensor = (lesion - scores.sigmoid()).square()
        missed = (lesion * error).sum() / lesion.sum().clamp_min(1)
        other = 1 - lesion
        false = (other * error).sum() / other.sum().clamp_min(1)
        return self.ratio * missed + (1 - self.ratio) * false


class SumOfLosses(nn.Module):
    """Sum of losses of the same logits and labels, each times its weight.

    Args:
        losses: modules that map (logits, labels) to one number.
        weights: one for each loss; all 1 when None.

    Raises:
        ValueError: when there are no losses, or not one weight above 0 for each.

    Example:
        >>> both = SumOfLosses([nn.MSELoss(), nn.L1Loss()], weights=[1, 0.5])
        >>> both(torch.tensor([2.0]), torch.tensor([0.0])).item()
        5.0
    """

    def __init__(
        self, losses: Sequence[nn.Module], *, weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if not losses:
            raise ValueError("losses: must name at least one loss, got none")
        self.losses = nn.ModuleList(losses)
        self.weights = [1.0] * len(losses) if weights is None else [float(w) for w in weights]
        if len(self.weights) != len(losses) or min(self.weights) <= 0:
            raise ValueError(
                f"weights: must be {len(losses)} numbers above 0, one for each loss, got "
                f"{self.weights}; leave a loss out instead of weighting it 0"
            )

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Add the losses of (B, C, ...) logits and labels."""
        pairs = zip(self.weights, self.losses, strict=True)
        return torch.stack([weight * loss(logits, labels) for weight, loss in pairs]).sum()
