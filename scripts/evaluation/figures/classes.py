"""Figures of several classes, from their confusion matrix.

A class that is unknown in a patient is merged with background, as in the loss: its predictions
count as background, and it has no figures. A predicted kidney in a patient without annotated
kidneys is neither right nor wrong; inside the annotated liver it counts as missed liver voxels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scripts.evaluation.figures.confusion import Confusion

Matrix = npt.NDArray[np.int64]


def merge_unknown(
    prediction: npt.NDArray[np.integer], known: Sequence[bool]
) -> npt.NDArray[np.integer]:
    """Replace predictions of unknown classes by background.

    Args:
        prediction: class values.
        known: whether each class was annotated.

    Example:
        >>> merge_unknown(np.array([0, 1, 3]), [True, True, True, False])
        array([0, 1, 0])
    """
    values = np.where(np.asarray(known, bool), np.arange(len(known)), 0)
    return np.asarray(values.astype(prediction.dtype)[prediction])


def confusion_matrix(
    prediction: npt.NDArray[np.integer], annotation: npt.NDArray[np.integer], known: Sequence[bool]
) -> Matrix:
    """Count voxels: row is the annotated class, column the predicted one.

    Args:
        prediction: class values, in the shape of the annotation.
        annotation: class values.
        known: whether each of the C classes was annotated.

    Returns:
        (C, C); row and column of an unknown class are zero.

    Raises:
        ValueError: when the shapes differ, or a value is not a class.

    Example:
        >>> confusion_matrix(np.array([0, 1, 1]), np.array([0, 0, 1]), [True, True])
        array([[1, 1],
               [0, 1]])
    """
    classes = len(known)
    if prediction.shape != annotation.shape:
        raise ValueError(
            f"prediction, annotation: must have one shape, got {prediction.shape} and "
            f"{annotation.shape}"
        )
    for name, values in (("prediction", prediction), ("annotation", annotation)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(
                f"{name}: must be classes 0..{classes - 1}, got {values.min()} to {values.max()}"
            )
    merged = merge_unknown(prediction, known).astype(np.int64)
    flat = np.bincount((annotation.astype(np.int64) * classes + merged).ravel())
    return np.pad(flat, (0, classes * classes - len(flat))).reshape(classes, classes)


def class_confusion(matrix: Matrix, value: int) -> Confusion:
    """Return the counts of one class against all others.

    Example:
        >>> class_confusion(np.array([[5, 1], [2, 3]]), 1)
        Confusion(tp=3, fp=1, fn=2, tn=5)
    """
    tp = int(matrix[value, value])
    fp, fn = int(matrix[:, value].sum()) - tp, int(matrix[value].sum()) - tp
    return Confusion(tp, fp, fn, int(matrix.sum()) - tp - fp - fn)


def pixel_accuracy(matrix: Matrix) -> float:
    """Return the share of voxels that are predicted as annotated; NaN without voxels.

    Example:
        >>> pixel_accuracy(np.array([[5, 1], [1, 3]]))
        0.8
    """
    total = int(matrix.sum())
    return int(np.trace(matrix)) / total if total else math.nan
