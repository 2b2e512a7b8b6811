"""Two classes of nodules, and four made-up readers who outline them and rate their malignancy.

Suspicious nodules are lobulated or spiculated and partly of ground glass; unsuspicious ones are
smooth, some with a calcified core. A share of each class looks like the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from scripts.phantom.branching import unit
from scripts.phantom.chest.nodules import LOG_DEVIATION, LOG_MEAN, Shape, draw_diameter
from scripts.phantom.files import Geometry

READERS = 4
MISLEADING = 0.05  # share of nodules with the looks of the other class
SIZE_SHIFT = 0.4  # of the mean log diameter: larger for suspicious nodules, smaller for others
SPIKY, PART_SOLID, CALCIFIED = 0.8, 0.4, 0.4  # shares of those that look so
RATING = {True: 4.1, False: 1.9}
RATING_NOISE, OUTLINE_NOISE_MM = 0.8, 0.35  # between readers
COUNTS, COUNT_SHARES = (1, 2, 3, 4), (0.2, 0.3, 0.3, 0.2)
PAIRS, PAIR_SHARES = (1, 2), (0.6, 0.4)

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Planned:
    """A nodule before it is drawn: its class and its diameter."""

    suspicious: bool
    diameter_mm: float


def plan_nodules(
    rng: np.random.Generator, limits_mm: tuple[float, float], *, matched_sizes: bool
) -> list[Planned]:
    """Draw number, classes and diameters of one patient's nodules.

    Args:
        rng: of the patient.
        limits_mm: smallest and largest diameter.
        matched_sizes: nodules come in pairs of one diameter, one of each class, so that size says
            nothing; otherwise suspicious ones are larger.
    """
    planned = []
    if matched_sizes:
        for _ in range(int(rng.choice(PAIRS, p=PAIR_SHARES))):
            diameter, first = draw_diameter(rng, *limits_mm), bool(rng.random() < 0.5)
            planned += [Planned(first, diameter), Planned(not first, diameter)]
        return planned
    for _ in range(int(rng.choice(COUNTS, p=COUNT_SHARES))):
        suspicious = bool(rng.random() < 0.5)
        shift = SIZE_SHIFT if suspicious else -SIZE_SHIFT
        diameter = float(np.exp(rng.normal(LOG_MEAN + shift, LOG_DEVIATION)))
        planned.append(Planned(suspicious, float(np.clip(diameter, *limits_mm))))
    return planned


def paired(planned: Sequence[Planned], placed: Collection[int]) -> list[int]:
    """Return which of the placed nodules have a partner of their diameter that was placed too.

    >>> plan = [Planned(True, 8.0), Planned(False, 8.0), Planned(True, 9.0), Planned(False, 9.0)]
    >>> paired(plan, [0, 1, 3])
    [0, 1]
    """
    diameters = Counter(planned[number].diameter_mm for number in placed)
    return [number for number in placed if diameters[planned[number].diameter_mm] % 2 == 0]


def draw_looks(rng: np.random.Generator, *, suspicious: bool) -> Shape:
    """Draw axes, lobes, their heights and sharpness, HU of body and core, and core size.

    As :func:`scripts.phantom.chest.nodules.draw_shape` does for a nodule of a kind.
    """
    suspicious ^= bool(rng.random() < MISLEADING)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    axes = turn @ np.diag(np.exp(rng.normal(0, 0.13, 3)))
    count = int(rng.integers(6, 12))
    lobes = rng.standard_normal((count, 3))
    heights = rng.normal(0.0, 0.22 if suspicious else 0.05, count)
    sharpness = rng.uniform(2.0, 9.0, count)
    if suspicious and rng.random() < SPIKY:
        spikes = int(rng.integers(8, 20))
        lobes = np.concatenate([lobes, rng.standard_normal((spikes, 3))])
        heights = np.concatenate([heights, rng.uniform(0.25, 0.6, spikes)])
        sharpness = np.concatenate([sharpness, rng.uniform(25.0, 70.0, spikes)])
    body, inner = float(rng.uniform(10, 60)), float(rng.uniform(10, 60))
    core = 0.0
    if suspicious and rng.random() < PART_SOLID:
        body, core = float(rng.uniform(-620, -450)), float(rng.uniform(0.35, 0.6))
    elif not suspicious and rng.random() < CALCIFIED:
        inner, core = float(rng.uniform(300, 800)), float(rng.uniform(0.4, 0.7))
    return axes, unit(lobes), np.clip(heights, -0.3, 0.6), sharpness, (body, inner), core


def draw_ratings(rng: np.random.Generator, *, suspicious: bool) -> tuple[int, ...]:
    """Draw the malignancy, 1 to 5, that each reader gives a nodule."""
    values = np.rint(rng.normal(RATING[suspicious], RATING_NOISE, READERS)).clip(1, 5)
    return tuple(int(value) for value in values)


def readers_xml(
    uid: str,
    masks: NDArray[np.uint8],
    classes: list[bool],
    geometry: Geometry,
    rng: np.random.Generator,
) -> str:
    """Return the outlines and ratings of four readers in LIDC's XML format.

    Each reader's outline is the true one, a little wider or narrower.

    Args:
        uid: of the series.
        masks: (Z, Y, X) as stored, k in nodule k, from 1.
        classes: whether each nodule is suspicious.
        geometry: of the stored array.
        rng: of the readers' outlines and ratings.
    """
    boxes = ndimage.find_objects(masks, len(classes))
    ratings = [draw_ratings(rng, suspicious=suspicious) for suspicious in classes]
    root = ElementTree.Element("LidcReadMessage", xmlns="http://www.nih.gov")
    ElementTree.SubElement(_sub(root, "ResponseHeader"), "SeriesInstanceUid").text = uid
    for reader in range(READERS):
        session = _sub(root, "readingSession")
        for number, (box, given) in enumerate(zip(boxes, ratings, strict=True), start=1):
            mask, corner = _as_read(masks, box, number, geometry, rng.normal(0, OUTLINE_NOISE_MM))
            nodule = _sub(session, "unblindedReadNodule")
            _sub(nodule, "noduleID", str(number))
            _sub(_sub(nodule, "characteristics"), "malignancy", str(given[reader]))
            _add_outlines(nodule, mask, corner, geometry)
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _sub(parent: ElementTree.Element, name: str, text: str | None = None) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name)
    element.text = text
    return element


def _as_read(
    masks: NDArray[np.uint8],
    box: tuple[slice, ...],
    number: int,
    geometry: Geometry,
    wider_mm: float,
) -> tuple[Mask, tuple[int, ...]]:
    """Return a nodule as one reader sees it, and the first index (z, y, x) of that part."""
    part = tuple(
        slice(max(s.start - 3, 0), min(s.stop + 3, n))
        for s, n in zip(box, masks.shape, strict=True)
    )
    true = masks[part] == number
    edges = geometry.spacing_mm[::-1]
    depth = ndimage.distance_transform_edt(true, edges) - ndimage.distance_transform_edt(
        ~true, edges
    )
    seen = (depth > -wider_mm) & ((masks[part] == 0) | true)
    # points of an outline lie one pixel outside, and must lie in the image
    seen[:, [0, -1]] = False
    seen[:, :, [0, -1]] = False
    return (seen if seen.any() else true), tuple(s.start for s in part)


def _add_outlines(
    nodule: ElementTree.Element, mask: Mask, corner: tuple[int, ...], geometry: Geometry
) -> None:
    """Add the outlines of a mask, slice by slice."""
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        z_mm = geometry.world(np.array([0, 0, k + corner[0]]))[2]
        for points in outlines_around(mask[k]):
            roi = _sub(nodule, "roi")
            _sub(roi, "imageZposition", f"{z_mm:.6f}")
            _sub(roi, "inclusion", "TRUE")
            for row, column in points:
                edge = _sub(roi, "edgeMap")
                _sub(edge, "xCoord", str(column + corner[2]))
                _sub(edge, "yCoord", str(row + corner[1]))


def outlines_around(mask: Mask) -> list[list[tuple[int, int]]]:
    """Return closed outlines (row, column) of the pixels just outside each part of a slice."""
    labels, count = ndimage.label(mask)
    outlines = []
    for number in range(1, count + 1):
        wider = np.pad(ndimage.binary_dilation(labels == number), 1)
        contour = max(find_contours(wider.astype(float), 0.5), key=len)
        # each point lies half way between a pixel inside and one outside
        pairs = [(np.floor(point), np.ceil(point)) for point in contour]
        inside = [low if wider[tuple(low.astype(int))] else high for low, high in pairs]
        points = [(int(row) - 1, int(column) - 1) for row, column in inside]
        outlines.append(list(dict.fromkeys(points)))
    return outlines
