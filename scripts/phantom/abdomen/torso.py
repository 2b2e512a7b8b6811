"""The trunk around the abdominal organs: skin, fat, muscles, ribs, diaphragm and lung bases.

Frame: x left, y posterior, z head-wards in mm; z = 0 near the hilum of the liver. Skin, muscles and
cavity are radii over height and angle, as in the chest, at ``HEIGHTS`` and ``ANGLES``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from scripts.phantom.abdomen.build import Body
from scripts.phantom.outlines import (
    HEIGHTS,
    Points,
    angles,
    bump,
    smooth_step,
    superellipse,
    turn_from_back,
    wobble,
)
from scripts.phantom.skeleton import rib_bands
from scripts.phantom.solids import Array

CHEST_ABOVE_MM = 150.0  # how much higher the origin of the chest's frame lies
SPINE_BACK_MM = -18.0  # from the chest's frame to where the spine lies here
WALL_MM = 13.0  # thinnest wall between cavity and fat
# height, cavity half-width, front and back, half-width of the muscles, front, back
PROFILE = np.array(
    [
        [-210, 136, 96, 66, 160, 108, 110],
        [-150, 130, 95, 64, 148, 104, 104],
        [-100, 124, 95, 66, 140, 104, 104],
        [-50, 126, 98, 72, 141, 108, 106],
        [0, 131, 102, 80, 146, 113, 109],
        [50, 135, 102, 88, 150, 114, 112],
        [100, 133, 98, 92, 149, 111, 114],
        [160, 124, 88, 92, 145, 104, 114],
    ],
    dtype=float,
)
RIGHT_DOME_MM, LEFT_DOME_MM = 88.0, 78.0


@dataclass(frozen=True)
class Torso:
    """The tables of one patient's trunk.

    Args:
        body: the patient's proportions.
        skin, muscle, cavity: (H, A) radii in mm of the skin, of the border between fat and muscle
            and of the inside of the wall.
        ribs: (H, A) distance to the nearest rib's axis and share of bone.
        domes_mm: heights of the right and of the left dome of the diaphragm.
        couch_mm: depth y of the couch's top.
    """

    body: Body
    skin: Points
    muscle: Points
    cavity: Points
    ribs: tuple[Array, Array]
    domes_mm: tuple[float, float]
    couch_mm: float

    def diaphragm(self, x: Array, y: Array) -> Array:
        """Height in mm of the diaphragm over (x, y); arrays that broadcast."""
        sx, sy, sz = (np.float32(factor) for factor in self.body.scale)
        across, back = x / sx, y / sy
        sides = []
        for middle, top in zip((-60.0, 62.0), self.domes_mm, strict=True):
            fall = ((across - np.float32(middle)) / np.float32(72)) ** 2
            fall = fall + ((back + np.float32(6)) / np.float32(88)) ** 2
            sides.append(np.float32(top) - np.float32(46) * fall - np.float32(0.15) * back)
        right = np.clip(np.float32(0.5) - across / np.float32(60), 0, 1)
        return np.asarray(sz * (right * sides[0] + (1 - right) * sides[1]), dtype=np.float32)


def draw_torso(body: Body, rng: np.random.Generator) -> Torso:
    """Draw a patient's trunk."""
    sx, sy, sz = body.scale
    rows = [np.interp(HEIGHTS / sz, PROFILE[:, 0], column) for column in PROFILE.T[1:]]
    rows = [gaussian_filter1d(row, 7.0, mode="nearest") for row in rows]
    grown = 0.35 * body.fat_mm * body.inner_fat  # a belly
    cavity = superellipse(rows[0] * sx + grown, rows[1] * sy + 1.6 * grown, rows[2] * sy, 2.35)
    muscle = superellipse(rows[3] * sx + grown, rows[4] * sy + 1.6 * grown, rows[5] * sy, 2.3)
    cavity += wobble(rng, 0.6 * body.wobble_mm, 14.0, 60.0)
    muscle = np.maximum(muscle, cavity + WALL_MM)
    turn = turn_from_back()
    muscle -= 6.0 * bump(turn, 0.0, 7.0) - 3.0 * bump(turn, 22.0, 12.0)  # groove over the spine
    spread = 0.5 + 0.55 * bump(turn, 95.0, 40.0) + 0.45 * bump(turn, 180.0, 55.0)
    fat = body.fat_mm * (spread + 0.4 * smooth_step(-HEIGHTS / sz, -60.0, 120.0)[:, None])
    skin = muscle + 2.0 + fat + wobble(rng, body.wobble_mm, 25.0, 90.0)
    lying = 107.0 * sy + 0.45 * body.fat_mm  # the couch flattens the back
    below = skin * np.sin(angles()) - lying
    skin -= 0.8 * (0.5 * below + np.sqrt(0.25 * below**2 + 6.0))
    muscle = np.minimum(muscle, skin - 4.0)
    ribs = rib_bands(cavity, 1.05 * sz, rng, heights=HEIGHTS - CHEST_ABOVE_MM * sz)
    domes = RIGHT_DOME_MM + rng.normal(0, 6), LEFT_DOME_MM + rng.normal(0, 6)
    return Torso(body, skin, muscle, cavity, ribs, domes, lying + 7.0)
