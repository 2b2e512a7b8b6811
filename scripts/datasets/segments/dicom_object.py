"""DICOM objects that mark structures in a CT series: which they are, and of which CT."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, RTStructureSetStorage, SegmentationStorage

from scripts.datasets.segments.segment_file import CtGrid
from scripts.running.reasons import listed
from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.dicom.slice import SliceFile, read_slice

LABEL_MAP_STORAGE = UID("1.2.840.10008.5.1.4.1.1.66.7")  # not yet named in pydicom 3.0
SEGMENTATIONS = (SegmentationStorage, LABEL_MAP_STORAGE)
SEG, RTSTRUCT = "DICOM SEG", "RTSTRUCT"


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress pydicom's warnings, which quote values of a header: it may name the patient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def kind_of(header: Dataset) -> str:
    """Return :data:`SEG`, :data:`RTSTRUCT`, or nothing for another DICOM object."""
    meta = getattr(header, "file_meta", None) or Dataset()
    uid = header.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID")
    return SEG if uid in SEGMENTATIONS else RTSTRUCT if uid == RTStructureSetStorage else ""


def read_object(path: Path) -> SliceFile:
    """Read a DICOM object without its pixels.

    Raises:
        ValueError, OSError: naming a file that is not DICOM or damaged.
    """
    with ArchiveReader() as reader:
        each = read_slice(reader, Location(path))
    if each is None:
        raise ValueError(f"{path}: not a DICOM file")
    return each


def title_of(header: Dataset) -> str:
    """Return how an object calls itself; it may say which reader drew it, but names no person."""
    for keyword in ("SeriesDescription", "StructureSetLabel", "ContentLabel"):
        if text := str(header.get(keyword) or "").strip():
            return text[:64]
    return ""


def code_in(item: Dataset, keyword: str) -> Code | None:
    """Return the code in a sequence of one item; None if there is none."""
    for concept in item.get(keyword) or ():
        value = concept.get("CodeValue") or concept.get("LongCodeValue")
        if value and concept.get("CodingSchemeDesignator"):
            meaning = str(concept.get("CodeMeaning") or "")
            return Code(str(value), str(concept.CodingSchemeDesignator), meaning)
    return None


def items_below(header: Dataset, *keywords: str) -> Iterator[Dataset]:
    """Yield the items of sequences within sequences.

    Example:
        >>> inner, outer = Dataset(), Dataset()
        >>> inner.ReferencedSOPInstanceUID = "1.2"
        >>> outer.SourceImageSequence = [inner]
        >>> [item.ReferencedSOPInstanceUID for item in items_below(outer, "SourceImageSequence")]
        ['1.2']
    """
    for item in header.get(keywords[0]) or ():
        if len(keywords) == 1:
            yield item
        else:
            yield from items_below(item, *keywords[1:])


def instances_in(items: Iterable[Dataset]) -> frozenset[str]:
    """Return the ReferencedSOPInstanceUIDs of items."""
    return frozenset(str(item.get("ReferencedSOPInstanceUID") or "") for item in items) - {""}


def series_in(items: Iterable[Dataset]) -> frozenset[str]:
    """Return the SeriesInstanceUIDs of items."""
    return frozenset(str(item.get("SeriesInstanceUID") or "") for item in items) - {""}


def check_reference(
    place: str, ct: CtGrid, series: frozenset[str], instances: frozenset[str], frames: set[str]
) -> None:
    """Refuse an object that was not drawn on this CT.

    Args:
        place: the object, for errors.
        ct: the CT.
        series: SeriesInstanceUIDs that the object refers to.
        instances: SOPInstanceUIDs that it refers to.
        frames: FrameOfReferenceUIDs that it is in, all of which must be the CT's.

    Raises:
        ValueError: for a CT that is no DICOM series, for another series, other images or another
            frame of reference, and for an object that does not say what it was drawn on.
    """
    if not ct.series_uid:
        raise ValueError(
            f"{place}: refers to the slices of a DICOM series, but the image {ct.name} is none; "
            "give the series that it was drawn on"
        )
    if not series and not instances:
        raise ValueError(f"{place}: does not say on which series it was drawn; it cannot be used")
    if series and ct.series_uid not in series:
        raise ValueError(
            f"{place}: was drawn on series {listed(sorted(series), most=3)}, the CT in {ct.name} "
            f"is series {ct.series_uid}"
        )
    if instances and not instances & set(ct.slice_of):
        raise ValueError(
            f"{place}: none of the {len(instances)} images that it refers to is in {ct.name}: it "
            "was drawn on another series or copy (anonymised with other UIDs?)"
        )
    if ct.frame_uid and (others := frames - {ct.frame_uid}):
        raise ValueError(
            f"{place}: is in frame of reference {listed(sorted(others), most=3)}, the CT in "
            f"{ct.frame_uid}; positions cannot be compared"
        )


def text_of(header: Dataset, keyword: str) -> str:
    """Return a text element, empty if it is missing or cannot be read."""
    with suppress(Exception):  # of damaged text
        return str(header.get(keyword) or "").strip()
    return ""
