"""Small series for the tests of metrics and reports."""

from __future__ import annotations

from typing import Any

import numpy as np

from scripts.metrics.series import Series

SPACING = (2.0, 1.0, 1.0)


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
