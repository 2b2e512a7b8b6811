"""Lung nodules: sites, shapes and density."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from scripts.phantom.branching import Tree, unit
from scripts.phantom.outlines import LEFT, RIGHT, Outlines, Points
from scripts.phantom.solids import Array, Grid, Window, blend, coverage

KINDS = ("solid", "part-solid", "ground-glass", "juxta-pleural", "vascular")
KIND_SHARES = (0.36, 0.14, 0.12, 0.22, 0.16)
# LUNA16's own list of 1,186: log of the diameter has mean 1.99 and deviation 0.47
LOG_MEAN, LOG_DEVIATION = 1.97, 0.49
TRIES = 400

Shape = tuple[Points, Points, Points, Points, tuple[float, float], float]


@dataclass(frozen=True)
class Nodule:
    """One nodule of a patient, before it is scanned.

    Args:
        kind: one of ``KINDS``.
        centre_mm: (3,) patient coordinates.
        diameter_mm: of the sphere of equal volume.
        side: +1 left lung, -1 right lung.
        axes: (3, 3) matrix that stretches and turns the outline.
        lobes: (L, 3) unit vectors, their ``heights`` (L,) and ``sharpness`` (L,).
        hu: radiodensity of its body and of its core.
        core: size of the denser core as a share of the radius, 0 for none.
    """

    kind: str
    centre_mm: Points
    diameter_mm: float
    side: int
    axes: Points
    lobes: Points
    heights: Points
    sharpness: Points
    hu: tuple[float, float]
    core: float

    def relative_distance(self, offsets: NDArray[np.floating]) -> Array:
        """Distance from the centre as a multiple of the outline's radius that way.

        Args:
            offsets: (N, 3) from the centre in mm.
        """
        local = (offsets @ self.axes).astype(np.float32)
        length = np.linalg.norm(local, axis=1) + np.float32(1e-6)
        toward = (local / length[:, None]) @ self.lobes.T.astype(np.float32)
        rise = np.exp((toward - 1) * self.sharpness.astype(np.float32))
        outline = 1.0 + rise @ self.heights.astype(np.float32)
        return np.asarray(length / outline * np.float32(2.0 / self.diameter_mm))


@dataclass(frozen=True)
class DrawnNodule:
    """A nodule's voxels in one scan: index window (z, y, x), mask there, its kind and class."""

    kind: str
    window: Window
    mask: NDArray[np.bool_]
    suspicious: bool | None = None


def draw_diameter(rng: np.random.Generator, low_mm: float, high_mm: float) -> float:
    """Draw a diameter from LUNA16's distribution, within limits."""
    for _ in range(1000):
        diameter = float(np.exp(rng.normal(LOG_MEAN, LOG_DEVIATION)))
        if low_mm <= diameter <= high_mm:
            return diameter
    return float(rng.uniform(low_mm, high_mm))


@dataclass(frozen=True)
class Sites:
    """The sites available to nodules.

    Args:
        outlines: outlines of the patient.
        vessels: vessels of the patient; nodules avoid thick ones, vascular nodules touch one.
        diameters_mm: smallest and largest diameter.
        heights_mm: lowest and highest z that the scan shows.
    """

    outlines: Outlines
    vessels: Tree
    diameters_mm: tuple[float, float]
    heights_mm: tuple[float, float]


def draw_nodules(sites: Sites, rng: np.random.Generator) -> list[Nodule]:
    """Draw one to four nodules that lie apart from each other inside the lungs.

    Raises:
        ValueError: if there is no room for even one.
    """
    count = int(rng.choice([1, 2, 3, 4], p=[0.4, 0.3, 0.2, 0.1]))
    nodules: list[Nodule] = []
    for _ in range(5 * count):
        kind = str(rng.choice(KINDS, p=KIND_SHARES))
        diameter = draw_diameter(rng, *sites.diameters_mm)
        shape = draw_shape(rng, kind, diameter)
        site = find_site(sites, rng, kind, diameter, nodules)
        if site is not None:
            nodules.append(Nodule(kind, site[0], diameter, site[1], *shape))
        if len(nodules) == count:
            break
    if not nodules:
        low, high = sites.heights_mm
        raise ValueError(
            f"no nodule of {sites.diameters_mm[0]:g} to {sites.diameters_mm[1]:g} mm fits into "
            f"the {high - low:.0f} mm of lung shown; lower nodule_max_mm or raise slices"
        )
    return nodules


def draw_shape(rng: np.random.Generator, kind: str, diameter_mm: float) -> Shape:
    """Draw axes, lobes, their heights and sharpness, HU of body and core, and core size."""
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    axes = turn @ np.diag(np.exp(rng.normal(0, 0.13, 3)))
    count = int(rng.integers(5, 12))
    lobes, heights = rng.standard_normal((count, 3)), rng.normal(0.0, 0.16, count)
    sharpness = rng.uniform(2.0, 9.0, count)
    if diameter_mm > 8.0 and kind != "ground-glass" and rng.random() < 0.4:
        spikes = int(rng.integers(8, 20))
        lobes = np.concatenate([lobes, rng.standard_normal((spikes, 3))])
        heights = np.concatenate([heights, rng.uniform(0.2, 0.6, spikes)])
        sharpness = np.concatenate([sharpness, rng.uniform(35.0, 90.0, spikes)])
    body = {"ground-glass": rng.uniform(-690, -520), "part-solid": rng.uniform(-620, -450)}
    hu = (float(body.get(kind, rng.uniform(10, 60))), float(rng.uniform(10, 60)))
    core = float(rng.uniform(0.35, 0.6)) if kind == "part-solid" else 0.0
    return axes, unit(lobes), np.clip(heights, -0.3, 0.6), sharpness, hu, core


def place_nodules(
    sites: Sites, rng: np.random.Generator, planned: Iterable[tuple[float, Shape]]
) -> dict[int, Nodule]:
    """Place nodules of given diameters and shapes, as far as there is room for them.

    Returns:
        Position among the planned ones -> nodule.
    """
    placed: dict[int, Nodule] = {}
    for number, (diameter, shape) in enumerate(planned):
        site = find_site(sites, rng, "solid", diameter, list(placed.values()))
        if site is not None:
            placed[number] = Nodule("solid", site[0], diameter, site[1], *shape)
    return placed


def find_site(
    sites: Sites,
    rng: np.random.Generator,
    kind: str,
    diameter_mm: float,
    others: list[Nodule],
) -> tuple[Points, int] | None:
    """Find a centre for a nodule and its lung; None if chance finds none."""
    radius = 0.5 * diameter_mm
    outlines, thick = sites.outlines, sites.vessels.thicker(2.0)
    low, high = sites.heights_mm[0] + 1.5 * radius, sites.heights_mm[1] - 1.5 * radius
    for _ in range(TRIES):
        side = int(rng.choice([LEFT, RIGHT]))
        centre = rng.uniform([10.0, -80.0, low], [125.0, 85.0, max(high, low)]) * [side, 1, 1]
        if kind == "vascular":
            centre = touching_vessel(sites.vessels, rng, radius)
            side = LEFT if centre[0] > 0 else RIGHT
        elif kind == "juxta-pleural":
            centre = below_wall(outlines, centre, radius * rng.uniform(0.45, 0.9))
        depth = -float(outlines.lung_distance(centre[None], side)[0])
        deep = radius * 0.4 if kind == "juxta-pleural" else 1.35 * radius + 2.5
        clear = kind == "vascular" or thick.distance(centre) > radius + 1.5
        apart = all(
            np.linalg.norm(centre - other.centre_mm) > 1.6 * (radius + 0.5 * other.diameter_mm) + 3
            for other in others
        )
        if low <= centre[2] <= high and depth > deep and clear and apart:
            return centre, side
    return None


def touching_vessel(vessels: Tree, rng: np.random.Generator, radius_mm: float) -> Points:
    """Draw a centre at which a nodule of a radius touches a vessel of medium size."""
    width = vessels.radii[:, 0]
    chosen = int(rng.choice(np.nonzero((width > 0.9) & (width < 2.2))[0]))
    start, end = vessels.ends[chosen]
    across = unit(np.cross(end - start, rng.standard_normal(3)))
    return np.asarray(start + rng.random() * (end - start) + across * radius_mm * 0.85)


def below_wall(outlines: Outlines, point: Points, depth_mm: float) -> Points:
    """Move a point outwards from the midline to a given depth under the ribs."""
    moved = point.copy()
    for _ in range(3):
        gap = float(outlines.wall_distance(moved[None])[0]) + depth_mm
        across = float(np.hypot(moved[0], moved[1])) + 1e-6
        moved[:2] *= max(across - gap, 1.0) / across
    return moved


def paint_nodule(
    volume: Array, lungs: Array, grid: Grid, nodule: Nodule, rng: np.random.Generator
) -> DrawnNodule:
    """Draw a nodule into a volume of HU in place and return its true mask.

    The outline is scaled so that the voxels whose centres lie inside it, and inside the lung, add
    up to the nodule's volume; disconnected parts are dropped.
    """
    reach = 1.25 * nodule.diameter_mm + 2.0
    window = grid.window(nodule.centre_mm - reach, nodule.centre_mm + reach)
    lung = np.clip(lungs[window] * np.float32(nodule.side), 0.0, 1.0)
    relative = relative_volume(nodule, grid, window, 0.0)
    wanted = np.pi / 6.0 * nodule.diameter_mm**3 / np.prod(grid.spacing_mm)
    inside = np.where(lung > 0.5, relative, np.inf)
    mask, limit = fitted_mask(inside, int(np.ceil(wanted)))
    share = nodule_share(nodule, grid, window, limit) * lung
    paint_body(volume[window], share, relative / np.float32(limit), nodule, rng)
    return DrawnNodule(nodule.kind, window, mask)


def fitted_mask(relative: Array, count: int) -> tuple[NDArray[np.bool_], float]:
    """Return the connected voxels of smallest relative distance, at least ``count``, and the limit.

    Raises:
        ValueError: if there are fewer voxels.
    """
    order = np.sort(relative.ravel())
    wanted = count
    while count < order.size and np.isfinite(order[count]):
        limit = float(0.5 * (order[count - 1] + order[count]))
        mask = largest_part(relative <= limit)
        missing = wanted - int(mask.sum())
        if missing <= 0:
            return mask, limit
        count += missing
    raise ValueError(f"a nodule of {wanted} voxels does not fit into the lung where it was placed")


def relative_volume(nodule: Nodule, grid: Grid, window: Window, shift_mm: float) -> Array:
    """Relative distance (Z, Y, X) of the voxels of a window, shifted along z."""
    x, y, z = grid.axes(window)
    offsets = np.stack(np.broadcast_arrays(x, y, z + np.float32(shift_mm)), axis=-1)
    offsets = offsets - nodule.centre_mm.astype(np.float32)
    return nodule.relative_distance(offsets.reshape(-1, 3)).reshape(offsets.shape[:3])


def nodule_share(nodule: Nodule, grid: Grid, window: Window, limit: float) -> Array:
    """Share of each voxel of a window that the outline at a relative distance holds."""
    width = grid.spacing_mm[0] / (0.5 * nodule.diameter_mm * limit)
    shifts = np.array([-1.0, 0.0, 1.0]) * grid.spacing_mm[2] / 3.0
    parts = [
        coverage(relative_volume(nodule, grid, window, shift) / np.float32(limit) - 1, width)
        for shift in shifts
    ]
    return np.asarray(np.mean(parts, axis=0), dtype=np.float32)


def paint_body(
    part: Array, share: Array, relative: Array, nodule: Nodule, rng: np.random.Generator
) -> None:
    """Draw a nodule's tissue into part of a volume, in place; never darker than what is there."""
    body, core = nodule.hu
    grain = ndimage.gaussian_filter(rng.standard_normal(part.shape, dtype=np.float32), 0.8)
    tissue = body + grain * np.float32(90.0 if body < -300 else 12.0)
    if nodule.core:
        dense = np.clip((nodule.core - relative) / np.float32(0.25) + np.float32(0.5), 0, 1)
        blend(tissue, core, dense)
    drawn = part + (tissue - part) * share
    np.maximum(part, drawn, out=part)


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of a mask, corners counted as touching."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count <= 1:
        return mask
    return np.asarray(labels == 1 + int(np.bincount(labels.ravel())[1:].argmax()))
