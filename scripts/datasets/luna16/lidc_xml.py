"""Outlines and ratings of the readers of LIDC-IDRI, from one XML file for each series.

In the XML a nodule of 3 mm or more is a set of closed outlines, one or more per slice, with nine
ratings. A finding with a single point is a nodule below 3 mm and has no ratings, and nonNodule
elements are not nodules: both are left out here.

Source: Armato et al., Med. Phys. 38:915, 2011.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
import numpy as np
from defusedxml.common import DefusedXmlException

from scripts.datasets.luna16.outlines import (
    LARGEST_NUMBER,
    Outline,
    Outlines,
    ReaderNodule,
)
from scripts.datasets.ratings import RATINGS, check_rating

_SCALES = {name.lower(): name for name in RATINGS}


def read_xml(xml_path: str | Path, *, series_uid: str | None = None) -> Outlines:
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
            yield ReaderNodule(_child(element, "noduleID"), drawn, _ratings(element))


def _ratings(nodule: Element) -> dict[str, int]:
    """Return the ratings of a nodule; a reader may have left some out."""
    ratings = {}
    for element in nodule:
        for rating in element if _tag(element) == "characteristics" else ():
            name = _SCALES.get(_tag(rating))
            if name is not None and _text(rating):
                ratings[name] = check_rating(name, _whole(element, name))
    return ratings


def _outline(roi: Element) -> Outline:
    edges = [edge for edge in roi if _tag(edge) == "edgemap"]
    if not edges:
        raise ValueError("element roi lacks edgeMap")
    points = [(_whole(edge, "xCoord"), _whole(edge, "yCoord")) for edge in edges]
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


def _whole(element: Element, tag: str) -> int:
    number = _number(element, tag)
    if number != int(number):
        raise ValueError(f"{tag} must be a whole number, got {number:g}")
    return int(number)
