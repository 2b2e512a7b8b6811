"""The frames of an enhanced multi-frame CT as slices of their own.

Such a file describes its frames in functional groups, shared by all or of each (DICOM PS3.3,
C.7.6.16). As slices with the elements that a single-frame file has, they are read like any series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from scripts.volumes.dicom.slice import SliceFile

SHARED, EACH = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
# the groups whose elements a single-frame CT has at its top level
GROUPS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
)

Elements = Mapping[BaseTag, DataElement]


def frames_of(each: SliceFile) -> list[SliceFile]:
    """Return the frames of a file as slices; a file without functional groups as it is.

    Raises:
        ValueError: naming the file, when it does not describe each of its frames once.
    """
    header = each.header
    if EACH not in header:
        return [each]
    items, count = header[EACH].value, int(header.get("NumberOfFrames") or 1)
    if len(items) != count:
        raise ValueError(
            f"{each.place}: {EACH} must describe each of its {count} frames, got {len(items)}"
        )
    left_out = {tag_for_keyword(keyword) for keyword in (SHARED, EACH, "NumberOfFrames")}
    of_file = {tag: header[tag] for tag in header.keys() if tag not in left_out}  # noqa: SIM118
    shared = {e.tag: e for item in header.get(SHARED) or () for e in _elements(item)}
    return [
        replace(
            each,
            place=f"{each.place} frame {number}",
            header=_header(header, {**of_file, **shared, **{e.tag: e for e in _elements(item)}}),
            frame=number,
            frame_of=each,
        )
        for number, item in enumerate(items, start=1)
    ]


def _elements(item: Dataset) -> Iterator[DataElement]:
    """Yield the elements of an item's groups that a slice needs."""
    for keyword in GROUPS:
        for group in item.get(keyword) or ():
            yield from group


def _header(file: Dataset, elements: Elements) -> Dataset:
    """Make the header of one frame."""
    header = Dataset(dict(elements))
    header.file_meta = file.file_meta
    header.set_original_encoding(*file.original_encoding)
    header.NumberOfFrames = 1
    return header
