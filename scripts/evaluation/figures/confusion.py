"""Voxel counts (TP, FP, FN, TN), and the figures computed from them.

Empty cases, which other tools omit or score inconsistently, follow these rules:

==============================  ====  ====  ===========  ===========
annotation / prediction         Dice  IoU   sensitivity  specificity
==============================  ====  ====  ===========  ===========
nothing / nothing               1     1     undefined    1
nothing / something             0     0     undefined    TN/(TN+FP)
something / nothing             0     0     0            1
==============================  ====  ====  ===========  ===========

Undefined values are NaN here, null in JSON and an empty cell in CSV; reports count them.
Specificity is undefined only if every voxel is annotated.

Source: sensitivity, specificity and Dice as in Ma et al., J. Computer Applications 40(7), 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Confusion:
    """Numbers of voxels: true positive, false positive, false negative, true negative.

    Counts of several cases add up: the sum's Dice is the pooled Dice.

    Raises:
        ValueError: when a count is negative.

    Example:
        >>> (Confusion(tp=3, fp=1, fn=0, tn=4) + Confusion(tp=1, fp=0, fn=1, tn=6)).dice
        0.8
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __post_init__(self) -> None:
        """Check that counts are not negative."""
        counts = (self.tp, self.fp, self.fn, self.tn)
        if min(counts) < 0:
            raise ValueError(f"tp, fp, fn, tn: must be at least 0, got {counts}")

    def __add__(self, other: Confusion) -> Confusion:
        """Pool two sets of counts."""
        return Confusion(
            self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn
        )

    @property
    def sensitivity(self) -> float:
        """TP / (TP + FN); NaN if nothing is annotated."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """TN / (FP + TN); NaN if everything is annotated."""
        return _ratio(self.tn, self.fp + self.tn)

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN); 1 if nothing is annotated or predicted."""
        return 1.0 if self.is_empty else _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN); 1 if nothing is annotated or predicted."""
        return 1.0 if self.is_empty else _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is annotated or predicted."""
        return self.tp + self.fp + self.fn == 0

    @property
    def is_false_alarm(self) -> bool:
        """Whether there is a prediction but no annotation."""
        return self.tp + self.fn == 0 and self.fp > 0

    @property
    def is_missed(self) -> bool:
        """Whether there is an annotation but no prediction."""
        return self.tp + self.fp == 0 and self.fn > 0


def _ratio(numerator: int, denominator: int) -> float:
    """Divide; NaN if the denominator is zero."""
    return numerator / denominator if denominator else math.nan


def count_voxels(prediction: Mask, annotation: Mask, *, within: Mask | None = None) -> Confusion:
    """Count the voxels of two masks of one shape.

    Args:
        prediction: mask of the network.
        annotation: mask of the reader.
        within: mask of the voxels to count; None for all.

    Raises:
        ValueError: when the shapes differ.

    Example:
        >>> import numpy as np
        >>> count_voxels(np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool))
        Confusion(tp=1, fp=1, fn=1, tn=1)
    """
    shapes = {mask.shape for mask in (prediction, annotation, within) if mask is not None}
    if len(shapes) > 1:
        raise ValueError(f"prediction, annotation, within: must have one shape, got {shapes}")
    if within is not None:
        prediction, annotation = prediction[within], annotation[within]
    tp = int(np.count_nonzero(prediction & annotation))
    fp = int(np.count_nonzero(prediction)) - tp
    fn = int(np.count_nonzero(annotation)) - tp
    return Confusion(tp, fp, fn, prediction.size - tp - fp - fn)
