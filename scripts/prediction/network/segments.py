"""Numbered segments of a predicted label map, by the rules of the bundle's config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scripts.datasets.segment_classes import SegmentClass, classes_of, meaning_of
from scripts.prediction.result import Segment


@dataclass(frozen=True)
class SegmentRule:
    """The conversion of one label to segments.

    Attributes:
        label: value in the predicted label map, 1 or more.
        kind: its class, a name of the bundle's channel_def.
        numbered: whether each connected component is a separate segment, a lesion; otherwise the
            whole label is one, an organ.
        meaning: codes and colour; None without known codes, which precludes DICOM objects.
        connectivity: 1 joins voxels by faces, 2 by edges too, 3 by corners too.
    """

    label: int
    kind: str
    numbered: bool
    connectivity: int = 3
    meaning: SegmentClass | None = None


def declare_segments(
    class_names: Sequence[str],
    *,
    numbered: Sequence[str] = (),
    connectivity: int = 3,
    class_codes: Mapping[str, str | Mapping[str, Any]] | None = None,
) -> tuple[SegmentRule, ...]:
    """Declare the meaning of a bundle's labels; called as ``segments`` in inference.json.

    Args:
        class_names: of the labels 0, 1, 2 ...; the first is background.
        numbered: classes of which each connected component is a separate segment.
        connectivity: of these components, 1 to 3.
        class_codes: SNOMED CT codes of classes whose name has no known code; see
            :func:`scripts.datasets.segment_classes.classes_of`.

    Raises:
        ValueError: without a class besides background, for a duplicate or unknown name, another
            connectivity, or codes that cannot be read.

    Example:
        >>> [rule.kind for rule in declare_segments(["background", "liver", "bone"])]
        ['liver', 'bone']
    """
    kinds = [str(name) for name in class_names[1:]]
    if not kinds or len(set(kinds)) < len(kinds):
        raise ValueError(
            f"class_names: must be background and one or more classes, each once, got "
            f"{list(class_names)}"
        )
    unknown = sorted(set(numbered) - set(kinds))
    if unknown:
        raise ValueError(f"numbered: must be of {', '.join(kinds)}, got {', '.join(unknown)}")
    if connectivity not in (1, 2, 3):
        raise ValueError(f"connectivity: must be 1, 2 or 3, got {connectivity!r}")
    meanings = classes_of(kinds, class_codes, lesions=numbered)
    return tuple(
        SegmentRule(label, kind, kind in numbered, connectivity, meanings[kind])
        for label, kind in enumerate(kinds, start=1)
    )


def check_codes(rules: Sequence[SegmentRule]) -> None:
    """Check, before anything is predicted, that all classes have codes for DICOM objects.

    Raises:
        ValueError: for the first class without codes.
    """
    for rule in rules:
        if rule.meaning is None:
            meaning_of(rule.kind)


def number_segments(
    labels: NDArray[Any], rules: Sequence[SegmentRule]
) -> tuple[NDArray[Any], tuple[Segment, ...]]:
    """Number the segments of a label map.

    Args:
        labels: (Z, Y, X), whole numbers, 0 background.
        rules: one per label of the network.

    Returns:
        (Z, Y, X) uint8, or uint16 from 256 segments on, and the segments. Components of one kind
        are numbered from the largest; an organ without a voxel is listed too.

    Raises:
        ValueError: for a label without a rule, or more than 65535 segments.
    """
    boxes = dict(enumerate(ndimage.find_objects(labels), start=1))
    unknown = sorted({label for label, box in boxes.items() if box} - {r.label for r in rules})
    if unknown:
        raise ValueError(f"segments: labels {unknown} belong to no class of the bundle")
    numbers = np.zeros(labels.shape, np.uint16)
    segments: list[Segment] = []
    for rule in rules:
        first, box = len(segments) + 1, boxes.get(rule.label)
        count = 0 if box is None else _number(numbers[box], labels[box] == rule.label, rule, first)
        if not rule.numbered:
            segments.append(Segment(first, rule.kind, rule.kind))
            continue
        segments += [
            Segment(first + n, rule.kind, f"{rule.kind} {n + 1}", lesion=True) for n in range(count)
        ]
    small = len(segments) < 256
    return (numbers.astype(np.uint8) if small else numbers), tuple(segments)


def _number(
    numbers: NDArray[np.uint16], mask: NDArray[np.bool_], rule: SegmentRule, first: int
) -> int:
    """Write the numbers of one label's segments, the largest first; return their count."""
    if not rule.numbered:
        numbers[mask] = first
        return 1
    structure = ndimage.generate_binary_structure(3, rule.connectivity)
    components, count = ndimage.label(mask, structure)
    if first + count > 1 << 16:
        raise ValueError(
            f"segments: {count} components of {rule.kind} are more than can be numbered, probably "
            "noise; raise --threshold, or the bundle's smallest_object_mm3"
        )
    sizes = component_sizes(components, count)
    rank = np.zeros(count + 1, np.uint16)
    rank[1 + np.argsort(-sizes, kind="stable")] = first + np.arange(count)
    for plane, parts in zip(numbers, components, strict=True):  # in place, for memory
        plane += rank[parts]
    return int(count)


def component_sizes(components: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Return the number of voxels of each component, 1 to ``count``.

    Args:
        components: (Z, Y, X), the number of the component in each voxel, 0 background. It is
            counted slice by slice, as numpy counts in copies of 8 bytes for each voxel.
        count: of the components.
    """
    sizes = np.zeros(count + 1, np.int64)
    for plane in components:
        voxels = np.bincount(plane.ravel())
        sizes[: len(voxels)] += voxels
    return sizes[1:]
