"""Labels that tell only part of the truth: which classes a voxel may be, given what was outlined.

An organ that nobody outlined in a patient cannot be told from background there. Such a voxel's
label is not "background" but a set of candidates, background and every class that is unknown in
the patient; an outlined voxel has one candidate. Sets are tensors (C, ...), 1 where a class is a
candidate: a one-hot label is the case without unknown classes, so that losses, augmentation and
collation need to know nothing else.

Source: labels as sets of candidates, Cour, Sapp, Taskar, Journal of Machine Learning Research 12,
2011; for organs outlined in part of the data, Fang and Yan, IEEE Transactions on Medical Imaging
39(11), 2020.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform


def candidate_classes(label: torch.Tensor, class_known: torch.Tensor) -> torch.Tensor:
    """Turn class values into sets of candidates.

    Args:
        label: (1, ...), the class of each voxel, 0 for background.
        class_known: bool (C,), whether the patient's outlines tell of each class.

    Returns:
        uint8 (C, ...).

    Raises:
        ValueError: when a voxel is of a class that is said to be unknown, or of none of the C; or
            when background is said to be unknown.

    Example:
        >>> label = torch.tensor([[0, 1, 2]])
        >>> candidate_classes(label, torch.tensor([True, True, True, False])).T
        tensor([[1, 0, 0, 1],
                [0, 1, 0, 0],
                [0, 0, 1, 0]], dtype=torch.uint8)
    """
    values = label.long()
    known = torch.as_tensor(class_known, dtype=torch.bool, device=label.device)
    if values.shape[0] != 1 or not known[0]:
        raise ValueError(
            f"label, class_known: must be (1, ...) with a known background, got "
            f"{tuple(label.shape)} and {known.tolist()}"
        )
    shown = torch.unique(values)
    if shown[0] < 0 or shown[-1] >= len(known) or not known[shown].all():
        classes = [k for k, is_known in enumerate(known.tolist()) if is_known]
        raise ValueError(
            f"label: must be of the known classes {classes}, got {shown.tolist()}; prepare again, "
            "with the classes that the config names"
        )
    numbers = torch.arange(len(known), device=label.device).view(-1, *[1] * (values.ndim - 1))
    unknown = (~known).view_as(numbers) & (values == 0)
    return ((numbers == values) | unknown).to(torch.uint8)


def known_classes(candidates: torch.Tensor) -> torch.Tensor:
    """Say of which classes the candidates of one image tell.

    A class is unknown where some voxel may be of it or of another one. In an image without any
    background nothing can be said, and nothing is lost: all its voxels have one candidate.

    Args:
        candidates: (C, ...).

    Returns:
        bool (C,); background always.

    Example:
        >>> known_classes(torch.tensor([[1, 0], [0, 1], [1, 0]]))
        tensor([ True,  True, False])
    """
    several = candidates.sum(dim=0) > 1
    known = ~candidates[:, several].bool().any(dim=1)
    known[0] = True
    return known


def told_classes(data: Mapping[Hashable, Any], key: str, classes: int) -> Any:
    """Return which classes a sample's outlines tell of, (``classes``,), background first.

    Raises:
        ValueError: when the data were prepared with another number of classes, or say nothing of
            what was outlined, as those of nodules.
    """
    known = data.get(key)
    if known is None or len(known) != classes:
        raise ValueError(
            f"{key}: must be {classes} times true or false, background first, got {known}; the "
            "data must come from `prepare ircadb`, with the classes of the config (--tumour adds "
            "a fifth)"
        )
    return known


class CandidateClassesd(MapTransform):
    """Dictionary form of :func:`candidate_classes`, the last step before a loss.

    Args:
        keys: labels (1, ...).
        classes: how many the network tells apart, background included.
        known_key: where the sample says which of them its patient's outlines tell of.
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
        if classes < 2:
            raise ValueError(f"classes: must be at least 2, background and another, got {classes}")
        self.classes = classes
        self.known_key = known_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn every key.

        Raises:
            ValueError: see :func:`told_classes`.
        """
        result = dict(data)
        known = told_classes(data, self.known_key, self.classes)
        for key in self.key_iterator(result):
            label = result[key]
            plain = label.as_tensor() if isinstance(label, MetaTensor) else label
            candidates = candidate_classes(plain, known)
            if isinstance(label, MetaTensor):
                candidates = MetaTensor(
                    candidates, meta=label.meta, applied_operations=label.applied_operations
                )
            result[key] = candidates
        return result
