"""Small series for the tests of metrics and reports."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from scripts.evaluation.series import Series

SPACING = (2.0, 1.0, 1.0)
SIZE = 48


def make_series(shape: tuple[int, int, int] = (8, 32, 32), **changes: Any) -> Series:
    """Return an empty series of consecutive slices."""
    facts = {
        "uid": "1.2.3",
        "patient": "a",
        "slices": np.arange(shape[0]),
        "prediction": np.zeros(shape, bool),
        "instances": np.zeros(shape, np.uint8),
        "spacing_mm": SPACING,
        "cases": [0] * shape[0],
    }
    return Series(**{**facts, **changes})


def make_case(index: int, *, patient: str = "a", slice_index: int = 7, **more: Any) -> Any:
    """Return a slice as load_datalist gives it."""
    return {
        "case": index,
        "series_uid": f"1.2.{patient}",
        "patient_id": f"Doe^{patient}",
        "slice": slice_index,
        "spacing_mm": [0.7, 0.7, 2.0],
        "label_kind": "ball",
        **more,
    }


def make_item(index: int, *, nodule: int = 1, predicted: int = 8, annotated: int = 8) -> Any:
    """Return one decollated output: a square nodule and a square prediction of it."""
    pred, instances = torch.zeros(2, 1, SIZE, SIZE)
    instances[0, 16 : 16 + annotated, 16 : 16 + annotated] = nodule if annotated else 0
    pred[0, 16 : 16 + predicted, 16 : 16 + 8] = 1
    return {"pred": pred, "instances": instances, "case": torch.tensor(index)}
