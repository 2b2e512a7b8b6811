"""From the label map that a bundle predicts to numbered segments, as its config declares them."""

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
    """How one label becomes segments.

    Attributes:
        label: value in the predicted label map, 1 or more.
        kind: what it is, a name of the bundle's channel_def.
        numbered: each connected component is a segment of its own, a lesion; else all of it is
            one, an organ.
        meaning: its codes and colour; None where none are known, which allows no DICOM object.
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
    """Say what a bundle's labels are; what inference.json calls as ``segments``.

    Args:
        class_names: of the labels 0, 1, 2 ...; the first is background.
        numbered: those of which each connected component is a segment of its own.
        connectivity: of these components, 1 to 3.
        class_codes: SNOMED CT codes of classes that are not known by their name; see
            :func:`scripts.datasets.segment_classes.classes_of`.

    Raises:
        ValueError: for no class besides background, a name given twice or that is no class,
            another connectivity, or codes that cannot be read.

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
    """Refuse classes without codes before anything is predicted: no DICOM object can hold them.

    Raises:
        ValueError: for the first of them.
    """
    for rule in rules:
        if rule.meaning is None:
            meaning_of(rule.kind)


def number_segments(
    labels: NDArray[Any], rules: Sequence[SegmentRule]
) -> tuple[NDArray[Any], tuple[Segment, ...]]:
    """Number what was found.

    Args:
        labels: (Z, Y, X), whole numbers, 0 background.
        rules: one per label that the network knows.

    Returns:
        (Z, Y, X) uint8, uint16 from 256 segments on; and its segments. Components of one kind are
        numbered from the largest; an organ without a voxel keeps its number and is listed.

    Raises:
        ValueError: for a label that no rule has, or more than 65535 segments.
    """
    boxes = dict(enumerate(ndimage.find_objects(labels), start=1))
    unknown = sorted({label for label, box in boxes.items() if box} - {r.label for r in rules})
    if unknown:
        raise ValueError(f"segments: no class of the bundle has the labels {unknown}")
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
    """Write the numbers of one label's segments, the largest first; return how many."""
    if not rule.numbered:
        numbers[mask] = first
        return 1
    structure = ndimage.generate_binary_structure(3, rule.connectivity)
    components, count = ndimage.label(mask, structure)
    if first + count > 1 << 16:
        raise ValueError(
            f"segments: {count} pieces of {rule.kind} are more than can be numbered: noise? "
            "raise --threshold, or the bundle's smallest_object_mm3"
        )
    sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
    rank = np.zeros(count + 1, np.uint16)
    rank[1 + np.argsort(-sizes, kind="stable")] = first + np.arange(count)
    numbers += rank[components]
    return int(count)
