"""Radiologists' suspicion of each nodule, added to the measurements of a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from scripts.prediction.measures.axial_view import axial_view
from scripts.prediction.predict_options import NODULE
from scripts.prediction.result import Prediction
from scripts.suspicion.classifier_file import MEANING, SuspicionClassifier, read_classifier
from scripts.suspicion.rated_nodules import around

DECIMALS = 3


@lru_cache(maxsize=1)
def classifier_of(path: Path) -> SuspicionClassifier:
    """Return the classifier of this process."""
    return read_classifier(path)


def add_suspicion(
    statistics: dict[str, Any],
    prediction: Prediction,
    classifier: SuspicionClassifier,
    names: Sequence[str] = (),
) -> str | None:
    """Add ``suspicion``, 0 to 1, to every nodule of the statistics, in place.

    It is null for a nodule smaller or larger than all of the training, and for other lesions. The
    entry ``suspicion`` of the statistics says what it is and what the classifier is worth.

    Args:
        statistics: of :func:`scripts.prediction.measures.statistics.measure`.
        prediction: that was measured.
        classifier: see :mod:`scripts.suspicion`.
        names: ids and names of the scan.

    Returns:
        A warning when the classifier was trained on this scan, else None.
    """
    view = axial_view(prediction.affine, prediction.hu.shape)
    hu, mask = view.turn(prediction.hu), view.turn(prediction.mask)
    boxes = ndimage.find_objects(mask)
    for lesion in statistics["lesions"]:
        lesion["suspicion"] = None
        if lesion["kind"] == NODULE:
            box = around(boxes[lesion["number"] - 1], mask.shape)
            inside = np.asarray(mask[box] == lesion["number"])
            try:
                value = classifier.suspicion(hu[box], inside, view.spacing_mm)
            except ValueError:  # outside the sizes of the training
                continue
            lesion["suspicion"] = round(value, DECIMALS)
    worth = classifier.worth
    statistics["suspicion"] = {"model": classifier.name, "meaning": MEANING, **worth}
    statistics["definitions"]["suspicion"] = (
        f"{MEANING}; {classifier.name}, trained on {worth.get('nodules')} nodules of "
        f"{worth.get('patients')} patients by {worth.get('outlines')} outlines; "
        f"{_area(worth)}; empty for a nodule smaller or larger than all of these"
    )
    seen = classifier.has_seen(names)
    return "the suspicion classifier was trained on this scan" if seen else None


def _area(worth: Any) -> str:
    """State the AUC of other patients with its interval."""
    area, ends = worth.get("auc"), worth.get("auc_interval_95")
    if area is None:
        return "AUC unknown"
    between = f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else ""
    return f"AUC on other patients {area:.2f}{between}"
