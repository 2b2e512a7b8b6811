"""Candidates: suspected lesions, each with a position, a size and a confidence.

``candidates.csv`` has the columns of LUNA16's submission: ``seriesuid, coordX, coordY, coordZ,
probability``, with centres in LPS mm.

Source: Setio et al., Medical Image Analysis 42:1-13, 2017, and the rules of LUNA16's evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from scripts.storage.csv_files import SERIES_UID, read_csv
from scripts.storage.files import write_csv
from scripts.volumes.geometry import index_to_world

COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "probability")
FILE = "candidates.csv"
COORDINATE_DECIMALS = 4  # of mm
PROBABILITY_DECIMALS = 9  # float32 near 1 has steps of 6e-8


@dataclass(frozen=True)
class Candidate:
    """One suspected lesion.

    Args:
        series_uid: of its scan; of LUNA16's scans their file name.
        centre_lps_mm: mean position of its voxels.
        probability: its confidence: the highest probability of its voxels.
        mean_probability: of its voxels; None if unknown.
        diameter_mm: of a ball with its volume; None if unknown.
        segment: its number in the predicted mask; 0 if it is below the mask's threshold, or
            unknown.
    """

    series_uid: str
    centre_lps_mm: tuple[float, float, float]
    probability: float
    mean_probability: float | None = None
    diameter_mm: float | None = None
    segment: int = 0


def measure_candidates(
    components: NDArray[Any],
    probability: NDArray[np.floating[Any]],
    affine: ArrayLike,
    uid: str,
    *,
    numbers: Collection[int] | None = None,
) -> Iterator[Candidate]:
    """Measure every component of a mask; its number becomes the candidate's ``segment``.

    Args:
        components: (Z, Y, X), the number of the component in each voxel, 0 background.
        probability: (Z, Y, X), of a lesion in each voxel, 0 to 1.
        affine: (4, 4), index (x, y, z) to LPS mm.
        uid: of the scan.
        numbers: of the components that are measured; None for all.

    Yields:
        The candidates in the order of their numbers; numbers without a voxel are left out.

    Example:
        >>> mask = np.zeros((3, 4, 4), np.uint8)
        >>> mask[1, 1:3, 2] = 1
        >>> (one,) = measure_candidates(mask, mask * 0.75, np.diag([1, 1, 5, 1]), "1.2.3")
        >>> one.centre_lps_mm, one.probability
        ((2.0, 1.5, 5.0), 0.75)
    """
    voxel_mm3 = float(abs(np.linalg.det(np.asarray(affine, float)[:3, :3])))
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        if box is None or (numbers is not None and number not in numbers):
            continue
        inside = components[box] == number
        values = probability[box][inside]
        index = np.argwhere(inside).mean(axis=0) + [part.start for part in box]
        x, y, z = index_to_world(index[::-1], affine).tolist()
        yield Candidate(
            series_uid=uid,
            centre_lps_mm=(x, y, z),
            probability=float(values.max()),
            mean_probability=float(values.mean(dtype=np.float64)),
            diameter_mm=2 * math.pow(3 / (4 * math.pi) * len(values) * voxel_mm3, 1 / 3),
            segment=number,
        )


def write_candidates(path: str | Path, candidates: Iterable[Candidate]) -> None:
    """Write candidates in LUNA16's format, those of a scan by falling probability, atomically."""
    write_csv(path, candidate_rows(candidates), columns=COLUMNS)


def candidate_rows(candidates: Iterable[Candidate]) -> list[dict[str, Any]]:
    """Return one row per candidate, with :data:`COLUMNS`, those of a scan by falling probability.

    Coordinates are rounded to 0.1 um, probabilities to nine decimals.
    """
    ordered = sorted(candidates, key=lambda one: (one.series_uid, -one.probability))
    return [_row(one) for one in ordered]


def _row(candidate: Candidate) -> dict[str, Any]:
    centre = (round(value, COORDINATE_DECIMALS) + 0.0 for value in candidate.centre_lps_mm)
    probability = round(candidate.probability, PROBABILITY_DECIMALS)
    return dict(zip(COLUMNS, (candidate.series_uid, *centre, probability), strict=True))


def read_candidates(path: str | Path) -> list[Candidate]:
    """Read candidates in LUNA16's format; further columns are ignored.

    A probability may be any finite number: only the order of candidates matters to a score.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: naming the row that cannot be read, or the column that is missing.
    """
    path = Path(path)
    candidates = []
    for row in read_csv(path, COLUMNS, synonyms=SERIES_UID):
        try:
            x, y, z, probability = row.numbers(COLUMNS[1:])
            if not (uid := row.get("seriesuid")):
                raise ValueError("seriesuid is empty")
        except ValueError as error:
            raise ValueError(f"{path.name} row {row.line}: {error}") from None
        candidates.append(Candidate(uid, (x, y, z), probability))
    return candidates
