"""Outlines of a chest: skin, rib cage and lungs, as lookup tables.

Skin and cage are star-shaped about the axis x = y = 0: a radius for every height and angle. The
inner border of each lung is a height over the plane (y, z), its floor (the diaphragm) a height over
(x, y). All lengths in mm; x left, y posterior, z head-wards; angles from +x towards +y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from scripts.phantom.build import Build
from scripts.phantom.mediastinum import Mediastinum

Points = NDArray[np.float64]
AnyPoints = NDArray[np.floating]

HEIGHTS = np.arange(-210.0, 160.0, 2.0)
DEPTHS = np.arange(-110.0, 112.0, 2.0)
ANGLES = 1440
RIB_SHELL_MM = 12.5
LEFT, RIGHT = 1, -1

# height, cage half-width, cage front, cage back, skin half-width, skin front, skin back
PROFILE = np.array(
    [
        [-210, 120, 82, 66, 150, 114, 108],
        [-150, 126, 86, 74, 156, 112, 112],
        [-100, 131, 88, 84, 160, 112, 116],
        [-50, 130, 85, 90, 162, 111, 118],
        [0, 122, 77, 91, 164, 105, 118],
        [40, 109, 64, 87, 166, 93, 116],
        [75, 89, 49, 77, 168, 79, 112],
        [100, 70, 37, 66, 166, 68, 106],
        [118, 57, 30, 57, 158, 62, 100],
        [160, 50, 26, 50, 132, 56, 92],
    ],
    dtype=float,
)
APEX_MM, FLOOR_MM = 116.0, -152.0


def smooth_step(value: AnyPoints, low: float, high: float) -> Points:
    """Rise from 0 at ``low`` to 1 at ``high`` without corners."""
    part = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(part * part * (3.0 - 2.0 * part))


def bump(value: AnyPoints, centre: float, width: float) -> Points:
    """A bell of height 1."""
    return np.asarray(np.exp(-0.5 * ((value - centre) / width) ** 2))


@dataclass(frozen=True)
class Outlines:
    """The tables of one patient.

    Args:
        build: the patient's proportions.
        skin, muscle, cage: (H, A) radii in mm of the skin, of the border between fat and muscle
            and of the inner face of the ribs, at HEIGHTS and ``ANGLES`` even angles.
        inner: for each side, (H, D) distance of the lung's inner border from the midline at
            HEIGHTS and DEPTHS.
        domes: for each side, height of the top of the diaphragm.
        planes: (H, A) slow irregularity in mm, for the layers of muscle.
    """

    build: Build
    skin: Points
    muscle: Points
    cage: Points
    inner: dict[int, Points]
    domes: dict[int, float]
    planes: Points

    @property
    def extent_mm(self) -> tuple[float, float]:
        """Heights of the lowest and the highest point of the lungs."""
        return FLOOR_MM * self.build.scale[2], APEX_MM * self.build.scale[2]

    def ceiling(self, x: Points, y: Points, side: int) -> Points:
        """Height of the lung's apex over (x, y), without the ribs."""
        sx, sy, sz = self.build.scale
        across = ((x / sx - side * 44.0) / 40.0) ** 2 + ((y / sy - 14.0) / 46.0) ** 2
        return np.asarray(sz * (APEX_MM - 16.0 * across))

    def floor(self, x: Points, y: Points, side: int) -> Points:
        """Height of the diaphragm over (x, y)."""
        sx, sy, sz = self.build.scale
        back = y / sy
        across = ((x / sx - side * 60.0) / 70.0) ** 2 + ((back + 8.0) / 88.0) ** 2
        return np.asarray(sz * (self.domes[side] - 46.0 * across - 0.2 * back))

    def lung_distance(self, points: Points, side: int) -> Points:
        """Signed distance in mm, negative inside, of points (N, 3) to one lung's surface."""
        x, y, z = points.T
        row = (z - HEIGHTS[0]) / 2.0
        angle = np.arctan2(y, x) * (ANGLES / (2 * np.pi)) % ANGLES
        cage = map_coordinates(self.cage, [row, angle], order=1, mode="grid-wrap")
        column = (y - DEPTHS[0]) / 2.0
        inner = map_coordinates(self.inner[side], [row, column], order=1, mode="nearest")
        wall = np.hypot(x, y) - cage
        floor = (self.floor(x, y, side) - z) * 0.8
        ceiling = (z - self.ceiling(x, y, side)) * 0.8
        return np.asarray(np.max([wall, (inner - side * x) * 0.9, floor, ceiling], axis=0))

    def wall_distance(self, points: Points) -> Points:
        """Signed distance in mm, negative inside, of points (N, 3) to the ribs' inner face."""
        row = (points[:, 2] - HEIGHTS[0]) / 2.0
        angle = np.arctan2(points[:, 1], points[:, 0]) * (ANGLES / (2 * np.pi)) % ANGLES
        cage = map_coordinates(self.cage, [row, angle], order=1, mode="grid-wrap")
        return np.asarray(np.hypot(points[:, 0], points[:, 1]) - cage)


def angles() -> Points:
    """The even angles of the tables, in radians."""
    return np.asarray(np.arange(ANGLES) * (2 * np.pi / ANGLES))


def turn_from_back() -> Points:
    """Angle of each table column from the middle of the back, 0 to 180 degrees."""
    degrees = np.degrees(angles())
    return np.asarray(np.abs((degrees - 90.0 + 180.0) % 360.0 - 180.0))


def superellipse(half_width: Points, front: Points, back: Points, power: float) -> Points:
    """Radii (H, A) of rounded outlines from their half-axes (H,)."""
    turn = angles()
    depth = np.where(np.sin(turn) > 0, back[:, None], front[:, None])
    sides = (np.abs(np.cos(turn)) / half_width[:, None]) ** power
    return np.asarray((sides + (np.abs(np.sin(turn)) / depth) ** power) ** (-1.0 / power))


def wobble(rng: np.random.Generator, amplitude: float, rows: float, columns: float) -> Points:
    """A slow irregularity over heights and angles, of the given standard deviation in mm."""
    coarse = 8
    noise = rng.standard_normal((len(HEIGHTS), ANGLES // coarse))
    smooth = gaussian_filter(noise, (rows, columns / coarse), mode=("nearest", "wrap"))
    low, part = np.divmod(np.arange(ANGLES), coarse)
    after = smooth[:, (low + 1) % smooth.shape[1]]
    fine = smooth[:, low] + (after - smooth[:, low]) * (part / coarse)
    return np.asarray(fine * (amplitude / smooth.std()))


def draw_outlines(build: Build, organs: Mediastinum, rng: np.random.Generator) -> Outlines:
    """Draw the outlines of one patient around the organs between the lungs."""
    sx, sy, sz = build.scale
    rows = [np.interp(HEIGHTS / sz, PROFILE[:, 0], column) for column in PROFILE.T[1:]]
    width, front, back, skin_width, skin_front, skin_back = (
        gaussian_filter1d(row, 7.0, mode="nearest") for row in rows
    )
    cage = superellipse(width * sx, front * sy, back * sy, 2.3)
    cage += wobble(rng, build.wobble[1], 14.0, 60.0)
    skin, fat = skin_and_fat(
        build, superellipse(skin_width * sx, skin_front * sy, skin_back * sy, 2.25)
    )
    skin += wobble(rng, build.wobble[0], 25.0, 90.0)
    skin = np.maximum(skin, cage + RIB_SHELL_MM + fat + 5.0)
    lying = 108.0 * sy + 0.4 * build.fat_mm  # the couch flattens the back
    below = skin * np.sin(angles()) - lying
    skin -= 0.8 * (0.5 * below + np.sqrt(0.25 * below**2 + 6.0))
    inner = {side: inner_border(build, organs, side) for side in (LEFT, RIGHT)}
    domes = {RIGHT: -62.0 + rng.normal(0, 6), LEFT: -73.0 + rng.normal(0, 6)}
    planes = wobble(rng, build.wobble[2], 9.0, 25.0)
    return Outlines(build, skin, skin - fat, cage, inner, domes, planes)


def skin_and_fat(build: Build, skin: Points) -> tuple[Points, Points]:
    """Add fat and breasts to a lean outline; returns skin radii and fat thickness (H, A)."""
    turn, height = turn_from_back(), HEIGHTS[:, None] / build.scale[2]
    spread = 0.55 + 0.6 * bump(turn, 95.0, 45.0) + 0.35 * bump(turn, 0.0, 18.0)
    fat = build.fat_mm * (spread + 0.25 * smooth_step(-height, 0.0, 150.0))
    breast = build.breast_mm * bump(turn, 137.0, 15.0) * bump(height, -28.0, 34.0)
    lean = 0.55 * build.fat_mm - 6.0
    groove = 5.0 * bump(turn, 0.0, 6.0) - 5.0 * bump(turn, 19.0, 10.0)
    return skin + lean + breast - groove, fat + 0.95 * breast


def inner_border(build: Build, organs: Mediastinum, side: int) -> Points:
    """Distance (H, D) of one lung's inner border from the midline, around the organs there."""
    sx, sy, sz = build.scale
    y, z = (np.asarray(a, dtype=np.float64) for a in np.meshgrid(DEPTHS, HEIGHTS))
    back, height = y / sy, z / sz
    base = 10.0 + 11.0 * smooth_step(back, 16.0, 38.0) + 12.0 * smooth_step(back, 60.0, 88.0)
    base -= 6.0 * smooth_step(-back, 30.0, 62.0) * bump(height, 5.0, 45.0)
    base += 14.0 * smooth_step(height, 55.0, 100.0) * smooth_step(-back, -60.0, -20.0)
    base += 16.0 * smooth_step(-height, 45.0, 95.0) * smooth_step(-back, 10.0, 60.0)
    hilum = 34.0 * bump(np.hypot((back - 6.0) / 1.0, (height + 8.0) / 1.25), 0.0, 17.0)
    reach = np.maximum(base * sx, organs.reach(y, z, side))
    return np.asarray(np.maximum(gaussian_filter(reach, 1.4), hilum * sx))


def armpit_table(outlines: Outlines) -> NDArray[np.float32]:
    """Half-thickness (H, A) in mm of the fat between the muscles of the armpit; negative: none."""
    turn, height = turn_from_back(), HEIGHTS[:, None] / outlines.build.scale[2]
    fat = 17.0 * bump(turn, 104.0, 13.0) * bump(height, 72.0, 38.0) - 3.0
    return np.asarray(fat + 0.5 * outlines.planes, dtype=np.float32)


def at_heights(table: AnyPoints, heights: AnyPoints) -> NDArray[np.float32]:
    """A table (H, ...) over HEIGHTS, interpolated at other heights."""
    position = np.clip((heights - HEIGHTS[0]) / 2.0, 0, len(HEIGHTS) - 1.001)
    low = np.floor(position).astype(int)
    part = (position - low)[:, None]
    return np.asarray(table[low] * (1 - part) + table[low + 1] * part, dtype=np.float32)
