"""The names of figures that a study can report, known before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scripts.datasets.contract import Kind
from scripts.evaluation.figures.summary import FRACTIONS
from scripts.evaluation.tables import DISTANCES
from scripts.study.choices import check_name

VALIDATED = "validated_stages"  # rows whose figures are columns of the training's stages.csv
CLASS = "CLASS"  # stands for the name of a class, its spaces as underscores
STAGE_COLUMNS: Mapping[Kind, tuple[str, ...]] = {
    "instances": (
        *(f"val_{name}_per_{unit}" for unit in ("slice", "volume") for name in ("dice", "iou")),
        *("val_sensitivity_pooled", "val_specificity_pooled"),
    ),
    "classes": (
        *("val_iou_pooled", "val_dice_pooled", "val_accuracy_pooled", "val_loss"),
        f"val_iou_{CLASS}_pooled",
    ),
}
DETECTIONS = ("nodules_detected_share", "false_positives_per_scan_mean")
UNITS = ("per_nodule_mean", "per_slice_mean", "per_volume_mean", "pooled")
OF_CASES: Mapping[Kind, tuple[str, ...]] = {
    "instances": (
        *(f"{name}_{unit}" for unit in UNITS for name in FRACTIONS),
        *(f"{name}_per_nodule_mean" for name in DISTANCES),
        *DETECTIONS,
    ),
    "classes": tuple(f"{name}_{CLASS}_{unit}" for unit in UNITS[2:] for name in FRACTIONS),
}


def check_figures(figures: object, kind: Kind, rows: str) -> Mapping[str, str]:
    """Return the figures of a study, if an evaluation of its data has the cases of each.

    Args:
        figures: heading -> name.
        kind: of the labels.
        rows: of the study.

    Raises:
        ValueError: for a name that no evaluation of this kind writes case by case.

    Example:
        >>> check_figures({"Dice": "dice_pooled"}, "instances", "methods")
        {'Dice': 'dice_pooled'}
    """
    if not isinstance(figures, Mapping) or not figures:
        raise ValueError(f"figures: must map headings to names of figures, got {figures!r}")
    valid = (STAGE_COLUMNS if rows == VALIDATED else OF_CASES)[kind]
    for heading, name in figures.items():
        if not any(_fits(name, pattern) for pattern in valid):
            check_name(f"figures: {heading}", name, valid)
    return figures


def _fits(name: Any, pattern: str) -> bool:
    """Whether a name is that of a figure, with any class where the figure is of a class."""
    text = re.escape(pattern).replace(CLASS, r"\w+")
    return isinstance(name, str) and re.fullmatch(text, name) is not None
