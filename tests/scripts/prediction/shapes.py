"""Predictions of shapes whose figures are known, in any index order."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from scripts.prediction.result import Prediction, Segment
from scripts.volumes.geometry import index_to_world

# (z, y, x) order of axes and which of them are reversed: how a source may store the same patient
ORDERS = [(axes, flips) for axes in permutations(range(3)) for flips in product((1, -1), repeat=3)]


def stored(volume, axes=(0, 1, 2), flips=(1, 1, 1)):
    """A volume in LPS order (Z, Y, X) as a source with other axes and directions stores it."""
    turned = volume.transpose(axes)
    return np.ascontiguousarray(turned[tuple(slice(None, None, step) for step in flips)])


def stored_affine(affine, shape, axes=(0, 1, 2), flips=(1, 1, 1)):
    """The affine that goes with :func:`stored`, from that of the volume in LPS order."""
    result = np.eye(4)
    first = np.zeros(3)
    for place, (axis, step) in enumerate(zip(axes, flips, strict=True)):
        result[:3, 2 - place] = step * affine[:3, 2 - axis]
        first[2 - axis] = 0 if step == 1 else shape[axis] - 1
    result[:3, 3] = index_to_world(first, affine)
    return result


def world_grid(shape, affine):
    """(Z, Y, X, 3): LPS mm of every voxel's centre."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return index_to_world(index[..., ::-1], affine)


def ellipsoid(shape, affine, centre, radii):
    """(Z, Y, X): True in an ellipsoid along the patient's axes; centre and radii in LPS mm."""
    away = (world_grid(shape, affine) - np.array(centre)) / np.array(radii)
    return (away**2).sum(axis=-1) <= 1


def lps_affine(spacing_xyz, origin=(0.0, 0.0, 0.0)):
    affine = np.diag([*spacing_xyz, 1.0])
    affine[:3, 3] = origin
    return affine


def predict(hu, mask, affine, segments, *, order=((0, 1, 2), (1, 1, 1)), lungs=None, **others):
    """A prediction of volumes given in LPS order, stored in another one."""
    axes, flips = order
    return Prediction(
        stored(hu, axes, flips),
        stored(mask, axes, flips),
        stored_affine(affine, hu.shape, axes, flips),
        tuple(segments),
        others.pop("study", "study-1"),
        None if lungs is None else stored(lungs, axes, flips),
        **others,
    )


def nodule(number):
    return Segment(number, "nodule", f"nodule {number}", lesion=True)


def chest(*, order=((0, 1, 2), (1, 1, 1)), nodules=3, facts=None):
    """Two lungs in a body, 40 slices of 64 x 80 voxels; nodules alternate right and left."""
    affine = lps_affine((4.0, 4.0, 5.0), (-160.0, -130.0, -400.0))
    shape = (40, 64, 80)
    hu = np.full(shape, -1000, np.int16)
    hu[ellipsoid(shape, affine, (-2, -4, -300), (150, 110, 900))] = 40
    lungs = np.zeros(shape, bool)
    for x in (-75, 70):
        lungs |= ellipsoid(shape, affine, (x, -4, -300), (55, 80, 90))
    hu[lungs] = -850
    mask = np.zeros(shape, np.uint8)
    for number in range(1, nodules + 1):
        side = -75 if number % 2 else 70
        centre = (side + 6 * (number % 5), -40 + 8 * (number % 9), -340 + 12 * (number % 8))
        found = ellipsoid(shape, affine, centre, [6 + number % 4] * 3) & (mask == 0)
        mask[found], hu[found] = number, 30
    present = [n for n in range(1, nodules + 1) if (mask == n).any()]
    segments = [nodule(number) for number in present]
    return predict(hu, mask, affine, segments, order=order, lungs=lungs, facts=facts or {})


def abdomen(*, order=((0, 1, 2), (1, 1, 1)), facts=None):
    """A liver, a bone that the scan cuts off, and a kidney that is not there; 24 slices."""
    affine = lps_affine((4.0, 4.0, 6.0), (-130.0, -110.0, 100.0))
    shape = (24, 56, 64)
    hu = np.full(shape, -1000, np.int16)
    hu[ellipsoid(shape, affine, (0, 0, 170), (120, 100, 900))] = 20
    mask = np.zeros(shape, np.uint8)
    mask[ellipsoid(shape, affine, (-55, -10, 175), (50, 60, 50))] = 1
    mask[ellipsoid(shape, affine, (0, 75, 170), (15, 15, 900))] = 2
    hu[mask == 1], hu[mask == 2] = 100, 400
    names = enumerate(("liver", "bone", "kidney"), start=1)
    segments = [Segment(number, kind, kind) for number, kind in names]
    return predict(hu, mask, affine, segments, order=order, facts=facts or {})
