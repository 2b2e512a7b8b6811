"""The candidates of an evaluated series: components of its mask, and fainter ones.

As in a prediction: a component at the candidates' threshold that has no voxel of the mask is a
candidate too. The network's output is taken as it is, without the cleaning of a prediction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from scripts.datasets.candidates import Candidate
from scripts.datasets.contract import Point
from scripts.evaluation.figures.confusion import Mask
from scripts.evaluation.figures.detection import Components, nodule_spheres
from scripts.evaluation.packed_slices import IN_SLICE, Floats
from scripts.evaluation.series import Series, Sphere
from scripts.volumes.geometry import index_to_world


def series_candidates(series: Series) -> list[Candidate]:
    """Return the candidates of a series with their highest probabilities.

    Raises:
        ValueError: for a series that was evaluated without probabilities.
    """
    if series.confidence is None:
        raise ValueError("series: must be evaluated with probabilities, got masks only")
    known = series.confidence
    fainter = np.stack([one.fainter.unpack() > 0 for one in known])
    shown = Components.of(series.slices, series.prediction)
    every = Components.of(series.slices, fainter)
    faint = np.ones(every.count + 1, bool)
    faint[every.labels[every.rows][series.prediction]] = False
    of_shown = _highest(shown, series.prediction, [one.of_mask for one in known])
    of_every = _highest(every, fainter, [one.of_fainter for one in known])
    return [
        *_candidates(series, shown, of_shown, np.ones(shown.count, bool)),
        *_candidates(series, every, of_every, faint[1:]),
    ]


def _highest(components: Components, masks: Mask, of_slices: Sequence[Floats]) -> Floats:
    """Return the highest probability of each component, from those of its slices."""
    highest = np.zeros(components.count + 1, np.float32)
    for row, mask, values in zip(components.rows, masks, of_slices, strict=True):
        parts, count = ndimage.label(mask, IN_SLICE)
        owners = np.zeros(count + 1, np.int64)
        owners[parts[mask]] = components.labels[row][mask]
        np.maximum.at(highest, owners[1:], values)
    return highest[1:]


def _candidates(
    series: Series, components: Components, highest: Floats, wanted: npt.NDArray[np.bool_]
) -> Iterable[Candidate]:
    for centre, probability in zip(components.centres()[wanted], highest[wanted], strict=True):
        x, y, z = _to_world(series, centre)
        yield Candidate(series.uid, (x, y, z), float(probability))


def nodule_points(series: Series) -> list[Point]:
    """Return (x, y, z, diameter) in mm of the nodules, see :func:`nodule_spheres`."""
    return [_point(series, sphere) for sphere in nodule_spheres(series).values()]


def excluded_points(series: Series) -> list[Point]:
    """Return (x, y, z, diameter) in mm of the excluded findings."""
    return [_point(series, sphere) for sphere in series.excluded]


def _point(series: Series, sphere: Sphere) -> Point:
    x, y, z = _to_world(series, np.asarray(sphere.centre_zyx, float))
    return x, y, z, sphere.diameter_mm


def _to_world(series: Series, index_zyx: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Return LPS mm of an index (z, y, x); without an affine, mm from the first voxel."""
    affine = series.affine_lps
    if affine is None:
        affine = np.diag([*reversed(series.spacing_mm), 1.0])
    x, y, z = index_to_world(index_zyx[::-1], affine).tolist()
    return x, y, z
