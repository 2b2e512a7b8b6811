"""Bones of the chest: ribs as bands around the cage; spine, breastbone, collar bones as solids."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scripts.phantom.build import Build
from scripts.phantom.outlines import ANGLES, HEIGHTS, Outlines, Points, smooth_step, turn_from_back
from scripts.phantom.solids import Array, Grid, blend, coverage, edge_width, tube_distance

RIB_STEP_MM = 20.5
RIB_TOP_MM = 112.0
VERTEBRA_MM = 22.5
# ribs 1 to 12: drop on the way to the front, where bone ends and where cartilage ends (degrees)
RIB_DROP_MM = (34, 56, 78, 94, 104, 110, 112, 108, 98, 82, 62, 42)
BONE_END = (138, 144, 146, 146, 144, 140, 134, 126, 118, 108, 92, 66)
CARTILAGE_END = (160, 164, 166, 166, 166, 164, 162, 148, 136, 122, 94, 68)
SPINE_Y_MM = 52.0


def rib_tables(outlines: Outlines, rng: np.random.Generator) -> tuple[Array, Array]:
    """Distance of heights and angles (H, A) to the nearest rib's axis in mm, and its share of bone.

    Cartilage towards the breastbone has a share of 0. Distances are across the rib.
    """
    return rib_bands(outlines.cage, outlines.build.scale[2], rng, heights=HEIGHTS)


def rib_bands(
    cage: Points, scale: float, rng: np.random.Generator, *, heights: NDArray[np.floating]
) -> tuple[Array, Array]:
    """As :func:`rib_tables`, for any cage.

    Args:
        cage: (H, A) radii in mm of the ribs' inner face.
        scale: factor of the standard chest along z.
        rng: draws the ribs' irregularity.
        heights: (H,) heights of the table in the frame of the chest.
    """
    turn = turn_from_back()
    left = np.cos(np.arange(ANGLES) * (2 * np.pi / ANGLES)) > 0
    nearest = np.full(cage.shape, 99.0)
    bone = np.ones_like(nearest)
    for number in range(12):
        start = RIB_TOP_MM - number * RIB_STEP_MM + rng.normal(0, 1.0)
        jitter = np.where(left, *rng.normal(0, 1.5, 2))
        path = rib_height(turn, RIB_DROP_MM[number], BONE_END[number], number)
        axis = scale * (start - path) + jitter
        step = np.gradient(axis) / (cage.mean() * 2 * np.pi / ANGLES)
        distance = np.abs(heights[:, None] - axis) / np.sqrt(1 + np.minimum(step**2, 1.5))
        past = np.maximum(turn - CARTILAGE_END[number], 0) + np.maximum(11.0 - turn, 0)
        distance = distance + past * 1.5
        closer = distance < nearest
        np.copyto(nearest, distance, where=closer)
        share = 1 - smooth_step(turn, BONE_END[number] - 1.0, BONE_END[number] + 1.0)
        np.copyto(bone, np.broadcast_to(share, bone.shape), where=closer)
    return nearest.astype(np.float32), bone.astype(np.float32)


def paint_ribs(
    part: Array, depth: Array, ribs: tuple[Array, Array], build: Build, width: float | np.floating
) -> None:
    """Draw ribs into part of a volume, in place.

    Args:
        part: HU, any shape; so are the others.
        depth: distance in mm outwards from the ribs' inner face.
        ribs: distance to the rib's axis and share of bone, as :func:`rib_tables` has them.
        build: gives the HU.
        width: of the edges, in mm.
    """
    across, bone, hu = ribs[0] / np.float32(6.3), ribs[1], build.hu
    oval = np.hypot((depth - np.float32(5.2)) / np.float32(3.6), across)
    rib = (oval - np.float32(1.0)) * np.float32(4.2)
    hard = hu("cartilage") + bone * np.float32(hu("cortical_bone") - hu("cartilage"))
    soft = hu("cartilage") + bone * np.float32(hu("spongy_bone") - hu("cartilage"))
    blend(part, hard, coverage(rib, width))
    blend(part, soft, coverage(rib + np.float32(1.2), width))


def rib_height(turn: Points, drop_mm: float, bone_end: float, number: int) -> Points:
    """How far below its start at the spine a rib runs, by the angle from the back."""
    fall = drop_mm * (0.5 - 0.5 * np.cos(np.pi * np.clip(turn / bone_end, 0, 1.0)))
    climb = 0.9 * max(number - 1, 0) * np.maximum(turn - bone_end, 0.0) / 10.0
    return np.asarray(fall - climb)


def paint_spine(volume: Array, grid: Grid, build: Build) -> None:
    """Draw vertebrae, discs, canal and processes into a volume of HU, in place."""
    sx, sy, sz = build.scale
    low = np.array([-52.0 * sx, (SPINE_Y_MM - 24) * sy, grid.z[0]])
    window = grid.window(low, np.array([52.0 * sx, (SPINE_Y_MM + 62) * sy, grid.z[-1]]))
    x, y, z = grid.axes(window)
    across, depth = x / np.float32(sx), y / np.float32(sy) - np.float32(SPINE_Y_MM)
    level: Array = z / np.float32(sz * VERTEBRA_MM)
    phase: Array = level - np.rint(level)  # 0 in the middle of a vertebra, +-0.5 in the disc
    part, width = volume[window], edge_width(grid)
    arch = np.minimum(arch_distance(across, depth, phase), body_distance(across, depth, phase))
    blend(part, build.hu("cortical_bone") * 0.75, coverage(arch, width))
    blend(part, build.hu("spongy_bone"), coverage(arch + np.float32(1.5), width))
    disc = np.abs(phase) * np.float32(VERTEBRA_MM)
    inside = coverage(body_distance(across, depth, phase * 0) + np.float32(0.5), width)
    blend(part, build.hu("disc"), inside * coverage(np.float32(9.0) - disc, grid.spacing_mm[2]))
    canal = np.hypot(across / np.float32(1.2), depth - np.float32(22.5)) - np.float32(7.5)
    blend(part, 15.0, coverage(canal, width))
    blend(part, build.hu("cord"), coverage(canal + np.float32(3.0), width))


def body_distance(across: Array, depth: Array, phase: Array) -> Array:
    """Distance in mm to the vertebral bodies: waisted ellipses, flat towards the canal."""
    waist = np.float32(1.0) - np.float32(0.09) * np.cos(phase * np.float32(2 * np.pi))
    oval = np.hypot(across / (np.float32(17.5) * waist), depth / (np.float32(14.5) * waist))
    return np.asarray(np.maximum((oval - 1) * np.float32(15.0), depth - np.float32(14.0)))


def arch_distance(across: Array, depth: Array, phase: Array) -> Array:
    """Distance in mm to pedicles, laminae, transverse and spinous processes."""
    side = np.abs(across)
    ring = np.hypot(across / np.float32(1.15), depth - np.float32(22.5)) - np.float32(10.5)
    ring = np.abs(ring) - np.float32(2.6)
    gap = np.abs(phase - np.float32(0.1)) * np.float32(VERTEBRA_MM)
    ring = np.maximum(ring, gap - np.float32(9.0))
    # transverse processes: bars outwards and backwards
    bar = np.abs(depth - np.float32(24.0) - np.float32(0.45) * (side - np.float32(12.0)))
    high = np.abs(phase - np.float32(0.22)) * np.float32(VERTEBRA_MM) * np.float32(0.75)
    bar = np.maximum(np.hypot(bar, high) - np.float32(4.2), side - np.float32(33.0))
    bar = np.maximum(bar, np.float32(10.0) - side)
    # spinous processes: thin plates that slope down
    tip = depth - np.float32(31.0)
    slope = phase * np.float32(VERTEBRA_MM) + np.float32(0.45) * tip
    slope -= np.float32(VERTEBRA_MM) * np.round(slope / np.float32(VERTEBRA_MM))
    plate = np.maximum(side - np.float32(2.6), np.abs(slope) - np.float32(6.5))
    plate = np.maximum(plate, np.maximum(-tip, tip - np.float32(25.0)))
    return np.asarray(np.minimum(np.minimum(ring, bar), plate))


def paint_front(volume: Array, grid: Grid, outlines: Outlines) -> None:
    """Draw breastbone and collar bones into a volume of HU, in place."""
    build = outlines.build
    sx, _, sz = build.scale
    window = grid.window(np.array([-30.0, -150.0, -88.0 * sz]), np.array([30.0, 0.0, 76.0 * sz]))
    x, y, z = grid.axes(window)
    if z.size:
        front = outlines.cage[:, ANGLES * 3 // 4]
        height = np.interp(z.ravel(), HEIGHTS, front).astype(np.float32)[:, None, None]
        rows = (z / sz).astype(np.float64)
        half = 13.0 + 11.0 * smooth_step(rows, 25.0, 60.0)
        half = np.asarray(half * smooth_step(rows, -88.0, -68.0), np.float32)
        oval = np.hypot(x / (half * np.float32(sx) + np.float32(0.1)), (y + height + 6.0) / 6.0)
        bone = np.asarray((oval - 1) * 6.0, dtype=np.float32)
        bone = np.maximum(bone, (z - np.float32(74.0 * sz)))
        paint_bone(volume[window], bone, build, edge_width(grid), 1.3)
    for side in (1.0, -1.0):
        ends = np.array([[side * 22, -44, 74], [side * 70, -40, 92], [side * 128, 6, 112]])
        for start, end in pairwise(ends):
            pair = np.stack([start, end]) * build.scale
            window = grid.window(pair.min(axis=0) - 9.0, pair.max(axis=0) + 9.0)
            tube = tube_distance(grid.axes(window), pair, np.array([6.5, 6.0]))
            paint_bone(volume[window], tube, build, edge_width(grid), 2.0)


def paint_bone(part: Array, distance: Array, build: Build, width: float, shell_mm: float) -> None:
    """Draw a bone with a hard shell and spongy core into part of a volume, in place."""
    blend(part, build.hu("cortical_bone"), coverage(distance, width))
    blend(part, build.hu("spongy_bone"), coverage(distance + np.float32(shell_mm), width))


def scapula_table(outlines: Outlines) -> NDArray[np.float32]:
    """Distance (H, A) in mm, along the wall, to the outline of the shoulder blades."""
    turn, height = turn_from_back()[None], HEIGHTS[:, None] / outlines.build.scale[2]
    top = smooth_step(height, -40.0, 80.0)
    inner, outer = 46.0 - 10.0 * top, 60.0 + 34.0 * top
    edge = np.maximum(inner - turn, turn - outer) * 1.6
    edge = np.maximum(edge, np.maximum(-30.0 - height, height - 96.0))
    return np.asarray(edge, dtype=np.float32)


def blade_depth(outlines: Outlines) -> NDArray[np.float32]:
    """Depth (H, A) in mm of the shoulder blades' middle outside the ribs' inner face."""
    turn = turn_from_back()[None]
    depth = 19.0 + 0.3 * (turn - 40.0) + 0.9 * outlines.planes
    return np.asarray(np.clip(depth, 16.0, 44.0), dtype=np.float32)
