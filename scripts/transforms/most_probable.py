"""Label maps of the most probable class of each voxel."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform


def most_probable(probabilities: torch.Tensor) -> torch.Tensor:
    """Label each voxel with its most probable class, the first of equal ones.

    Equals ``argmax``, in a tenth of the time and an eighth of the memory: ``argmax`` over the first
    dimension of a volume is not vectorised, and its labels are 64-bit numbers.

    Args:
        probabilities: (K, ...), at most 256 classes; logits give the same result.

    Returns:
        (1, ...) uint8.

    Raises:
        ValueError: for more than 256 classes.

    Example:
        >>> import torch
        >>> most_probable(torch.tensor([[0.2, 0.5], [0.7, 0.5], [0.1, 0.0]]))
        tensor([[1, 0]], dtype=torch.uint8)
    """
    if len(probabilities) > 256:
        raise ValueError(f"probabilities: must be of at most 256 classes, got {len(probabilities)}")
    best = probabilities[0].clone()
    labels = torch.zeros_like(best, dtype=torch.uint8)
    for label, one in enumerate(probabilities[1:], start=1):
        labels.masked_fill_(one > best, label)
        torch.maximum(best, one, out=best)
    return labels[None]


class MostProbableClassd(MapTransform):
    """Dictionary form of :func:`most_probable`; the affine and the history are kept."""

    def __init__(self, keys: KeysCollection, *, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, Any]:
        """Convert the probabilities of every key."""
        result = dict(data)
        for key in self.key_iterator(result):
            scores = result[key]
            if isinstance(scores, MetaTensor):
                labels = most_probable(scores.as_tensor())
                result[key] = MetaTensor(
                    labels, meta=scores.meta, applied_operations=scores.applied_operations
                )
            else:
                result[key] = most_probable(scores)
        return result
