"""The mediastinum: heart, great vessels, trachea and main bronchi, oesophagus."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scripts.phantom.build import Build
from scripts.phantom.solids import Array, Ellipsoid, Grid, blend, tube_share

Path = tuple[str, float, tuple[tuple[float, float, float], ...]]  # tissue, radius, points in mm

# Courses in a standard chest (x left, y posterior, z head-wards; mm), carina near z = 20.
TUBES: dict[str, Path] = {
    "gullet": ("muscle", 7.0, (
        (2, 30, 130), (4, 30, 40), (7, 32, -20), (12, 22, -110), (16, 8, -135),
    )),
    "descending_aorta": ("blood", 12.0, (
        (23, 18, 40), (26, 30, 20), (25, 36, -20), (18, 34, -80), (8, 32, -190),
    )),
    "ascending_aorta": ("blood", 15.0, (
        (2, -24, -32), (-10, -32, -8), (-14, -30, 22), (-8, -22, 38),
    )),
    "aortic_arch": ("blood", 13.0, ((-8, -22, 38), (5, -8, 47), (16, 6, 47), (23, 18, 40))),
    "brachiocephalic_artery": ("blood", 6.0, (
        (-2, -14, 52), (-10, -8, 78), (-17, -4, 105), (-32, -2, 135),
    )),
    "left_carotid": ("blood", 4.0, ((7, -4, 52), (13, -2, 80), (17, 0, 135))),
    "left_subclavian": ("blood", 5.0, ((15, 6, 52), (23, 10, 80), (34, 10, 108), (60, 0, 128))),
    "superior_vena_cava": ("blood", 9.0, ((-27, -14, 66), (-27, -12, 30), (-27, -12, -30))),
    "left_brachiocephalic_vein": ("blood", 6.5, (
        (44, -22, 100), (26, -30, 78), (-4, -30, 66), (-26, -16, 62),
    )),
    "right_brachiocephalic_vein": ("blood", 7.0, ((-40, -12, 112), (-30, -14, 90), (-27, -14, 64))),
    "pulmonary_trunk": ("blood", 13.0, ((16, -42, -34), (20, -34, -14), (20, -20, 4))),
    "right_pulmonary_artery": ("blood", 10.0, (
        (20, -18, 2), (0, -10, -1), (-24, -4, -4), (-40, 2, -8),
    )),
    "left_pulmonary_artery": ("blood", 10.0, ((20, -18, 5), (32, -4, 9), (44, 10, 0))),
    "right_pulmonary_veins": ("blood", 7.0, ((-8, 6, -34), (-30, 2, -32), (-42, -2, -26))),
    "left_pulmonary_veins": ("blood", 7.0, ((12, 8, -34), (34, 6, -30), (46, 2, -24))),
    "inferior_vena_cava": ("blood", 11.0, ((-22, -4, -80), (-22, 4, -120), (-20, 10, -190))),
    "azygos_vein": ("blood", 3.5, (
        (-9, 34, -190), (-8, 34, -20), (-12, 30, 28), (-24, 6, 34), (-26, -8, 28),
    )),
}  # fmt: skip
AIRWAYS: dict[str, tuple[float, tuple[tuple[float, float, float], ...]]] = {
    "trachea": (8.5, ((0, 10, 140), (-1, 13, 80), (1, 18, 22))),
    "right_main_bronchus": (7.0, ((0, 18, 22), (-20, 19, 2), (-38, 17, -10))),
    "left_main_bronchus": (6.3, ((2, 18, 22), (24, 20, 2), (44, 20, -10))),
}
# name: tissue, centre, half-axes, rotation about z then x in degrees
CHAMBERS: dict[str, tuple[str, tuple[float, float, float], tuple[float, float, float], float]] = {
    "envelope": ("heart_muscle", (10, -28, -64), (58, 39, 41), -24.0),
    "left_ventricle": ("heart_muscle", (40, -26, -72), (43, 32, 35), -35.0),
    "right_ventricle": ("blood", (14, -46, -74), (46, 24, 32), -20.0),
    "right_atrium": ("blood", (-24, -22, -60), (26, 29, 36), 0.0),
    "left_atrium": ("blood", (4, 2, -42), (34, 17, 22), 0.0),
    "left_cavity": ("blood", (38, -26, -70), (31, 18, 22), -35.0),
}
PERICARDIAL_FAT_MM = 4.0


@dataclass(frozen=True)
class Tube:
    """A bent tube: tissue, points (N, 3) of its axis and its radius, in mm."""

    tissue: str
    points: NDArray[np.float64]
    radius_mm: float


@dataclass(frozen=True)
class Mediastinum:
    """The solids between the lungs, in patient coordinates."""

    tubes: tuple[Tube, ...]
    airways: tuple[Tube, ...]
    chambers: tuple[tuple[str, Ellipsoid], ...]

    def reach(
        self, y: NDArray[np.float64], z: NDArray[np.float64], side: int
    ) -> NDArray[np.float64]:
        """How far (mm) from the midline the organs reach towards one side.

        Args:
            y, z: (H, D) rising coordinates of a plane, as np.meshgrid gives them.
            side: +1 left, -1 right.
        """
        reach = np.full(y.shape, -np.inf)
        for _, chamber in self.chambers:
            np.maximum(reach, chamber.grown(3.0).reach_along_x(y, z, side), out=reach)
        for tube in self.tubes + self.airways:
            for point in along(tube.points, 3.0):
                radius = tube.radius_mm + 2.5
                window = (
                    slice(*np.searchsorted(z[:, 0], (point[2] - radius, point[2] + radius))),
                    slice(*np.searchsorted(y[0], (point[1] - radius, point[1] + radius))),
                )
                gap = (y[window] - point[1]) ** 2 + (z[window] - point[2]) ** 2
                sphere = side * point[0] + np.sqrt(np.maximum(radius**2 - gap, 0.0))
                sphere[gap > radius**2] = -np.inf
                np.maximum(reach[window], sphere, out=reach[window])
        return reach


def along(points: NDArray[np.float64], step_mm: float) -> NDArray[np.float64]:
    """Points at most ``step_mm`` apart on a bent line through the points (N, 3)."""
    parts = []
    for start, end in pairwise(points):
        count = int(np.ceil(np.linalg.norm(end - start) / step_mm)) + 1
        parts.append(np.linspace(start, end, count))
    return np.concatenate(parts)


def smooth_line(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round the corners of a bent line (Chaikin's scheme, twice; the ends stay)."""
    for _ in range(2):
        cut = np.stack(
            [0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]]
        )
        inner = cut.transpose(1, 0, 2).reshape(-1, 3)
        points = np.concatenate([points[:1], inner[1:-1], points[-1:]])
    return points


def draw_mediastinum(build: Build, rng: np.random.Generator) -> Mediastinum:
    """Draw one patient's organs between the lungs."""
    scale = np.array(build.scale)
    calibre = rng.normal(1.0, 0.05)

    def bend(points: tuple[tuple[float, float, float], ...]) -> NDArray[np.float64]:
        return smooth_line(np.array(points, dtype=float) * scale)

    heart = rng.normal(1.0, 0.05)
    shift = rng.normal(0.0, 3.0, 3) * np.array([1.0, 0.7, 1.0])
    chambers = []
    for tissue, centre, half_axes, turn in CHAMBERS.values():
        rotation = Rotation.from_euler("zy", [turn, 12.0], degrees=True).as_matrix()
        ellipsoid = Ellipsoid(
            (np.array(centre, dtype=float) + shift) * scale, np.array(half_axes) * heart, rotation
        )
        chambers.append((tissue, ellipsoid))
    tubes = [Tube(tissue, bend(line), radius * calibre) for tissue, radius, line in TUBES.values()]
    airways = [Tube("air", bend(line), radius * calibre) for radius, line in AIRWAYS.values()]
    return Mediastinum(tuple(tubes), tuple(airways), tuple(chambers))


def paint_mediastinum(volume: Array, grid: Grid, organs: Mediastinum, build: Build) -> None:
    """Draw heart, vessels and gullet into a volume of HU, in place."""
    for _, chamber in organs.chambers:
        window, share = chamber.grown(PERICARDIAL_FAT_MM * 0.5).share(grid)
        blend(volume[window], build.hu("fat"), share)
    for tissue, chamber in organs.chambers:
        shell = chamber.grown(-PERICARDIAL_FAT_MM * 0.5)
        window, share = shell.share(grid)
        blend(volume[window], build.hu("heart_muscle"), share)
        if tissue == "blood":
            window, share = shell.grown(-2.5).share(grid)
            blend(volume[window], build.hu("blood"), share)
    for tube in organs.tubes:
        paint_tube(volume, grid, tube, build.hu(tube.tissue))


def paint_tube(volume: Array, grid: Grid, tube: Tube, value: float, margin_mm: float = 0.0) -> None:
    """Draw a bent tube, widened by a margin, into a volume in place."""
    radii = np.full(2, tube.radius_mm + margin_mm)
    for start, end in pairwise(tube.points):
        window, share = tube_share(grid, np.stack([start, end]), radii)
        blend(volume[window], value, share)


def paint_airways(volume: Array, grid: Grid, airways: tuple[Tube, ...], build: Build) -> None:
    """Draw the walls and then the air of windpipe and main bronchi into a volume, in place."""
    for tube in airways:
        paint_tube(volume, grid, tube, build.hu("muscle"), margin_mm=1.6)
    for tube in airways:
        paint_tube(volume, grid, tube, build.hu("air"))
