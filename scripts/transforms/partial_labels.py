"""Partial labels: the possible classes of each voxel, given the organs annotated in the patient.

An organ without annotation is part of the background of the label map. The label of a background
voxel is therefore a set of candidates, background and each class that is unknown in the patient;
an annotated voxel has one candidate. Sets are tensors (C, ...), 1 for a candidate class. A one-hot
label is the case without unknown classes, so that losses, augmentation and collation treat both
alike. A voxel of which nothing is known, :data:`UNKNOWN_VOXEL`, has every class as a candidate.

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

UNKNOWN_VOXEL = -1
"""Value of a label where nothing is known, such as where the network that gave it was unsure.

A training does not learn from these voxels."""


def candidate_classes(label: torch.Tensor, class_known: torch.Tensor) -> torch.Tensor:
    """Convert class values to sets of candidates.

    Args:
        label: (1, ...), the class of each voxel, 0 for background, or :data:`UNKNOWN_VOXEL`.
        class_known: bool (C,), whether each class was annotated in the patient.

    Returns:
        uint8 (C, ...).

    Raises:
        ValueError: when a value is that of an unknown class or not below C, or background is
            unknown.

    Example:
        >>> label = torch.tensor([[0, 1, 2]])
        >>> candidate_classes(label, torch.tensor([True, True, True, False])).T
        tensor([[1, 0, 0, 1],
                [0, 1, 0, 0],
                [0, 0, 1, 0]], dtype=torch.uint8)
    """
    values = label.long()
    anything = values == UNKNOWN_VOXEL
    values = values.masked_fill(anything, 0)
    known = torch.as_tensor(class_known, dtype=torch.bool, device=label.device)
    if values.shape[0] != 1 or not known[0]:
        raise ValueError(
            f"label, class_known: must be (1, ...) with a known background, got "
            f"{tuple(label.shape)} and {known.tolist()}"
        )
    present = torch.unique(values)
    if present[0] < 0 or present[-1] >= len(known) or not known[present].all():
        classes = [k for k, is_known in enumerate(known.tolist()) if is_known]
        raise ValueError(
            f"label: must be of the known classes {classes}, got {present.tolist()}; prepare "
            "again, with the classes that the config names"
        )
    numbers = torch.arange(len(known), device=label.device).view(-1, *[1] * (values.ndim - 1))
    unknown = (~known).view_as(numbers) & (values == 0)
    return ((numbers == values) | unknown | anything).to(torch.uint8)


def lesion_label(label: torch.Tensor) -> torch.Tensor:
    """Convert numbers of lesions to 1 inside any of them and 0 outside, as a loss takes them.

    Args:
        label: (1, ...), the number of each voxel's lesion, 0 for none, or :data:`UNKNOWN_VOXEL`.

    Returns:
        float32 of the same shape; unknown voxels stay unknown.

    Example:
        >>> lesion_label(torch.tensor([[0, 1, 3, UNKNOWN_VOXEL]]))
        tensor([[ 0.,  1.,  1., -1.]])
    """
    unknown = label < 0  # not == -1, which is true of 255 in a label of 8 bits
    return (label > 0).float().masked_fill(unknown, UNKNOWN_VOXEL)


def known_classes(candidates: torch.Tensor) -> torch.Tensor:
    """Derive the known classes of an image from its candidates.

    A class is unknown when it is one of several candidates of a voxel. In an image without
    background every class counts as known, because all its voxels have one candidate.

    Args:
        candidates: (C, ...).

    Returns:
        bool (C,); background is always known.

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
        classes: number of classes that the network distinguishes.
        known_key: key of the flags which classes were annotated, background first.
        all_known: for data without these flags in which every class is annotated in every patient,
            such as a user's own labels in MONAI Label.
        allow_missing_keys: skip keys that an item lacks.

    Raises:
        ValueError: for too few classes.
    """

    background = 1
    """Number of background classes in ``classes``."""

    def __init__(
        self,
        keys: KeysCollection,
        classes: int,
        *,
        known_key: str = "class_known",
        all_known: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if classes < 1 + self.background:
            raise ValueError(f"classes: must be at least {1 + self.background}, got {classes}")
        self.classes = classes
        self.known_key = known_key
        self.all_known = all_known

    @abstractmethod
    def convert(self, label: torch.Tensor, class_known: torch.Tensor) -> torch.Tensor:
        """Convert one label."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert every key; the affine is kept if the result has the label's spatial shape.

        Raises:
            ValueError: when the data were prepared with another number of classes, or do not state
                the annotated classes, as data of nodules.
        """
        result = dict(data)
        known, expected = data.get(self.known_key), self.classes + 1 - self.background
        if known is None and self.all_known:
            known = torch.ones(expected, dtype=torch.bool)
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
    """Dictionary form of :func:`candidate_classes`, the last transform before the loss.

    ``classes`` includes background.
    """

    def convert(self, label: torch.Tensor, class_known: torch.Tensor) -> torch.Tensor:
        """Convert (1, ...) class values to (C, ...) candidates."""
        return candidate_classes(label, class_known)


class LesionLabeld(MapTransform):
    """Dictionary form of :func:`lesion_label`, for data of single lesions."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert every key; a MetaTensor keeps its affine."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[key] = lesion_label(torch.as_tensor(result[key]))
        return result


class UnknownVoxelsd(MapTransform):
    """Replace a sample's ``unknown_value`` in its labels by :data:`UNKNOWN_VOXEL`.

    For whole volumes; of slices :class:`scripts.datasets.stored_slices.LoadSlicesd` does it. Labels
    of samples without that entry stay as they are; others become int16, a MetaTensor with its
    affine.

    Example:
        >>> sample = {"label": torch.tensor([[0, 1, 255]]), "unknown_value": 255}
        >>> UnknownVoxelsd("label")(sample)["label"].tolist()
        [[0, 1, -1]]
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert every key."""
        result = dict(data)
        value = data.get("unknown_value")
        if value is None:
            return result
        for key in self.key_iterator(result):
            label = torch.as_tensor(result[key])
            unknown = torch.eq(label, int(value))
            result[key] = label.to(torch.int16).masked_fill(unknown, UNKNOWN_VOXEL)
        return result
