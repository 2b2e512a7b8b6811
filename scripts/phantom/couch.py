"""The couch of the scanner."""

from __future__ import annotations

import numpy as np

from scripts.phantom.build import TISSUE_HU
from scripts.phantom.solids import Array, Grid, blend, coverage


def draw_couch(grid: Grid, top_mm: float) -> Array:
    """Air and the couch under a patient (Y, X) in HU, its top at a depth y in mm."""
    x, y = grid.x[None, :], grid.y[:, None]
    top = np.float32(top_mm) - x * x / np.float32(900.0)
    width = np.float32(grid.spacing_mm[0])
    edge = np.abs(x) - np.float32(205.0)
    image = np.full((len(grid.y), len(grid.x)), TISSUE_HU["air"], dtype=np.float32)
    body = np.maximum(np.maximum(top - y, y - top - np.float32(26.0)), edge)
    blend(image, TISSUE_HU["couch_shell"], coverage(body, width))
    blend(image, TISSUE_HU["couch_foam"], coverage(body + np.float32(1.6), width))
    return image
