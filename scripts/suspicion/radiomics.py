"""The radiomics features of a nodule: size, shape, density and texture of its CT and mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.suspicion.shape import SHAPE_FEATURES, shape_features, solid_of
from scripts.suspicion.texture import (
    DENSITY_FEATURES,
    TEXTURE_FEATURES,
    density_features,
    texture_features,
)
from scripts.volumes.geometry import Floats

FEATURES = {**SHAPE_FEATURES, **DENSITY_FEATURES, **TEXTURE_FEATURES}
"""Feature -> definition; see :mod:`scripts.suspicion.shape` for the surface and the grid."""

SIZE = "volume_mm3"
SKEWED = (
    *("volume_mm3", "surface_mm2", "surface_to_volume_per_mm", "maximum_3d_diameter_mm"),
    *("maximum_axial_diameter_mm", "major_axis_mm", "minor_axis_mm", "least_axis_mm"),
)
"""Positive features of a skewed distribution, of which a classifier sees the logarithm."""


def radiomics(
    hu: NDArray[np.number], mask: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> dict[str, float]:
    """Measure all :data:`FEATURES` of a nodule.

    Args:
        hu: (Z, Y, X), with some millimetres around the nodule.
        mask: (Z, Y, X), the nodule's voxels.
        spacing_mm: along (z, y, x).

    Raises:
        ValueError: for a nodule that is too small to be measured.
    """
    solid = solid_of(hu, mask, spacing_mm)
    return {**shape_features(solid), **density_features(solid), **texture_features(solid)}


def predictors(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> Floats:
    """Return features as a classifier sees them: (nodules, names), of :data:`SKEWED` the log."""
    table = np.array([[row[name] for name in names] for row in rows], np.float64)
    for column, name in enumerate(names):
        if name in SKEWED:
            table[:, column] = np.log(table[:, column])
    return table.reshape(len(rows), len(names))
