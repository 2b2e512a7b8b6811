"""Readings of CTs by pydicom and numpy alone, and comparisons with the analytic chest."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from scripts.prediction.result import Prediction
from scripts.volumes.volume import Volume
from tests.analytic.phantom import CENTROID, THRESHOLD_HU, VOLUME_ML, Array, Grid


def series_by_pydicom(paths: Iterable[Path]) -> tuple[NDArray[Any], Array]:
    """HU and positions of single-frame slices, in the order of the paths.

    Returns:
        (n, rows, columns) HU, and (n, rows, columns, 3) LPS mm (PS3.3, equation C.7.6.2.1-1).
    """
    hu, places = [], []
    for path in paths:
        data = pydicom.dcmread(path)
        hu.append(data.pixel_array * float(data.RescaleSlope) + float(data.RescaleIntercept))
        places.append(positions_of(data))
    return np.stack(hu), np.stack(places)


def positions_of(data: pydicom.Dataset) -> Array:
    """(rows, columns, 3): LPS mm of a slice's pixels."""
    row, column = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, data.PixelSpacing)
    j, i = np.indices((data.Rows, data.Columns))[..., None]
    first = np.array(data.ImagePositionPatient, float)
    return np.asarray(first + i * between_columns * row + j * between_rows * column, np.float64)


def same_places(grid: Grid, shape: tuple[int, ...], affine: Array, atol: float = 0.01) -> bool:
    """Whether a volume's corners are the grid's, within a distance in mm, in any order of axes."""
    other = corners(Grid(shape, np.asarray(affine, float)))  # type: ignore[arg-type]
    apart = np.linalg.norm(corners(grid)[:, None] - other, axis=-1)
    return bool(apart.min(axis=0).max() <= atol and apart.min(axis=1).max() <= atol)


def assert_chest(volume: Volume, grid: Grid) -> None:
    """Check that a volume holds the HU of the chest at their positions, on the grid's voxels."""
    assert same_places(grid, volume.hu.shape, volume.affine_lps)
    found = Grid(volume.hu.shape, volume.affine_lps)  # type: ignore[arg-type]
    np.testing.assert_array_equal(volume.hu, grid.hu_near(found.points()))


def assert_nodule(prediction: Prediction, grid: Grid) -> None:
    """Check a prediction: HU, positions, and the right mask voxel by voxel."""
    assert_chest(Volume(prediction.hu, prediction.affine), grid)
    found = Grid(prediction.hu.shape, prediction.affine)  # type: ignore[arg-type]
    mask = prediction.mask > 0
    np.testing.assert_array_equal(mask, prediction.hu > THRESHOLD_HU)
    assert abs(mask.sum() * found.voxel_ml / VOLUME_ML - 1) < 0.02
    assert np.abs(centroid_of(mask, found.affine) - CENTROID).max() < 0.3


def corners(grid: Grid) -> Array:
    """(8, 3): LPS mm of the corner voxels."""
    slices, rows, columns = grid.shape
    ends = [(i, j, k) for i in (0, columns - 1) for j in (0, rows - 1) for k in (0, slices - 1)]
    return np.asarray(np.array(ends) @ grid.affine[:3, :3].T + grid.affine[:3, 3], np.float64)


def centroid_of(mask: NDArray[np.bool_], affine: Array) -> Array:
    """(3,): mean position of a mask's voxels, LPS mm."""
    middle = np.argwhere(mask).mean(axis=0)[::-1]
    return np.asarray(affine[:3, :3] @ middle + affine[:3, 3], np.float64)
