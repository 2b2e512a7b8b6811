"""DICOM series as CTs to predict: slices from anywhere below a path, grouped by their headers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from scripts.datasets.study_names import study_name
from scripts.prediction.sources.inventory import DICOM_SERIES, Inventory, Remark, Source
from scripts.storage.archive import ArchiveReader, File
from scripts.volumes.dicom.copies import copies_among
from scripts.volumes.dicom.kind import is_multi_frame
from scripts.volumes.dicom.parts import Part, SliceFacts, is_single, numbering_notes, parts_of
from scripts.volumes.dicom.slice import SliceFile

COPY = "a copy of another file of its series"
SPOILT_COPY = "a damaged copy of a slice that is whole in another file"
SINGLE = "a single slice, or slices in one place that follow a bolus: a volume needs at least 2"
_UNSHOWN = ("PatientID", "StudyInstanceUID")


@dataclass(frozen=True)
class Instance:
    """A CT slice: its series, the file and, if it is kept, the header.

    Attributes:
        series_uid: SeriesInstanceUID; of a slice without one, its folder.
        file: the file.
        facts: of its header.
        whole: whether it is a single frame with all pixels.
        slice: the header; None if too many were kept already.
    """

    series_uid: str
    file: File
    facts: SliceFacts
    whole: bool
    slice: SliceFile | None

    @classmethod
    def of(cls, file: File, each: SliceFile, *, kept: bool) -> Instance:
        """Take what grouping needs from a header."""
        folder = "/".join(file.parts[:-1])
        uid = str(each.header.get("SeriesInstanceUID") or f"without UID in {folder}")
        whole = not each.pixels.damage and not is_multi_frame(each.header)
        return cls(uid, file, SliceFacts.of(each), whole, each if kept else None)

    @property
    def folder(self) -> str:
        """The folder, or the zip, that it is in."""
        return str(self.file.location).rpartition("/")[0]


@dataclass
class Hints:
    """What files that are no slices tell of a series, by SeriesInstanceUID.

    Attributes:
        numbers: InstanceNumber of localisers and other files of the series.
        listed: how many images a DICOMDIR lists.
    """

    numbers: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    listed: dict[str, int] = field(default_factory=dict)


def series_sources(
    reader: ArchiveReader, instances: Iterable[Instance], inventory: Inventory, hints: Hints
) -> list[Source]:
    """Make a source of each volume; copies and single slices become remarks.

    Args:
        reader: reads files that may be copies.
        instances: the slices, from every folder and zip.
        inventory: takes the remarks; files that cannot be read are already in it.
        hints: of other files.
    """
    groups: dict[str, list[Instance]] = defaultdict(list)
    for each in instances:
        groups[each.series_uid].append(each)
    sources: list[Source] = []
    singles: list[Instance] = []
    for uid, found in groups.items():
        members = _without_copies(reader, found, inventory)
        facts = [each.facts for each in members]
        parts = parts_of(facts)
        known = [each.number for each in facts if each.number is not None]
        others = hints.numbers.get(uid, [])
        notes = numbering_notes(facts, [*known, *others])
        if (listed := hints.listed.get(uid, 0)) > len(members) + len(others):
            notes.append(f"DICOMDIR lists {listed} images of the series, {len(members)} are there")
        for number, part in enumerate(parts, start=1):
            chosen = [members[i] for i in part.members]
            if all(each.whole for each in chosen) and is_single([each.facts for each in chosen]):
                singles += chosen
            else:
                which = (number, len(parts)) if len(parts) > 1 else (0, 1)
                sources.append(_source(uid, chosen, notes, part, which))
    target = inventory.skipped if sources else inventory.refused
    target += [Remark(str(each.file.location), SINGLE) for each in singles]
    return [_with_folders(source, inventory) for source in sources]


def _without_copies(
    reader: ArchiveReader, found: Sequence[Instance], inventory: Inventory
) -> list[Instance]:
    """Leave out copies, and damaged ones where another is whole."""
    whole = {(m.facts.instance, m.facts.place) for m in found if m.whole and m.facts.instance}
    spoilt = [m for m in found if not m.whole and (m.facts.instance, m.facts.place) in whole]
    inventory.refused += [Remark(str(m.file.location), SPOILT_COPY) for m in spoilt]
    locations = {m.file.location for m in spoilt}
    found = [m for m in found if m.file.location not in locations]
    copies = copies_among(
        reader, [each.facts for each in found], [each.file.location for each in found]
    )
    inventory.skipped += [Remark(str(found[i].file.location), COPY) for i in sorted(copies)]
    return [each for i, each in enumerate(found) if i not in copies]


def _source(
    uid: str, members: Sequence[Instance], notes: Sequence[str], part: Part, which: tuple[int, int]
) -> Source:
    """Describe one volume; ``which`` is its number and how many its series has, 0 for the only."""
    number, count = which
    folders = sorted({each.folder for each in members})
    where = folders[0] if len(folders) == 1 else f"{folders[0]} and {len(folders) - 1} more folders"
    separated_by: tuple[str, ...] = ()
    shown = ""
    if number:
        separated_by = (f"volume {number} of {count} in its series, told apart by {part.by}",)
        value = "" if part.by in _UNSHOWN or not part.value else f" {part.value}"
        shown = f", volume {number} of {count} by {part.by}{value}"
    slices = tuple(member.slice for member in members if member.slice is not None)
    return Source(
        name=study_name(uid) + (f"-{number}" if number else ""),
        kind=DICOM_SERIES,
        location=f"{where} ({len(members)} slices, series {uid}{shown})",
        files=tuple(member.file for member in members),
        notes=(*separated_by, *notes),
        slices=slices if len(slices) == len(members) else (),
    )


def _with_folders(source: Source, inventory: Inventory) -> Source:
    """Add what was left out of the folders of a source."""
    folders = {str(file.location).rpartition("/")[0] for file in source.files}
    unreadable = sum(remark.folder in folders for remark in inventory.refused)
    note = f"{unreadable} unreadable files beside the slices; slices may be missing at its ends"
    return replace(
        source,
        notes=(*source.notes, *((note,) if unreadable else ())),
        left_out=inventory.left_out_of(folders),
    )
