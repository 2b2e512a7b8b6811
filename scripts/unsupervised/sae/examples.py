"""Voxels of training patients with their labels, for methods that label voxels by example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.unsupervised.ct_stacks import Case, read_label, read_stack
from scripts.unsupervised.sae.patches import (
    Mask,
    Patches,
    PatchReader,
    Voxels,
    chosen_evenly,
    most_of_a_slice,
    near_border,
    some_of_both,
)
from scripts.unsupervised.sae.regions import region_of

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Examples:
    """Labelled voxels.

    Attributes:
        patches: (N, values), standardised.
        place: (N, 3), see :class:`scripts.unsupervised.sae.regions.Region`.
        labels: (N,); of nodules 0 or 1, of organs the class.
    """

    patches: Patches
    place: NDArray[np.float64]
    labels: Labels


def read_examples(
    cases: Sequence[Case], reader: PatchReader, kind: str, *, count: int, seed: int
) -> Examples:
    """Read labelled voxels of the regions of training slices, half near a border of the labels.

    In a patient in whom a class was not annotated that others have, background may be that class:
    of such a patient only the annotated voxels are taken.

    Args:
        cases: training samples.
        reader: of the patches.
        kind: of the labels: ``instances`` or ``classes``.
        count: wanted number; fewer where the regions have fewer voxels.
        seed: of the draw.

    Raises:
        ValueError: when no two labels are among them.
    """
    learnt, most = _known_anywhere(cases), most_of_a_slice(len(cases))
    draws = (np.random.default_rng([seed, number]) for number in range(len(cases)))
    labelled = []
    for case, random in zip(cases, draws, strict=True):
        voxels = _labelled(case, reader, kind, learnt)
        labelled.append(voxels.take(some_of_both(voxels.near, most, random)))
    chosen = chosen_evenly([voxels.near for voxels in labelled], count, seed)
    taken = [voxels.take(picked) for voxels, picked in zip(labelled, chosen, strict=True)]
    labels = np.concatenate([voxels.labels for voxels in taken])
    if len(np.unique(labels)) < 2:
        raise ValueError(
            f"datalist: the {len(cases)} training slices must have voxels of two labels at least, "
            f"got {np.unique(labels).tolist()}"
        )
    patches = [
        reader.read(read_stack(case, reader.shape.slices).hu, voxels.voxels)
        for case, voxels in zip(cases, taken, strict=True)
    ]
    return Examples(
        np.concatenate(patches), np.concatenate([voxels.place for voxels in taken]), labels
    )


@dataclass(frozen=True)
class _Labelled:
    """Voxels of a slice (N, 3) with place, label, and whether a border of the labels is near."""

    voxels: Voxels
    place: NDArray[np.float64]
    labels: Labels
    near: Mask

    def take(self, chosen: NDArray[np.int64] | Mask) -> _Labelled:
        """Return some of the voxels."""
        return _Labelled(
            self.voxels[chosen], self.place[chosen], self.labels[chosen], self.near[chosen]
        )


def _labelled(case: Case, reader: PatchReader, kind: str, learnt: Sequence[bool]) -> _Labelled:
    """Return the usable voxels of a case's region."""
    stack = read_stack(case, reader.shape.slices)
    region, label = region_of(case, stack, kind), read_label(case)
    near = near_border(label, stack.spacing_mm[1:].tolist())
    index = tuple((region.voxels - [stack.rows.start, 0, 0]).T)
    values = label[index]
    usable = (values > 0) | _background_is_known(case, learnt)
    if kind == "instances":
        values = (values > 0).astype(np.uint8)
    return _Labelled(region.voxels, region.place, values, near[index]).take(usable)


def _known_anywhere(cases: Sequence[Case]) -> list[bool]:
    """Return which classes are annotated in at least one of the cases."""
    known = [case["class_known"] for case in cases if "class_known" in case]
    return [any(each) for each in zip(*known, strict=True)]


def _background_is_known(case: Mapping[str, object], learnt: Sequence[bool]) -> bool:
    known = case.get("class_known")
    if not isinstance(known, (list, tuple)):
        return True
    return all(known[k] for k, anywhere in enumerate(learnt) if anywhere)
