"""Voxels of training patients with their labels, for methods that label voxels by example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.unsupervised.ct_stacks import Case, read_label, read_stack
from scripts.unsupervised.patches import Patches, PatchReader, chosen_evenly, near_border
from scripts.unsupervised.regions import Region, region_of

Labels = NDArray[np.uint8]


@dataclass(frozen=True)
class Examples:
    """Labelled voxels.

    Attributes:
        patches: (N, values), standardised.
        place: (N, 3), see :class:`scripts.unsupervised.regions.Region`.
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
    learnt = _known_anywhere(cases)
    regions = [_labelled(case, reader, kind, learnt) for case in cases]
    chosen = chosen_evenly([near for _, _, near in regions], count, seed)
    patches, places, labels = [], [], []
    for case, (region, values, _), picked in zip(cases, regions, chosen, strict=True):
        if len(picked):
            hu = read_stack(case, reader.shape.slices).hu
            patches.append(reader.read(hu, region.voxels[picked]))
            places.append(region.place[picked])
            labels.append(values[picked])
    found = np.unique(np.concatenate(labels)) if labels else np.zeros(0)
    if len(found) < 2:
        raise ValueError(
            f"datalist: the {len(cases)} training slices must have voxels of two labels at least, "
            f"got {found.tolist()}"
        )
    return Examples(np.concatenate(patches), np.concatenate(places), np.concatenate(labels))


def _labelled(
    case: Case, reader: PatchReader, kind: str, learnt: Sequence[bool]
) -> tuple[Region, Labels, NDArray[np.bool_]]:
    """Return the usable voxels of a case's region, their labels, and which are near a border."""
    stack = read_stack(case, reader.shape.slices)
    region, label = region_of(case, stack, kind), read_label(case)
    near = near_border(label, stack.spacing_mm[1:].tolist())
    index = tuple((region.voxels - [stack.rows.start, 0, 0]).T)
    values = label[index]
    usable = (values > 0) | _background_is_known(case, learnt)
    chosen = Region(region.voxels[usable], region.place[usable])
    if kind == "instances":
        values = (values > 0).astype(np.uint8)
    return chosen, values[usable], near[index][usable]


def _known_anywhere(cases: Sequence[Case]) -> list[bool]:
    """Return which classes are annotated in at least one of the cases."""
    known = [case["class_known"] for case in cases if "class_known" in case]
    return [any(each) for each in zip(*known, strict=True)]


def _background_is_known(case: Mapping[str, object], learnt: Sequence[bool]) -> bool:
    known = case.get("class_known")
    if not isinstance(known, (list, tuple)):
        return True
    return all(known[k] for k, anywhere in enumerate(learnt) if anywhere)
