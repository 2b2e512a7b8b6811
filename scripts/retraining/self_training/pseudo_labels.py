"""Pseudo-labels: what a network is sure of in unlabelled slices, stored as labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scripts.datasets.datalist import class_names_of
from scripts.retraining.self_training.division import LABEL_KIND, Division, Entry
from scripts.storage.files import atomic_path

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
        """Return the probabilities (C, H, W) of background and each known class.

        Args:
            probabilities: (C, H, W) of a network; (1, H, W) of single lesions.
        """
        if self.known is None:
            return torch.cat([1 - probabilities, probabilities])
        known = torch.tensor(self.known)
        kept = probabilities * known.view(-1, 1, 1)
        kept[0] += probabilities[~known].sum(dim=0)
        return kept

    def label(self, probabilities: torch.Tensor) -> NDArray[np.uint8]:
        """Return the label (H, W): the class of each voxel, or :data:`UNKNOWN_VALUE`.

        Example:
            >>> PseudoLabels().label(torch.tensor([[[0.05, 0.5, 0.95]]])).tolist()
            [[0, 255, 1]]
        """
        highest, chosen = self.classes(probabilities).max(dim=0)
        label = chosen.masked_fill(highest < self.sure, UNKNOWN_VALUE)
        return np.asarray(label.numpy().astype(np.uint8))

    def entry(self, image: Mapping[str, Any], label: Path) -> Entry:
        """Return the entry of a slice with its pseudo-label."""
        own: Entry = {"label": str(label), "label_kind": LABEL_KIND, "unknown_value": UNKNOWN_VALUE}
        return {**image, **own, **({} if self.known is None else {"class_known": list(self.known)})}


def write_pseudo_labels(
    maps: Iterable[tuple[Mapping[str, Any], torch.Tensor]], folder: Path, how: PseudoLabels
) -> list[Entry]:
    """Store the labels of slices as stacks like those of their images.

    Slices of a stack that are no samples are unknown.

    Args:
        maps: entry of each slice with its probabilities; slices of one stack follow one another.
        folder: to write into, a file for each stack.
        how: probabilities become labels.

    Returns:
        The entries with their labels, in the same order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labelled: list[Entry] = []
    by_stack = groupby(maps, key=lambda one: one[0]["image"])
    for number, (image, slices) in enumerate(by_stack):
        path = folder / f"{number:04d}.npy"
        shape = np.load(image, mmap_mode="r", allow_pickle=False).shape
        stack = np.full(shape, UNKNOWN_VALUE, np.uint8)
        for entry, probabilities in slices:
            stack[middle_row(entry)] = how.label(probabilities)
            labelled.append(how.entry(entry, path))
        with atomic_path(path) as part, part.open("wb") as file:
            np.save(file, stack, allow_pickle=False)
    return labelled


def middle_row(entry: Mapping[str, Any]) -> int:
    """Return the row of an entry's own slice in its stacks."""
    rows = list(entry["rows"])
    return int(rows[len(rows) // 2])
