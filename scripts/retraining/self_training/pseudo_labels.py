"""Pseudo-labels: what a network is sure of in unlabelled images, stored as labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from numpy.typing import NDArray

from scripts.datasets.datalist import class_names_of
from scripts.retraining.self_training.division import LABEL_KIND, Division, Entry
from scripts.storage.files import atomic_path
from scripts.volumes.formats.nifti import nifti_of
from scripts.volumes.geometry import reverse_axes
from scripts.volumes.grids import stored_grid

Labels = NDArray[np.uint8]

UNKNOWN_VALUE = 255
"""Value of stored pseudo-labels where the network is unsure."""


@dataclass(frozen=True)
class PseudoLabels:
    """How probabilities become labels.

    Args:
        sure: probability from which a voxel gets a label; voxels whose most probable class has less
            are unknown. Of single lesions, voxels from 1 - sure to sure are unknown.
        known: which classes are outlined in any labelled patient, background first; the others are
            part of the background, as no network can have learnt them. None for single lesions.
    """

    sure: float = 0.9
    known: tuple[bool, ...] | None = None

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            ValueError: for a probability that is not above 0.5 and below 1.
        """
        if not (isinstance(self.sure, (int, float)) and 0.5 < self.sure < 1):
            raise ValueError(f"sure: must be above 0.5 and below 1, got {self.sure!r}")

    @classmethod
    def of(cls, division: Division, sure: float) -> PseudoLabels:
        """Return those of a data set, by the classes that its labelled patients have."""
        names = class_names_of(division.content)
        if division.content.get("kind", "instances") == "instances":
            return cls(sure)
        flags = [e["class_known"] for e in division.entries(division.labelled)]
        known = [any(of_patient[k] for of_patient in flags) for k in range(len(names))]
        return cls(sure, tuple(known))

    def classes(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Return the probabilities (C, ...) of background and each known class.

        Args:
            probabilities: (C, ...) of a network; (1, ...) of single lesions.
        """
        if self.known is None:
            return torch.cat([1 - probabilities, probabilities])
        known = torch.tensor(self.known)
        kept = probabilities * known.view(-1, *[1] * (probabilities.ndim - 1))
        kept[0] += probabilities[~known].sum(dim=0)
        return kept

    def label(self, probabilities: torch.Tensor) -> NDArray[np.uint8]:
        """Return the label (...): the class of each voxel, or :data:`UNKNOWN_VALUE`.

        Example:
            >>> PseudoLabels().label(torch.tensor([[[0.05, 0.5, 0.95]]])).tolist()
            [[0, 255, 1]]
        """
        highest, chosen = self.classes(probabilities).max(dim=0)
        label = chosen.masked_fill(highest < self.sure, UNKNOWN_VALUE)
        return np.asarray(label.numpy().astype(np.uint8))

    def entry(self, image: Mapping[str, Any], label: Path) -> Entry:
        """Return the entry of a slice or volume with its pseudo-label."""
        own: Entry = {"label": str(label), "label_kind": LABEL_KIND, "unknown_value": UNKNOWN_VALUE}
        return {**image, **own, **({} if self.known is None else {"class_known": list(self.known)})}


def write_pseudo_labels(
    maps: Iterable[tuple[Mapping[str, Any], torch.Tensor]], folder: Path, how: PseudoLabels
) -> list[Entry]:
    """Store the labels of slices as stacks like those of their images, of volumes as NIfTI.

    Slices of a stack that are no samples are unknown.

    Args:
        maps: entry of each slice with its probabilities, slices of one stack after one another; or
            of each volume with those in LPS index order, (C, X, Y, Z).
        folder: to write into, a file for each stack or volume.
        how: probabilities become labels.

    Returns:
        The entries with their labels, in the same order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labelled: list[Entry] = []
    by_image = groupby(maps, key=lambda one: one[0]["image"])
    for number, (_, found) in enumerate(by_image):
        labels = [(entry, how.label(probabilities)) for entry, probabilities in found]
        write = _write_stack if "rows" in labels[0][0] else _write_volume
        path = write(labels, folder / f"{number:04d}")
        labelled += [how.entry(entry, path) for entry, _ in labels]
    return labelled


def _write_stack(labels: Sequence[tuple[Mapping[str, Any], Labels]], name: Path) -> Path:
    shape = np.load(labels[0][0]["image"], mmap_mode="r", allow_pickle=False).shape
    stack = np.full(shape, UNKNOWN_VALUE, np.uint8)
    for entry, label in labels:
        stack[middle_row(entry)] = label
    file = name.with_suffix(".npy")
    with atomic_path(file) as part, part.open("wb") as stream:
        np.save(stream, stack, allow_pickle=False)
    return file


def _write_volume(labels: Sequence[tuple[Mapping[str, Any], Labels]], name: Path) -> Path:
    ((entry, label),) = labels
    file = name.with_suffix(".nii.gz")
    with atomic_path(file) as part:
        nibabel.save(nifti_of(reverse_axes(label), stored_grid(entry["image"]).affine), part)
    return file


def middle_row(entry: Mapping[str, Any]) -> int:
    """Return the row of an entry's own slice in its stacks."""
    rows = list(entry["rows"])
    return int(rows[len(rows) // 2])
