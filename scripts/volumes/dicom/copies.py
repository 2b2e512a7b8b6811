"""Copies of slices: one instance that lies in two places of a source."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.dicom.parts import SliceFacts
from scripts.volumes.dicom.pixels import stored_values
from scripts.volumes.dicom.slice import read_slice

_ALIKE = (
    *("RescaleSlope", "RescaleIntercept", "PixelSpacing", "ImageOrientationPatient"),
    *("PatientID", "StudyInstanceUID", "FrameOfReferenceUID"),
)


def copies_among(
    reader: ArchiveReader, facts: Sequence[SliceFacts], locations: Sequence[Location]
) -> set[int]:
    """Return the indices of slices that are copies of one before them.

    A copy has the SOPInstanceUID, position, stored values and factors of the other; its header or
    its compression may differ. Slices of one UID that differ are no copies, and are left for the
    check of the stack, which names them.

    Args:
        reader: reads the files.
        facts: of the slices of one series.
        locations: where each of them is.
    """
    places: dict[tuple[str, tuple[float, ...]], list[int]] = defaultdict(list)
    for i, each in enumerate(facts):
        if each.instance:
            places[each.instance, each.place].append(i)
    copies: set[int] = set()
    for members in places.values():
        seen: set[str] = set()
        for i in members if len(members) > 1 else ():
            content = _content(reader, locations[i])
            if content in seen:
                copies.add(i)
            seen.add(content)
    return copies


def _content(reader: ArchiveReader, location: Location) -> str:
    """Return a hash of what a slice shows; of a file that cannot be read, its path."""
    try:
        each = read_slice(reader, location, keep=True)
        if each is None:
            return str(location)
        described = [str(each.header.get(keyword)) for keyword in _ALIKE]
        pixels = stored_values(each, reader)
    except (ValueError, OSError):
        return str(location)
    digest = hashlib.sha256(repr([*described, pixels.shape, pixels.dtype.kind]).encode())
    digest.update(pixels.astype("<i4").tobytes())
    return digest.hexdigest()
