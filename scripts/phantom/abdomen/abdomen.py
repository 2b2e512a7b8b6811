"""An abdomen in HU with the true extent of its organs, drawn from the outside inwards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.phantom.abdomen.canvas import BITS, Canvas
from scripts.phantom.abdomen.lesions import Lesion
from scripts.phantom.abdomen.patient import Patient
from scripts.phantom.abdomen.surroundings import (
    paint_bones,
    paint_bowel,
    paint_chest,
    paint_torso,
)
from scripts.phantom.abdomen.viscera import (
    paint_kidney,
    paint_kidney_fat,
    paint_liver,
    paint_spleen,
    paint_stomach,
)
from scripts.phantom.solids import Array, Grid

SLAB = 24  # slices drawn at a time, so that memory stays small


def paint_abdomen(
    patient: Patient, grid: Grid, lesions: tuple[Lesion, ...]
) -> tuple[Array, NDArray[np.uint16], NDArray[np.uint8]]:
    """Draw an abdomen without noise.

    Returns:
        HU, structures as the bits of :data:`scripts.phantom.abdomen.canvas.BITS`, and lesions as
        their number from 1; all (Z, Y, X).
    """
    volume = np.empty(grid.shape, dtype=np.float32)
    labels = np.zeros(grid.shape, dtype=np.uint16)
    numbers = np.zeros(grid.shape, dtype=np.uint8)
    for low in range(0, len(grid.z), SLAB):
        part = slice(low, low + SLAB)
        slab = Grid(grid.x, grid.y, grid.z[part], grid.spacing_mm)
        paint_slab(Canvas(patient, slab, (volume[part], labels[part], numbers[part])), lesions)
    return volume, labels, numbers


def paint_slab(canvas: Canvas, lesions: tuple[Lesion, ...]) -> None:
    """Draw everything, from the outside inwards."""
    paint_torso(canvas)
    paint_chest(canvas)
    paint_bowel(canvas)
    organs = canvas.patient.organs
    for tube in (*organs.muscles, *organs.pancreas):
        canvas.paint_tube(tube)
    paint_spleen(canvas)
    paint_stomach(canvas)
    for side in (0, 1):
        paint_kidney_fat(canvas, side)
    paint_liver(canvas, lesions)
    for side, name in enumerate(("left_kidney", "right_kidney")):
        paint_kidney(canvas, side, name)
    for tube in canvas.patient.vessels:
        canvas.paint_tube(tube)
    paint_bones(canvas)
    canvas.numbers[(canvas.labels & BITS["liver"]) == 0] = 0
