"""The transforms of labelled samples, for samples without labels."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from monai.transforms import CopyItemsd, MapTransform

LABELS = ("label",)
"""Keys of a sample that hold annotations."""


def without_labels(transforms: Sequence[Any]) -> list[Any]:
    """Return a config's transforms without those of labels, for a pretraining.

    A transform of images and labels is copied with the images' keys only; one of labels alone is
    left out. What ``CopyItemsd`` copies from a label is a label too. The images are the same as
    with labels.

    Args:
        transforms: of samples with the keys ``image`` and ``label``, built; not changed.

    Example:
        >>> from monai.transforms import AsDiscreted, Flipd
        >>> both = [Flipd(["image", "label"]), AsDiscreted("label", threshold=0.5)]
        >>> [one.keys for one in without_labels(both)]
        [('image',)]
    """
    labels = set(LABELS)
    remaining: list[Any] = []
    for transform in transforms:
        kept = [key for key in getattr(transform, "keys", ()) if key not in labels]
        if not isinstance(transform, MapTransform) or len(kept) == len(transform.keys):
            remaining.append(transform)
            continue
        reduced = copy.copy(transform)
        reduced.keys = tuple(kept)
        if isinstance(transform, CopyItemsd):
            pairs = list(zip(transform.keys * transform.times, transform.names, strict=True))
            reduced.names = tuple(name for key, name in pairs if key not in labels)
            labels |= {name for key, name in pairs if key in labels}
        if kept:
            remaining.append(reduced)
    return remaining
