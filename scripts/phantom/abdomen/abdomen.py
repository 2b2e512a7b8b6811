"""An abdomen in HU with the true extent of its organs, drawn from the outside inwards."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scripts.phantom.abdomen.canvas import BITS, Canvas
from scripts.phantom.abdomen.lesions import Lesion
from scripts.phantom.abdomen.patient import Patient
from scripts.phantom.abdomen.torso import SPINE_BACK_MM
from scripts.phantom.abdomen.viscera import (
    paint_kidney,
    paint_kidney_fat,
    paint_liver,
    paint_spleen,
    paint_stomach,
)
from scripts.phantom.scanner import draw_couch
from scripts.phantom.skeleton import paint_ribs, paint_spine
from scripts.phantom.solids import Array, Grid, blend, coverage, rise, tube_share

SLAB = 24  # slices drawn at a time, so that memory stays small
BONE_HU = 140.0  # what the spine and ribs show above this counts as bone


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


def paint_torso(canvas: Canvas) -> None:
    """Draw couch, skin, fat, the muscles of the wall and the fat inside."""
    torso, hu, pixel = canvas.patient.torso, canvas.hu, np.float32(canvas.grid.spacing_mm[0])
    canvas.volume[...] = draw_couch(canvas.grid, torso.couch_mm)
    skin, muscle = canvas.depth(torso.skin), canvas.depth(torso.muscle)
    canvas.labels[skin < 0] = BITS["skin"]
    blend(canvas.volume, hu("skin"), coverage(skin, pixel))
    blend(canvas.volume, hu("fat"), coverage(skin + np.float32(1.8), pixel))
    flesh = coverage(muscle, pixel)
    layer = muscle + np.float32(6.5) + canvas.fields["ripple"] * np.float32(4)
    layer = np.abs(layer - np.float32(8.5) * np.rint(layer / np.float32(8.5)))
    thin = np.float32(0.25) * canvas.fields["bowel"] - np.float32(0.1)
    planes = coverage(layer - thin, pixel) * np.float32(0.45)
    blend(canvas.volume, hu("muscle") + canvas.fields["mottle"] * 5, flesh)
    blend(canvas.volume, hu("fat"), planes * flesh)
    y = canvas.grid.y[:, None] / np.float32(canvas.patient.body.scale[1])
    x = canvas.grid.x[None, :] / np.float32(canvas.patient.body.scale[0])
    back = rise(y, 52.0, 60.0) * (1 - rise(np.abs(x), 52.0, 66.0))  # muscles along the spine
    inside = coverage(canvas.wall, pixel) * (1 - back)
    blend(canvas.volume, hu("fat") + canvas.fields["mottle"] * 6, inside)


def paint_chest(canvas: Canvas) -> None:
    """Draw the diaphragm, the lung bases above it and the heart."""
    torso, hu = canvas.patient.torso, canvas.hu
    above = canvas.grid.z[:, None, None] - torso.diaphragm(
        canvas.grid.x[None, :], canvas.grid.y[:, None]
    )
    if float(above.max()) < -4.0:
        return
    inside = coverage(canvas.wall + np.float32(1.0), canvas.width)
    thick = np.float32(1.3) * canvas.width + np.float32(0.3 * canvas.grid.spacing_mm[2])
    blend(canvas.volume, hu("muscle"), coverage(-above - np.float32(3), thick) * inside)
    x = canvas.grid.x[None, None, :] / np.float32(canvas.patient.body.scale[0])
    y = canvas.grid.y[None, :, None] / np.float32(canvas.patient.body.scale[1])
    middle = np.hypot((x - 4) / np.float32(34), (y - 40) / np.float32(34)) - 1
    middle = np.minimum(middle, np.hypot((x - 8) / np.float32(30), (y + 40) / np.float32(60)) - 1)
    lung = coverage(-above, thick) * coverage(canvas.wall + np.float32(2.0), canvas.width)
    canvas.put(canvas.all, lung * rise(middle, -0.06, 0.06), hu("lung"), "lungs")
    lung_window = coverage(-above - np.float32(2), thick) * inside * (1 - rise(middle, -0.06, 0.06))
    blend(canvas.volume, hu("fat"), lung_window)
    for solid, name in zip(canvas.patient.organs.heart, ("muscle", "heart"), strict=True):
        window, share = solid.share(canvas.grid)
        over = coverage(-above[window] - np.float32(3), thick)
        canvas.put(window, share * over, hu(name))
        canvas.labels[window][(share * over) > 0.5] &= BITS["skin"]


def paint_bowel(canvas: Canvas) -> None:
    """Draw loops of small bowel below the stomach, and the colon around them."""
    x, y, z = canvas.grid.axes(canvas.all)
    sx, sy, sz = (np.float32(factor) for factor in canvas.patient.body.scale)
    zone = np.hypot((x - 8 * sx) / (88 * sx), (y + 36 * sy) / (54 * sy))
    zone = (zone - 1) * np.float32(40) + canvas.fields["ripple"] * np.float32(7)
    top = z + np.float32(18) * sz + canvas.fields["ripple"] * np.float32(6)
    zone = np.maximum(np.maximum(zone, top), canvas.wall + np.float32(8))
    field, mottle = canvas.fields["bowel"], canvas.fields["mottle"]
    fat = np.float32(0.2 + 0.9 * canvas.patient.body.inner_fat)
    loops = np.maximum((fat - np.abs(field) * np.float32(2.2)) * np.float32(9), zone)
    loops = np.where(np.abs(field) < 0.05, np.float32(1.0), loops)
    wall = coverage(loops, canvas.width)
    blend(canvas.volume, canvas.hu("bowel_wall"), wall)
    content = canvas.hu("fluid") + mottle * 9
    gas = rise(canvas.fields["ripple"], 1.1, 1.3) * rise(-y, 15.0, 40.0)
    content = content + (canvas.hu("gas") - content) * gas
    blend(canvas.volume, content, coverage(loops + np.float32(3.0), canvas.width))
    paint_colon(canvas)


def paint_colon(canvas: Canvas) -> None:
    """Draw the colon: wall, faeces with bubbles, gas in front."""
    tube = canvas.patient.organs.colon
    share, inner = (np.zeros(canvas.grid.shape, dtype=np.float32) for _ in range(2))
    for start, end in pairwise(tube.points):
        ends = np.stack([start, end])
        for target, less in ((share, 0.0), (inner, 3.0)):
            window, part = tube_share(canvas.grid, ends, np.full(2, tube.radius_mm - less))
            np.maximum(target[window], part, out=target[window])
    room = coverage(canvas.wall + np.float32(5), canvas.width)
    blend(canvas.volume, canvas.hu("bowel_wall"), share * room)
    mottle, ripple = canvas.fields["mottle"], canvas.fields["ripple"]
    content = canvas.hu("faeces") + mottle * 45 - rise(mottle, 0.9, 1.8) * 420
    front = ripple - canvas.grid.y[None, :, None] / np.float32(45)
    content = content + (canvas.hu("gas") - content) * rise(front, 1.2, 1.5)
    blend(canvas.volume, content, inner * room)


def paint_bones(canvas: Canvas) -> None:
    """Draw ribs and spine; both count as bone where they are dense."""
    build, torso = canvas.patient.body.skeleton(), canvas.patient.torso
    before = canvas.volume.copy()
    where = np.nonzero((canvas.wall > -2.0) & (canvas.wall < 14.0))
    across, bone = (canvas.lookup(table)[where] for table in torso.ribs)
    part = canvas.volume[where]
    paint_ribs(part, canvas.wall[where], (across, bone), build, canvas.width)
    canvas.volume[where] = part
    y = canvas.grid.y - np.float32(SPINE_BACK_MM)
    spine = Grid(canvas.grid.x, y, canvas.grid.z, canvas.grid.spacing_mm)
    paint_spine(canvas.volume, spine, build)
    drawn = (np.abs(canvas.volume - before) > 1.0) & (canvas.volume > BONE_HU)
    canvas.labels[drawn] = BITS["skin"] | BITS["bone"]
    spongy = drawn & (canvas.volume > 180) & (canvas.volume < 400)
    canvas.volume[spongy] += canvas.fields["mottle"][spongy] * np.float32(28) - np.float32(30)
