"""Area under the ROC curve of the presence of classes in images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.metrics import EpochMetric
from monai.handlers import from_engine
from monai.metrics import compute_roc_auc

from scripts.transforms.class_presence import UNKNOWN

Pairs = tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]


class PresenceAUC(EpochMetric):
    """AUC over the images of an epoch in which a class is known; 0.5 is chance level.

    Args:
        class_names: names of the foreground classes, in the network's order.
        of: name of the class; None for the mean of the classes that have an AUC.
        output_transform: from the engine's output to two lists, (K,) logits and (K,) presences
            (:mod:`scripts.transforms.class_presence`).

    Raises:
        ValueError: for another class.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        *,
        of: str | None = None,
        output_transform: Callable[[Any], Pairs] = lambda output: output,
    ) -> None:
        if of is not None and of not in class_names:
            raise ValueError(f"of: must be one of {', '.join(class_names)}, got {of!r}")
        self.classes = len(class_names)
        self.chosen = list(range(self.classes)) if of is None else [list(class_names).index(of)]
        super().__init__(
            self._mean_of_chosen,
            output_transform=output_transform,
            check_compute_fn=False,
            skip_unrolling=True,
        )

    def update(self, output: Any) -> None:
        """Add the images of a batch."""
        logits, presences = (torch.stack(list(images)) for images in output)
        super().update((logits.float(), presences))

    def _mean_of_chosen(self, logits: torch.Tensor, presences: torch.Tensor) -> float:
        # ignite removes the axis of a single class
        both = (table.view(-1, self.classes)[:, self.chosen] for table in (logits, presences))
        return mean_auc(*both)


def mean_auc(logits: torch.Tensor, presence: torch.Tensor) -> float:
    """Return the mean AUC of classes, from two tensors (B, K); NaN if no class has one.

    The AUC of a class is undefined if it is present in no image or in all images.

    Example:
        >>> presence = torch.tensor([[1.0, UNKNOWN], [0.0, 1.0], [UNKNOWN, 1.0]])
        >>> mean_auc(torch.tensor([[2.0, 0.0], [1.0, 0.0], [9.0, 0.0]]), presence)
        1.0
    """
    areas = []
    for column in range(logits.shape[1]):
        known = presence[:, column] != UNKNOWN
        scores, shown = logits[known, column], presence[known, column]
        if 0 < shown.sum() < len(shown):
            areas.append(float(compute_roc_auc(scores, shown)))
    return sum(areas) / len(areas) if areas else math.nan


def presence_metrics(class_names: Sequence[str]) -> dict[str, PresenceAUC]:
    """Make the metrics of a validation: a ``val_auc_CLASS`` per foreground class.

    Args:
        class_names: of the foreground classes, as the network has them.
    """
    read = from_engine(["pred", "label"])
    return {
        f"val_auc_{name.replace(' ', '_')}": PresenceAUC(
            class_names, of=name, output_transform=read
        )
        for name in class_names
    }
