"""Predictions of annotated volumes of a datalist, handed to an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from numpy.typing import NDArray

from scripts.datasets.stored_slices import LPS_TO_RAS
from scripts.evaluation.collection import SeriesCollection
from scripts.prediction.result import Prediction
from scripts.volumes.volume import Volume, turned
from scripts.volumes.volume_files import read_volume_file

Labels = NDArray[np.uint8]


def annotation_of(case: Mapping[str, Any]) -> tuple[Labels, NDArray[np.float64]]:
    """Return the annotation of a volume (Z, Y, X) in LPS order, and its affine."""
    volume: Volume = read_volume_file(Path(case["label"])).in_lps()
    return np.asarray(volume.hu, np.uint8), volume.affine_lps


def class_map(prediction: Prediction, class_names: Sequence[str]) -> Labels:
    """Return the class of each voxel (Z, Y, X), in the index order of the prediction.

    Args:
        prediction: with numbered segments.
        class_names: background first.
    """
    values = np.zeros(1 + max((s.number for s in prediction.segments), default=0), np.uint8)
    for segment in prediction.segments:
        values[segment.number] = class_names.index(segment.kind)
    return np.asarray(values[prediction.mask])


def classes_in_lps(prediction: Prediction, class_names: Sequence[str]) -> Labels:
    """Return the class of each voxel (Z, Y, X) in LPS order, as :func:`annotation_of` has it."""
    return turned(class_map(prediction, class_names), prediction.affine)


def add_volume(
    collection: SeriesCollection,
    case: Mapping[str, Any],
    classes: Labels,
    labels: Labels,
    affine: NDArray[np.float64],
) -> None:
    """Add a volume to what an evaluation collects.

    Args:
        collection: of the evaluation.
        case: of the datalist, with its number ``case``.
        classes: predicted, (Z, Y, X) in LPS order.
        labels: annotated, likewise.
        affine: of both, index (x, y, z) to LPS mm.
    """
    one = {"pred": _tensor(classes, affine), collection.annotation: _tensor(labels, affine)}
    collection.add([{**one, "case": case["case"]}])


def _tensor(array: Labels, affine: NDArray[np.float64]) -> MetaTensor:
    """Return (1, Z, Y, X) with its affine to RAS mm."""
    return MetaTensor(
        torch.from_numpy(array[None].copy()),
        affine=torch.from_numpy(LPS_TO_RAS @ affine[:, [2, 1, 0, 3]]),
    )
