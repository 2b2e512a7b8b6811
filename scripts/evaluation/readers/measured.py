"""Figures of one series: each nodule, each pair of readers, and the ball of the listed nodule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.contract import Point
from scripts.datasets.luna16.agreement import Voxels
from scripts.datasets.luna16.instances import ball_mask
from scripts.datasets.luna16.nodule_groups import Group, Shape, group_nodules
from scripts.datasets.luna16.outline_files import read_outlines
from scripts.datasets.problems import Problem
from scripts.datasets.ratings import RATINGS, texture_group
from scripts.evaluation.figures.nodules import size_group
from scripts.evaluation.readers.placing import Placement, place, shift_error_mm
from scripts.running.reasons import one_line

AGREED = 2  # readers whose common voxels a ball is compared with

Row = dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """The grid of a series, as far as it is known.

    Args:
        shape_zyx: slices, rows and columns.
        spacing_mm: (x, y, z).
        first_z_mm: z of the first slice in LPS mm; the following lie towards the head.
        position: direction and (x, y) of the first pixel, see :class:`Placement`; None if unknown.
    """

    shape_zyx: Shape
    spacing_mm: tuple[float, float, float]
    first_z_mm: float
    position: tuple[int, tuple[float, float]] | None = None

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4), index (i, j, k) to mm: x and y from the first pixel, z in LPS."""
        affine = np.diag([*self.spacing_mm, 1.0])
        affine[2, 3] = self.first_z_mm
        return affine


@dataclass(frozen=True)
class SeriesTask:
    """One series, with what is listed of it.

    Args:
        uid: the series.
        patient: its patient.
        file: XML file or database with its outlines.
        grid: its grid.
        listed: centre in LPS mm and diameter of each nodule of LUNA16's list.
    """

    uid: str
    patient: str
    file: Path
    grid: Grid
    listed: tuple[Point, ...]


@dataclass(frozen=True)
class Measured:
    """The rows of one series, or the problem that prevents them."""

    nodules: Sequence[Row] = ()
    pairs: Sequence[Row] = ()
    problem: Problem | None = None


def measure_series(task: SeriesTask) -> Measured:
    """Measure one series; what it lacks is returned as a problem.

    Returns:
        One row per nodule: those that readers outlined, and listed ones that no outline lies at;
        and one row per pair of readers of a nodule.
    """
    try:
        outlines = read_outlines(task.file, task.uid)
        groups = group_nodules(outlines, task.grid.shape_zyx, task.grid.affine)
    except (OSError, ValueError) as error:
        return Measured(problem=Problem(task.uid, "", one_line(error)))
    placed = place(task.listed, groups, task.grid.position)
    listed_as = {group: row for row, group in placed.own.items()}
    error_mm = shift_error_mm(placed, task.listed, groups)
    nodules: list[Row] = []
    pairs: list[Row] = []
    for number, group in enumerate(groups, start=1):
        row = _nodule(task, number, group)
        listed = listed_as.get(number - 1)
        point = None if listed is None else task.listed[listed]
        row |= _as_listed(task.grid, group, point, placed)
        row["shift_error_mm"] = None if point is None else error_mm
        row["size_group"] = size_group(row["luna16_diameter_mm"] or row["diameter_mm"])
        row["readers_dice"] = _mean_of_pairs(pairs, task, number, group, row)
        nodules.append(row)
    lost = [point for row, point in enumerate(task.listed) if row not in placed.own]
    nodules += [_without_outline(task, point) for point in lost]
    return Measured(nodules, pairs)


def _nodule(task: SeriesTask, number: int, group: Group) -> Row:
    """Return what the readers said of a nodule."""
    ratings = {
        name: [n.characteristics[name] for n in group.nodules if name in n.characteristics]
        for name in RATINGS
    }
    agreed = group.agreed(AGREED) if len(group.nodules) >= AGREED else group.voxels
    voxel_mm3 = float(np.prod(task.grid.spacing_mm))
    volume_mm3 = max(len(agreed), 1) * voxel_mm3
    texture = ratings["texture"]
    return {
        **{"series_uid": task.uid, "patient": task.patient, "nodule": number},
        "readers": len(group.nodules),
        "diameter_mm": round((6 * volume_mm3 / np.pi) ** (1 / 3), 3),
        **{f"voxels_ge{n}": int((group.votes >= n).sum()) for n in (1, 2, 3, 4)},
        "texture_group": texture_group(texture) if texture else "",
        **{name: "|".join(map(str, values)) for name, values in ratings.items()},
        **{
            f"{name}_median": median(values) if values else None for name, values in ratings.items()
        },
    }


def _mean_of_pairs(
    pairs: list[Row], task: SeriesTask, number: int, group: Group, nodule: Row
) -> float | None:
    """Add a row for each pair of readers; return the mean of their Dice, None without a pair."""
    values = []
    for (a, one), (b, other) in combinations(enumerate(group.outlined, start=1), 2):
        values.append(dice(one, other))
        row = {"series_uid": task.uid, "patient": task.patient, "nodule": number}
        row |= {"reader_a": a, "reader_b": b, "dice": round(values[-1], 5)}
        keys = ("luna16_diameter_mm", "diameter_mm", "size_group", "texture_group")
        pairs.append(row | {key: nodule[key] for key in keys})
    return round(float(np.mean(values)), 5) if values else None


def _as_listed(grid: Grid, group: Group, point: Point | None, placed: Placement) -> Row:
    """Compare the ball of a listed nodule with the voxels that two or more readers outlined."""
    if point is None:
        return {"listed": False, "luna16_diameter_mm": None}
    agreed = group.agreed(AGREED)
    ball, voxels = _ball(grid, point, placed), len(agreed)
    return {
        "listed": True,
        "luna16_diameter_mm": round(point[3], 3),
        "position": "header" if placed.is_known else "shifted",
        "ball_dice": round(dice(ball, agreed), 5),
        "ball_volume_ratio": round(len(ball) / voxels, 5) if voxels else None,
    }


def _without_outline(task: SeriesTask, point: Point) -> Row:
    row: Row = {"series_uid": task.uid, "patient": task.patient, "nodule": None, "readers": 0}
    row |= {"listed": True, "luna16_diameter_mm": round(point[3], 3)}
    return {**row, "size_group": size_group(point[3])}


def _ball(grid: Grid, point: Point, placed: Placement) -> Voxels:
    """Return the sorted flat indices of the voxels of a listed nodule's ball."""
    x, y, z, diameter = point
    centre = placed.direction * (np.array([x, y]) - placed.origin_mm)
    centre_mm = np.array([*centre, z])
    spacing, size = np.array(grid.spacing_mm), np.array(grid.shape_zyx[::-1])
    index = (centre_mm - grid.affine[:3, 3]) / spacing
    reach = diameter / 2 / spacing + 1
    low = np.clip(np.floor(index - reach).astype(int), 0, size - 1)
    high = np.clip(np.ceil(index + reach).astype(int) + 1, low + 1, size)
    window = grid.affine.copy()
    window[:3, 3] += low * spacing
    nx, ny, nz = (high - low).tolist()
    inside = np.argwhere(ball_mask((nz, ny, nx), window, centre_mm, diameter)) + low[::-1]
    return np.sort(np.ravel_multi_index(tuple(inside.T), grid.shape_zyx)).astype(np.int64)


def dice(one: Voxels, other: Voxels) -> float:
    """Return the Dice of two sets of voxels; 0 if one of them is empty.

    Example:
        >>> dice(np.array([1, 2, 3]), np.array([2, 3, 4, 5]))
        0.5714285714285714
    """
    shared = np.intersect1d(one, other, assume_unique=True).size
    return 2 * shared / max(len(one) + len(other), 1)
