"""Vessels and airways of the lungs: trees that divide outwards from the hilum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.phantom.outlines import LEFT, RIGHT, Outlines
from scripts.phantom.solids import Array, Grid, tube_shares

Points = NDArray[np.float64]
GENERATIONS = 11
BATCHES, BATCH = 9, 220
SURFACE_MM = 4.0  # vessels end this far below the pleura

# Directions from the hilum (outwards, posterior, head-wards) of the lobar and segmental trunks.
TRUNKS = np.array(
    [
        [0.25, 0.1, 1.0],
        [0.5, -0.35, 0.9],
        [0.55, 0.55, 0.75],
        [0.8, -0.75, 0.25],
        [0.75, -0.8, -0.35],
        [0.75, 0.75, 0.05],
        [0.35, 0.55, -0.9],
        [0.75, 0.15, -0.75],
        [0.45, -0.15, -0.85],
    ]
)


@dataclass(frozen=True)
class Tree:
    """Tapering segments: ends (N, 2, 3) and radii (N, 2) in mm."""

    ends: Points
    radii: Points

    def thicker(self, radius_mm: float) -> Tree:
        """The part of the tree that starts thicker than a radius."""
        keep = self.radii[:, 0] > radius_mm
        return Tree(self.ends[keep], self.radii[keep])

    def distance(self, point: Points) -> float:
        """Distance in mm from a point to the nearest vessel's surface; negative inside one."""
        start, step = self.ends[:, 0], self.ends[:, 1] - self.ends[:, 0]
        part = np.einsum("ij,ij->i", point - start, step) / np.einsum("ij,ij->i", step, step)
        nearest = start + np.clip(part, 0, 1)[:, None] * step
        gap = np.linalg.norm(point - nearest, axis=1) - self.radii[:, 0]
        return float(gap.min(initial=np.inf))


def joined(trees: list[Tree]) -> Tree:
    """Several trees as one."""
    return Tree(
        np.concatenate([tree.ends for tree in trees]), np.concatenate([t.radii for t in trees])
    )


def hilum(outlines: Outlines, side: int) -> Points:
    """Where vessels and airways enter a lung."""
    return np.array([side * 40.0, 8.0, -8.0]) * outlines.build.scale


def unit(vectors: NDArray[np.floating]) -> Points:
    """Vectors (..., 3) at length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def grow(
    outlines: Outlines,
    rng: np.random.Generator,
    side: int,
    *,
    radius_mm: float,
    smallest_mm: float,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Tree:
    """Grow one tree in one lung, generation by generation.

    A segment is about three to four of its diameters long; it divides in two unequal branches
    whose cubed radii add up to its own (Murray's law), and turns away from the pleura.
    """
    heading = unit(TRUNKS * [side, 1, 1] + rng.normal(0, 0.18, TRUNKS.shape))
    start = hilum(outlines, side) + np.array(offset) * [side, 1, 1]
    tips = np.repeat(start[None], len(heading), 0) + heading * 2.0
    radii = radius_mm * rng.uniform(0.75, 1.0, len(heading))
    ends, widths = [], []
    for generation in range(GENERATIONS):
        length = (5.0 + 4.4 * radii) * rng.uniform(0.75, 1.3, len(radii))
        heading = steer(outlines, side, tips, heading, length, rng)
        finish = tips + heading * length[:, None]
        limit = SURFACE_MM if generation else -9.0
        keep = outlines.lung_distance(finish, side) < -limit * (radii < 2.5)
        tips, heading, finish, radii = tips[keep], heading[keep], finish[keep], radii[keep]
        if len(tips) == 0:
            break
        ends.append(np.stack([tips, finish], axis=1))
        widths.append(np.stack([radii, radii * 0.88], axis=1))
        tips, heading, radii = divide(finish, heading, radii * 0.9, rng)
        keep = radii > smallest_mm
        tips, heading, radii = tips[keep], heading[keep], radii[keep]
    return Tree(np.concatenate(ends), np.concatenate(widths))


def steer(
    outlines: Outlines,
    side: int,
    tips: Points,
    heading: Points,
    length: Points,
    rng: np.random.Generator,
) -> Points:
    """Choose, of several bent headings, the one that stays deepest inside the lung."""
    tries = unit(heading[None] + rng.normal(0, 0.28, (4, *heading.shape)))
    tries[0] = heading
    ahead = tips[None] + tries * (length * 1.6)[None, :, None]
    depth = outlines.lung_distance(ahead.reshape(-1, 3), side).reshape(4, -1)
    depth = np.maximum(depth, -12.0) + np.array([0.0, 1.0, 1.0, 1.0])[:, None]
    return np.asarray(tries[depth.argmin(axis=0), np.arange(len(tips))])


def fill(outlines: Outlines, tree: Tree, side: int, rng: np.random.Generator) -> Tree:
    """Send thin vessels from a tree to where the lung has none yet.

    Points spread evenly over the lung are joined to the nearest vessel that lies nearer the hilum,
    in a bent line; later points may join earlier ones.
    """
    start = hilum(outlines, side)
    low, high = outlines.extent_mm
    trees = [tree]
    for _ in range(BATCHES):
        points = rng.uniform([8, -85, low], [130, 90, high], (BATCH, 3)) * [side, 1, 1]
        points = points[outlines.lung_distance(points, side) < -SURFACE_MM]
        known = joined(trees)
        gaps = np.linalg.norm(points[:, None] - known.ends[None, :, 1], axis=2)
        outward = np.linalg.norm(known.ends[:, 1] - start, axis=1)
        reach = np.linalg.norm(points - start, axis=1)
        gaps = gaps + 1e3 * (outward[None] > 0.9 * reach[:, None])
        parent = gaps.argmin(axis=1)
        gap = gaps[np.arange(len(points)), parent]
        keep = (gap > 5.0) & (gap < 60.0)
        points, parent, gap = points[keep], parent[keep], gap[keep]
        root = known.ends[parent, 1]
        bend = rng.normal(0, 0.1, points.shape) * gap[:, None]
        line = [root, root + (points - root) * 0.33 + bend, root + (points - root) * 0.67 + bend]
        line.append(points)
        width = np.minimum(np.maximum(known.radii[parent, 1] * 0.9, 0.85), 0.75 + 0.02 * gap)
        for step, share in enumerate((1.0, 0.85, 0.7)):
            radii = width[:, None] * np.array([share, share - 0.15])
            trees.append(Tree(np.stack([line[step], line[step + 1]], axis=1), radii))
    return joined(trees)


def divide(
    tips: Points, heading: Points, radii: Points, rng: np.random.Generator
) -> tuple[Points, Points, Points]:
    """Split every tip in two: new tips, headings and radii, twice as many."""
    across = unit(np.cross(heading, rng.standard_normal(heading.shape)))
    share = rng.uniform(0.3, 0.7, len(radii))[:, None]
    spread = rng.uniform(0.75, 1.2, len(radii))[:, None]
    first = unit(heading + across * spread * (1 - share))
    second = unit(heading - across * spread * share)
    split = np.concatenate([share, 1 - share])[:, 0] ** (1 / 3)
    both = np.concatenate([radii, radii]) * split
    return np.concatenate([tips, tips]), np.concatenate([first, second]), both


def draw_vessels(outlines: Outlines, rng: np.random.Generator) -> Tree:
    """Arteries and veins of both lungs."""
    trees = []
    for side in (LEFT, RIGHT):
        arteries = grow(outlines, rng, side, radius_mm=4.4, smallest_mm=0.5)
        veins = grow(outlines, rng, side, radius_mm=3.6, smallest_mm=0.5, offset=(0, -8, -14))
        trees.append(fill(outlines, joined([arteries, veins]), side, rng))
    return joined(trees)


def draw_bronchi(outlines: Outlines, rng: np.random.Generator) -> Tree:
    """Lobar to subsegmental airways of both lungs: radii of the air inside."""
    return joined(
        [
            grow(outlines, rng, side, radius_mm=3.6, smallest_mm=1.4, offset=(2, 8, -1))
            for side in (LEFT, RIGHT)
        ]
    )


def tree_share(tree: Tree, grid: Grid, *, widen_mm: float = 0.0) -> Array:
    """Share (Z, Y, X) of each voxel that a tree fills."""
    share = np.zeros(grid.shape, dtype=np.float32)
    margin = tree.radii.max(axis=1) + widen_mm + 3.0
    above = tree.ends[..., 2].max(axis=1) + margin > grid.z[0]
    shown = above & (tree.ends[..., 2].min(axis=1) - margin < grid.z[-1])
    for window, part in tube_shares(grid, tree.ends[shown], tree.radii[shown] + widen_mm):
        np.maximum(share[window], part, out=share[window])
    return share
