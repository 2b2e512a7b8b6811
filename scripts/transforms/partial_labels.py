"""Partial labels: the classes that a voxel may be, given the organs annotated in the patient.

An organ without annotation is part of the background of the label map. Such a voxel's label is
therefore not "background" but a set of candidates, background and every class that is unknown in
the patient; an annotated voxel has one candidate. Sets are tensors (C, ...), 1 where a class is a
candidate: a one-hot label is the case without unknown classes, so that losses, augmentation and
collation need to know nothing else.

Source: labels as sets of candidates, Cour, Sapp, Taskar, Journal of Machine Learning Research 12,
2011; for organs outlined in part of the data, Fang and Yan, IEEE Transactions on Medical Imaging
39(11), 2020.
"""

from __future__ import annotations

from abc import abstractmethod
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
        class_known: bool (C,), whether each class was annotated in the patient.

    Returns:
        uint8 (C, ...).

    Raises:
        ValueError: when a voxel has the value of an unknown class, or of none of the C; or when
            background is unknown.

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
    """Derive from the candidates of one image which classes are known in it.

    A class is unknown when a voxel may be of it or of another one. In an image without background
    every class counts as known, which loses nothing: all its voxels have one candidate.

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


class KnownClassesd(MapTransform):
    """Base of dictionary transforms of labels that depend on the classes annotated in a patient.

    Args:
        keys: labels (1, ...).
        classes: how many the network distinguishes.
        known_key: where the sample says which classes were annotated, background first.

    Raises:
        ValueError: for too few classes.
    """

    background = 1
    """How many of ``classes`` are background."""

    def __init__(
        self,
        keys: KeysCollection,
        classes: int,
        *,
        known_key: str = "class_known",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if classes < 1 + self.background:
            raise ValueError(f"classes: must be at least {1 + self.background}, got {classes}")
        self.classes = classes
        self.known_key = known_key

    @abstractmethod
    def convert(self, label: torch.Tensor, class_known: torch.Tensor) -> torch.Tensor:
        """Convert one label; the affine is kept where the result has its grid."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert every key.

        Raises:
            ValueError: when the data were prepared with another number of classes, or do not say
                what was annotated, as those of nodules.
        """
        result = dict(data)
        known, expected = data.get(self.known_key), self.classes + 1 - self.background
        if known is None or len(known) != expected:
            raise ValueError(
                f"{self.known_key}: must be {expected} times true or false, background first, got "
                f"{known}; the data must be prepared as classes (`prepare DATASET`), as many as "
                "the config has"
            )
        for key in self.key_iterator(result):
            label = result[key]
            has_affine = isinstance(label, MetaTensor)
            converted = self.convert(label.as_tensor() if has_affine else label, known)
            if has_affine and converted.shape[1:] == label.shape[1:]:
                converted = MetaTensor(
                    converted, meta=label.meta, applied_operations=label.applied_operations
                )
            result[key] = converted
        return result


class CandidateClassesd(KnownClassesd):
    """Dictionary form of :func:`candidate_classes`, the last step before a loss.

    ``classes`` includes background.
    """

    def convert(self, label: torch.Tensor, class_known: torch.Tensor) -> torch.Tensor:
        """Convert (1, ...) class values to (C, ...) candidates."""
        return candidate_classes(label, class_known)
