"""Tumours and cysts of the liver."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from scripts.phantom.abdomen.organs import Organs, liver_at
from scripts.phantom.abdomen.torso import Torso
from scripts.phantom.solids import Ellipsoid

TRIES = 4000
SMALLEST_MM, LARGEST_MM = 5.0, 26.0  # radii
KINDS = ("metastasis", "carcinoma")


@dataclass(frozen=True)
class Lesion:
    """One lesion: ``metastasis``, ``carcinoma`` or ``cyst``, and its outline."""

    kind: str
    solid: Ellipsoid

    @property
    def is_tumour(self) -> bool:
        """Whether it is a tumour and not a cyst."""
        return self.kind in KINDS


def draw_lesions(
    organs: Organs,
    torso: Torso,
    rng: np.random.Generator,
    *,
    counts: tuple[int, int],
    heights_mm: tuple[float, float],
) -> tuple[Lesion, ...]:
    """Draw separate lesions inside the liver.

    Args:
        organs: the patient's organs.
        torso: the patient's trunk.
        rng: random generator of the patient's lesions.
        counts: number of tumours and of cysts.
        heights_mm: lowest and highest centre that the scan shows.

    Raises:
        ValueError: when the visible part of the liver has no room for them.
    """
    kind = str(rng.choice(KINDS, p=(0.7, 0.3)))
    wanted = [kind] * counts[0] + ["cyst"] * counts[1]
    found: list[Lesion] = []
    low, high = np.array([-130.0, -90.0, heights_mm[0]]), np.array([60.0, 90.0, heights_mm[1]])
    points = rng.uniform(low, high, (TRIES, 3))
    depths = -liver_at(organs, torso, points)
    for point, depth in zip(points, depths, strict=True):
        if len(found) == len(wanted):
            break
        drawn = rng.lognormal(np.log(12.0), 0.45)
        radius = float(np.clip(drawn, SMALLEST_MM, LARGEST_MM))
        if depth < 0.8 * radius + 2.0 or any(_near(point, radius, other) for other in found):
            continue
        turn = Rotation.from_euler("xyz", rng.uniform(0, 180, 3), degrees=True).as_matrix()
        solid = Ellipsoid(point, radius * rng.uniform(0.8, 1.2, 3), turn)
        found.append(Lesion(wanted[len(found)], solid))
    if len(found) < len(wanted):
        raise ValueError(
            f"slices: the visible part of the liver, from {heights_mm[0]:.0f} to "
            f"{heights_mm[1]:.0f} mm, has no room for {len(wanted)} lesions; raise slices"
        )
    return tuple(found)


def _near(point: NDArray[np.float64], radius: float, other: Lesion) -> bool:
    gap = float(np.linalg.norm(point - other.solid.centre))
    return gap < radius + float(other.solid.half_axes.max()) + 6.0
