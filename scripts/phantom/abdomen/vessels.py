"""Vessels of the abdomen: the great ones along the spine, and the trees inside the liver."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scripts.phantom.abdomen.build import Body
from scripts.phantom.abdomen.organs import Organs, bent, liver_at
from scripts.phantom.abdomen.torso import Torso
from scripts.phantom.branching import Tree, unit
from scripts.phantom.mediastinum import Tube

Points = NDArray[np.float64]
HILUM = (-30.0, -16.0, 6.0)
CAVAL = (-22.0, 4.0, 62.0)  # where the hepatic veins join the vena cava
INSIDE_MM = 5.0  # vessels of the liver stay this far below its surface
# tissue, radius in mm, course in the standard abdomen
COURSES: tuple[tuple[str, float, tuple[tuple[float, float, float], ...]], ...] = (
    ("cava", 11.5, ((-20, 8, 130), (-23, 4, 60), (-24, 2, 10), (-22, 8, -100))),
    ("cava", 8.0, ((-22, 8, -98), (-34, 14, -150), (-52, 22, -210))),
    ("cava", 8.0, ((-22, 8, -98), (10, 18, -140), (48, 24, -210))),
    ("cava", 5.0, ((-22, 4, -28), (2, -9, -22), (24, 4, -20), (44, 26, -19))),
    ("cava", 5.0, ((-22, 6, -34), (-36, 18, -34), (-46, 28, -33))),
    ("portal_vein", 5.0, ((-2, -22, -100), (-5, -22, -60), (-4, -20, -12))),
    ("portal_vein", 4.6, ((-4, -19, -10), (28, -4, 10), (56, 16, 18), (80, 32, 24))),
    ("portal_vein", 7.0, ((-4, -20, -12), (-16, -20, -4), HILUM)),
    ("artery", 10.0, ((16, 14, 130), (11, 9, 60), (7, 4, 0), (4, 5, -95))),
    ("artery", 6.0, ((4, 5, -94), (-16, 10, -130), (-48, 12, -210))),
    ("artery", 6.0, ((4, 5, -94), (22, 10, -130), (52, 12, -210))),
    ("artery", 3.4, ((7, 2, 8), (7, -16, 2), (8, -22, -30), (6, -24, -110))),
    ("artery", 3.0, ((8, 2, 22), (7, -14, 22), (-12, -18, 16), (-26, -19, 8))),
    ("artery", 2.8, ((7, -14, 22), (34, 2, 22), (72, 26, 28))),
    ("artery", 2.8, ((6, 4, -20), (24, 14, -18), (44, 30, -19))),
    ("artery", 2.8, ((6, 4, -24), (-20, 18, -32), (-46, 31, -33))),
)


def draw_great_vessels(body: Body, rng: np.random.Generator) -> tuple[Tube, ...]:
    """Draw the vessels outside the liver."""
    calibre = float(rng.normal(1.0, 0.07))
    return tuple(
        bent(body, tissue, radius * calibre, np.array(points)) for tissue, radius, points in COURSES
    )


def draw_liver_vessels(
    organs: Organs, torso: Torso, rng: np.random.Generator
) -> tuple[tuple[str, Tree], ...]:
    """Draw the portal tree from the hilum and the hepatic veins from the vena cava."""
    scale = np.array(torso.body.scale)
    portal = grow_tree(
        organs,
        torso,
        rng,
        root=np.array(HILUM) * scale,
        headings=np.array([[-1, -0.1, 0.25], [0.75, -0.8, 0.5], [-0.9, 0.3, -0.5]]),
        radius_mm=5.2,
    )
    veins = grow_tree(
        organs,
        torso,
        rng,
        root=np.array(CAVAL) * scale,
        headings=np.array([[-1, 0.15, -0.45], [-0.5, -1, -0.4], [0.5, -0.9, -0.05]]),
        radius_mm=4.4,
    )
    return ("hepatic_vein", veins), ("portal_vein", portal)


def grow_tree(
    organs: Organs,
    torso: Torso,
    rng: np.random.Generator,
    *,
    root: Points,
    headings: Points,
    radius_mm: float,
) -> Tree:
    """Grow a tree that divides in two, by Murray's law, and ends where the liver does."""
    heading = unit(headings + rng.normal(0, 0.12, headings.shape))
    tips: Points = np.repeat(root[None], len(heading), 0)
    radii: Points = np.full(len(heading), radius_mm)
    ends, widths = [], []
    for generation in range(7):
        length = (13.0 + 2.2 * radii) * rng.uniform(0.8, 1.25, len(radii))
        reached = tips + heading * length[:, None]
        inside = liver_at(organs, torso, reached) < -INSIDE_MM if generation else radii > 0
        tips, reached, radii, heading = (a[inside] for a in (tips, reached, radii, heading))
        if not len(radii):
            break
        ends.append(np.stack([tips, reached], axis=1))
        share = rng.uniform(0.35, 0.65, len(radii))
        children = np.stack([np.cbrt(share), np.cbrt(1 - share)], axis=1) * radii[:, None]
        widths.append(np.stack([radii, children.max(axis=1)], axis=1))
        aside = unit(np.cross(heading, rng.normal(size=heading.shape)))
        turn = np.stack([1.35 * (1 - share), -1.35 * share], axis=1)
        heading = unit(heading[:, None] + turn[:, :, None] * aside[:, None]).reshape(-1, 3)
        tips, radii = np.repeat(reached, 2, axis=0), children.ravel()
        large = radii > 0.9
        tips, radii, heading = tips[large], radii[large], heading[large]
    return Tree(np.concatenate(ends), np.concatenate(widths))
