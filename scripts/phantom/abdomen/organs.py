"""Position and shape of a patient's abdominal organs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.phantom.abdomen.build import Body
from scripts.phantom.abdomen.torso import Torso
from scripts.phantom.mediastinum import Tube, smooth_line
from scripts.phantom.outlines import ANGLES, HEIGHTS
from scripts.phantom.solids import (
    Array,
    Axes,
    Ellipsoid,
    ellipsoid,
    rise,
    smooth_max,
    smooth_min,
)

Points = NDArray[np.float64]
KIDNEY_GAP_MM, GALL_GAP_MM = np.float32(4.0), np.float32(3.0)  # that the liver keeps from them


@dataclass(frozen=True)
class Liver:
    """The liver under the diaphragm, between the right wall and the stomach.

    Args:
        tip_mm: height of its lowest edge at the right wall.
        slope: rise of that edge towards the left.
        left_mm: x that the left lobe reaches.
        medial_mm: x of the right lobe's inner border at the back.
    """

    tip_mm: float
    slope: float
    left_mm: float
    medial_mm: float

    def distance(self, axes: Axes, wall: Array, torso: Torso) -> Array:
        """Signed distance in mm, nearly, at axes where the distance to the wall is given."""
        scale = [np.float32(factor) for factor in torso.body.scale]
        x, y, z = (axis / factor for axis, factor in zip(axes, scale, strict=True))
        edge = np.float32(self.tip_mm) + np.float32(self.slope) * (x + np.float32(112))
        edge = edge + np.float32(0.3) * np.maximum(y, np.float32(-20))
        low = (edge - z) * np.float32(0.8)
        front = rise(-y, -14.0, 56.0)
        inner = x - np.float32(self.medial_mm)
        inner = inner - np.float32(self.left_mm - self.medial_mm) * front
        inner = inner * np.float32(0.62) + np.float32(0.12) * np.maximum(z - np.float32(40), 0)
        dome = (axes[2] - torso.diaphragm(axes[0], axes[1]) + np.float32(3)) * np.float32(0.75)
        body = smooth_max(low, inner, 26.0)
        return smooth_max(np.maximum(body, dome), wall + np.float32(3.0), 10.0)


@dataclass(frozen=True)
class Kidney:
    """A kidney: its outline, the fat and the pelvis in its sinus, in mm."""

    outline: Ellipsoid
    sinus: Ellipsoid
    pelvis: Ellipsoid

    def distance(self, axes: Axes) -> Array:
        """Signed distance in mm to the tissue of the kidney, without its sinus."""
        return smooth_max(self.outline.distance(axes), -self.sinus.distance(axes), 6.0)


@dataclass(frozen=True)
class Organs:
    """The organs of one patient; left and right are the patient's."""

    liver: Liver
    spleen: tuple[Ellipsoid, Ellipsoid]
    kidneys: tuple[Kidney, Kidney]
    stomach: tuple[Ellipsoid, ...]
    stomach_level_mm: float
    gallbladder: Ellipsoid
    heart: tuple[Ellipsoid, Ellipsoid]
    pancreas: tuple[Tube, ...]
    muscles: tuple[Tube, ...]
    colon: Tube

    def spleen_distance(self, axes: Axes, wall: Array, torso: Torso) -> Array:
        """Signed distance in mm to the spleen: hollow towards the stomach, under the diaphragm."""
        body, hollow = (solid.distance(axes) for solid in self.spleen)
        dome = (axes[2] - torso.diaphragm(axes[0], axes[1]) + np.float32(4)) * np.float32(0.75)
        shape = smooth_max(body, -hollow, 10.0)
        return np.asarray(np.maximum(smooth_max(shape, wall + np.float32(4.0), 8.0), dome))

    def stomach_distance(self, axes: Axes) -> Array:
        """Signed distance in mm to the stomach's outside."""
        shape = self.stomach[0].distance(axes)
        for part in self.stomach[1:]:
            shape = smooth_min(shape, part.distance(axes), 22.0)
        return shape


def draw_organs(body: Body, rng: np.random.Generator) -> Organs:
    """Draw where one patient's organs lie."""
    scale = body.scale

    def place(x: float, y: float, z: float, spread: float = 3.0) -> list[float]:
        return [float(v + d) for v, d in zip((x, y, z), rng.normal(0, spread, 3), strict=True)]

    liver = Liver(
        tip_mm=float(rng.normal(-70.0, 9.0)),
        slope=float(rng.uniform(0.64, 0.82)),
        left_mm=float(rng.uniform(50.0, 86.0)),
        medial_mm=float(rng.normal(-14.0, 3.0)),
    )
    spleen_at, size = place(98, 42, 30), float(rng.uniform(0.8, 1.15))
    spleen = ellipsoid(spleen_at, np.array([40, 52, 60]) * size, scale, (12, -14, 25))
    hollow = ellipsoid(
        np.add(spleen_at, (-46, -30, -6)).tolist(), (36, 40, 44), scale, (0, -10, 20)
    )
    filled = float(rng.uniform(0.75, 1.15))
    stomach = (
        ellipsoid(place(58, 4, 44), np.array([36, 40, 34]) * filled, scale),
        ellipsoid(place(50, -36, 12), np.array([28, 32, 32]) * filled, scale, (0, 20, 10)),
        ellipsoid(place(18, -58, -12), np.array([34, 20, 18]) * filled, scale, (0, -20, 0)),
    )
    calibre = float(rng.normal(1.0, 0.08))
    return Organs(
        liver=liver,
        spleen=(spleen, hollow),
        kidneys=(draw_kidney(body, rng, 1), draw_kidney(body, rng, -1)),
        stomach=stomach,
        stomach_level_mm=float(rng.uniform(-38.0, -18.0)),
        gallbladder=ellipsoid(place(-50, -54, -30), (15, 17, 27), scale, (25, 20, 0)),
        heart=(
            ellipsoid((14, -36, 112), (60, 46, 44), scale, (0, -12, -20)),
            ellipsoid((22, -34, 114), (42, 28, 32), scale, (0, -12, -20)),
        ),
        pancreas=draw_pancreas(body, rng),
        muscles=draw_muscles(body, calibre),
        colon=draw_colon(body, rng),
    )


def draw_kidney(body: Body, rng: np.random.Generator, side: int) -> Kidney:
    """Draw the left (side 1) or right (side -1) kidney, its hilum turned to the spine."""
    low = -20.0 if side > 0 else -34.0
    at = np.array([side * 62.0, 40.0, low]) + rng.normal(0, (3, 2, 6))
    size = float(rng.normal(1.0, 0.06))
    turn = (float(rng.normal(-8, 4)), side * float(rng.normal(12, 4)), side * -28.0)
    towards = np.array([-side * 20.0, -10.0, 0.0])
    outline = ellipsoid(at, np.array([29, 25, 54]) * size, body.scale, turn)
    sinus = ellipsoid(at + towards, np.array([19, 10, 25]) * size, body.scale, turn)
    pelvis = ellipsoid(at + towards * 1.05, np.array([13, 5.5, 15]) * size, body.scale, turn)
    return Kidney(outline, sinus, pelvis)


def bent(body: Body, tissue: str, radius_mm: float, points: Points) -> Tube:
    """A tube through points of the standard abdomen."""
    return Tube(tissue, smooth_line(points * np.array(body.scale)), radius_mm)


def draw_pancreas(body: Body, rng: np.random.Generator) -> tuple[Tube, ...]:
    """Draw head, body and tail."""
    shift = rng.normal(0, 3, 3)
    course = np.array([[-32, -16, -34], [-26, -22, -16], [0, -32, 0], [36, -10, 14], [70, 18, 22]])
    thick = bent(body, "pancreas", float(rng.uniform(9, 12)), course + shift)
    head = bent(body, "pancreas", float(rng.uniform(13, 16)), course[:2] + shift)
    return thick, head


def draw_muscles(body: Body, calibre: float) -> tuple[Tube, ...]:
    """Draw psoas and quadratus muscles and the crura of the diaphragm."""
    tubes = []
    for side in (1.0, -1.0):
        for radius, course in (
            (17.0, [[side * 30, 44, -20], [side * 38, 40, -80], [side * 50, 28, -230]]),
            (13.0, [[side * 60, 66, 20], [side * 70, 68, -60], [side * 84, 66, -160]]),
            (7.0, [[side * 12, 14, 70], [side * 14, 14, 20], [side * 12, 18, -30]]),
        ):
            tubes.append(bent(body, "muscle", radius * calibre, np.array(course, dtype=float)))
    return tuple(tubes)


def draw_colon(body: Body, rng: np.random.Generator) -> Tube:
    """Draw the colon from the right iliac fossa over both flexures to the left one."""
    sag = float(rng.uniform(-95, -50))
    course = np.array(
        [
            [-92, -8, -200], [-98, 14, -140], [-100, 20, -96], [-92, -20, -74], [-56, -74, sag],
            [0, -84, sag - 8], [52, -76, sag + 14], [88, -30, -24], [106, 12, -14],
            [112, 36, -52], [110, 34, -120], [98, 8, -200],
        ],
        dtype=float,
    )  # fmt: skip
    return bent(body, "faeces", float(rng.uniform(16, 22)), course + rng.normal(0, 3, course.shape))


def wall_at(torso: Torso, points: Points) -> Array:
    """Signed distance in mm, negative inside, of points (N, 3) to the wall of the cavity."""
    rows = np.clip(np.rint((points[:, 2] - HEIGHTS[0]) / 2.0).astype(int), 0, len(HEIGHTS) - 1)
    turn = np.arctan2(points[:, 1], points[:, 0]) * (ANGLES / (2 * np.pi))
    cavity = torso.cavity[rows, np.rint(turn).astype(int) % ANGLES]
    return np.asarray(np.hypot(points[:, 0], points[:, 1]) - cavity, dtype=np.float32)


def liver_at(organs: Organs, torso: Torso, points: Points) -> Array:
    """Signed distance in mm, negative inside, of points (N, 3) to the liver as it is drawn."""
    x, y, z = points.astype(np.float32).T
    distance = organs.liver.distance((x, y, z), wall_at(torso, points), torso)
    distance = np.maximum(distance, KIDNEY_GAP_MM - organs.kidneys[1].outline.distance((x, y, z)))
    gall = GALL_GAP_MM - organs.gallbladder.distance((x, y, z))
    return np.asarray(np.maximum(distance, gall))
