"""Nodule outlines of the four readers of LIDC-IDRI: reading of their XML files, and masks.

In the XML a nodule of 3 mm or more is a set of closed outlines, one or more per slice. The points
of an outline are pixels (column, row) of the DICOM image, 0-based, *just outside* the nodule; an
outline whose ``inclusion`` is FALSE cuts a hole, and one that is TRUE inside a hole is nodule
again. A finding with a single point is a nodule below 3 mm, and nonNodule elements are not nodules:
both are left out here.

Source: Armato et al., Med. Phys. 38:915, 2011.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
import numpy as np
import SimpleITK as sitk
from defusedxml.common import DefusedXmlException
from numpy.typing import ArrayLike, NDArray
from skimage.draw import line, polygon

from scripts.datasets.luna16.agreement import cluster_findings, describe_instances
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
    """A nodule of 3 mm or more as one reader outlined it; ``name`` is the reader's number of it."""

    name: str
    outlines: tuple[Outline, ...]


@dataclass(frozen=True)
class Outlines:
    """All nodules of 3 mm or more that the readers outlined in one series, reader by reader."""

    series_uid: str
    readers: list[list[ReaderNodule]]


def read_outlines(xml_path: str | Path, *, series_uid: str | None = None) -> Outlines:
    """Read one LIDC XML file.

    Args:
        xml_path: the file; entities and document types in it are refused.
        series_uid: the series it must belong to; not checked if None.

    Raises:
        FileNotFoundError: when the file does not exist.
        ValueError: naming the file: not XML, not an LIDC CT reading, damaged, or of another series
            (its outlines would be at wrong positions).
    """
    path = Path(xml_path)
    if not path.is_file():
        raise FileNotFoundError(f"xml_path: no such file: {path}")
    try:
        root = defusedxml.ElementTree.parse(path, forbid_dtd=True).getroot()
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:
        raise ValueError(f"{path}: must be a plain XML file: {error}") from error
    uids = {
        _text(e) for e in root.iter() if _tag(e) in ("seriesinstanceuid", "ctseriesinstanceuid")
    }
    sessions = [e for e in root.iter() if _tag(e) == "readingsession"]
    if len(uids) != 1 or not sessions:
        raise ValueError(
            f"{path}: must be a CT reading of LIDC, with one SeriesInstanceUid and readingSession "
            f"elements; got root {_tag(root)!r}, {len(uids)} series, {len(sessions)} sessions"
        )
    uid = uids.pop()
    if series_uid is not None and uid != series_uid:
        raise ValueError(f"{path}: belongs to series {uid}, not to {series_uid}")
    try:
        return Outlines(uid, [list(_nodules(session)) for session in sessions])
    except ValueError as error:
        raise ValueError(f"{path}: damaged reading: {error}") from error


def _nodules(session: Element) -> Iterator[ReaderNodule]:
    """Yield a reader's nodules of 3 mm or more."""
    for element in session:
        if _tag(element) != "unblindedreadnodule":
            continue
        outlines = tuple(_outline(roi) for roi in element if _tag(roi) == "roi")
        if not outlines:
            raise ValueError("element unblindedReadNodule lacks roi")
        drawn = tuple(outline for outline in outlines if len(outline.points_xy) > 1)
        if drawn:
            yield ReaderNodule(_child(element, "noduleID"), drawn)


def _outline(roi: Element) -> Outline:
    edges = [edge for edge in roi if _tag(edge) == "edgemap"]
    if not edges:
        raise ValueError("element roi lacks edgeMap")
    points = [(_pixel(edge, "xCoord"), _pixel(edge, "yCoord")) for edge in edges]
    includes = _child(roi, "inclusion").upper()
    if includes not in ("TRUE", "FALSE"):
        raise ValueError(f"inclusion must be TRUE or FALSE, got {includes!r}")
    z_mm = _number(roi, "imageZposition")
    return Outline(z_mm, includes == "TRUE", np.array(points, np.int64).reshape(-1, 2))


def _tag(element: Element) -> str:
    """Return an element's name in lower case, without its namespace."""
    return _name(element).lower()


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _text(element: Element) -> str:
    return (element.text or "").strip()


def _child(element: Element, tag: str) -> str:
    """Return the text of the child of that name."""
    for child in element:
        if _tag(child) == tag.lower():
            return _text(child)
    raise ValueError(f"element {_name(element)} lacks {tag}")


def _number(element: Element, tag: str) -> float:
    """Return the number in the child of that name; refuse one that no scanner writes."""
    text = _child(element, tag)
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{tag} must be a number, got {text[:40]!r}") from None
    if not abs(number) <= LARGEST_NUMBER:
        raise ValueError(f"{tag} must be a number of at most {LARGEST_NUMBER:g}, got {text[:40]}")
    return number


def _pixel(edge: Element, tag: str) -> int:
    number = _number(edge, tag)
    if number != int(number):
        raise ValueError(f"{tag} must be a whole number of pixels, got {number:g}")
    return int(number)


# --- masks ----------------------------------------------------------------------------------------


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
        of ``id``, ``diameter_mm`` (of the ball of equal volume), ``centre_lps_mm`` and ``readers``
        (number of readers who outlined it).

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
    findings = [
        (number, voxels)
        for number, nodules in enumerate(outlines.readers)
        for nodule in nodules
        if (voxels := _voxels(nodule, shape, affine)).size
    ]
    instances, readers = cluster_findings(findings, int(np.prod(shape)), min_readers)
    instances, nodules_out = describe_instances(instances.reshape(shape), readers, affine)
    turned = to_lps(set_affine(sitk.GetImageFromArray(instances), affine))
    return sitk.GetArrayFromImage(turned), nodules_out


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


def _voxels(
    nodule: ReaderNodule, shape_zyx: tuple[int, int, int], affine_lps: ArrayLike
) -> NDArray[np.int64]:
    """Return the flat indices of the voxels inside a reader's nodule, sorted."""
    lines: dict[int, list[Outline]] = {}
    for outline in nodule.outlines:
        k = _slice_of(outline, shape_zyx, affine_lps)
        if k is not None:
            lines.setdefault(k, []).append(outline)
    area = shape_zyx[1] * shape_zyx[2]
    flat = [k * area + np.flatnonzero(fill(lines[k], shape_zyx[1:])) for k in sorted(lines)]
    return np.concatenate(flat) if flat else np.zeros(0, np.int64)


def fill(outlines: Sequence[Outline], shape_yx: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of one reader's outlines of a nodule on one slice.

    Each outline includes its inside, without the holes; a hole does not cut the outlines that lie
    inside it, which are nodule again.

    Args:
        outlines: of one slice, in any order.
        shape_yx: rows and columns of the slice.
    """
    drawn: dict[bool, list[NDArray[np.bool_]]] = {True: [], False: []}
    for outline in outlines:
        inside = np.zeros(shape_yx, bool)
        inside[enclosed(outline.points_xy, shape_yx)] = True
        drawn[outline.includes].append(inside)
    mask: NDArray[np.bool_] = np.zeros(shape_yx, bool)
    for nodule in drawn[True]:
        cutting = [hole for hole in drawn[False] if not _lies_inside(nodule, hole)]
        mask |= nodule & ~np.any(cutting, axis=0) if cutting else nodule
    return mask


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
    columns, rows = points_xy.T
    if points_xy.min() < 0 or rows.max() >= shape_yx[0] or columns.max() >= shape_yx[1]:
        raise ValueError(
            f"outlines: points must lie in the image of {shape_yx} pixels (rows, columns), got "
            f"(column, row) {points_xy.min(axis=0).tolist()} to {points_xy.max(axis=0).tolist()}"
        )
    mask = np.zeros(shape_yx, bool)
    mask[polygon(rows, columns, shape_yx)] = True
    for (x0, y0), (x1, y1) in zip(points_xy, np.roll(points_xy, -1, axis=0), strict=True):
        mask[line(y0, x0, y1, x1)] = False
    inside = np.nonzero(mask)
    return inside[0], inside[1]
