"""The volumes that one series has: one as a rule, several if it was scanned more than once.

A series may hold two phases of contrast, several cardiac phases or echoes, or two directions.
Their slices are told apart by what their headers say of the acquisition, never by guessing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydicom.config import disable_value_validation

from scripts.running.reasons import listed
from scripts.volumes.dicom.slice import SliceFile
from scripts.volumes.slice_stack import even_step, order_of

# Elements that differ between the volumes of a series, the most telling first.
MARKS = (
    *("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "AcquisitionNumber"),
    *("TemporalPositionIdentifier", "TemporalPositionIndex", "NominalPercentageOfCardiacPhase"),
    *("TriggerTime", "EchoNumbers", "EchoTime", "KVP", "ConvolutionKernel", "ImageType"),
    *("SeriesDescription", "ProtocolName", "ContrastBolusAgent", "SliceThickness"),
    *("AcquisitionUID", "AcquisitionDateTime", "AcquisitionTime", "ContentTime", "SeriesTime"),
)
_COUNTS = ("NumberOfSeriesRelatedInstances", "ImagesInAcquisition", "NumberOfSlices")
_TIMES = ("AcquisitionDateTime", "AcquisitionTime", "ContentTime", "TriggerTime")
_SAME_DIRECTION = 0.01  # cosines: half a degree
_DECIMALS = 3  # of positions in mm, to find slices in one place


@dataclass(frozen=True, slots=True)
class SliceFacts:
    """What a header says of a slice's place in its series; small, unlike the header.

    Args:
        instance: SOPInstanceUID.
        shape: rows and columns.
        position: ImagePositionPatient, LPS mm; None if it is missing.
        orientation: ImageOrientationPatient; None if it is missing.
        number: InstanceNumber; None if it is missing.
        stated: number of images of the series by its headers; 0 if they do not say.
        marks: the values of :data:`MARKS`.
    """

    instance: str
    shape: tuple[int, int]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    number: int | None
    stated: int
    marks: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, each: SliceFile) -> SliceFacts:
        """Read them from a header; what is not a number there counts as missing."""
        header = each.header
        with disable_value_validation():  # its warnings quote values
            return cls(
                instance=str(header.get("SOPInstanceUID", "")),
                shape=(header.get("Rows") or 0, header.get("Columns") or 0),
                position=_numbers(each, "ImagePositionPatient"),
                orientation=_numbers(each, "ImageOrientationPatient"),
                number=_whole(header, "InstanceNumber"),
                stated=next((n for key in _COUNTS if (n := _whole(header, key))), 0),
                marks=tuple(_text(header, keyword) for keyword in MARKS),
            )

    def mark(self, keyword: str) -> str:
        """Return the value of one of :data:`MARKS`."""
        return self.marks[MARKS.index(keyword)]

    @property
    def place(self) -> tuple[float, ...]:
        """The position, rounded."""
        return tuple(round(value, _DECIMALS) + 0.0 for value in self.position or ())


def _numbers(each: SliceFile, keyword: str) -> tuple[float, ...] | None:
    try:
        return each.numbers(keyword)
    except ValueError:
        return None  # refused when the series is read


def _whole(header: Any, keyword: str) -> int | None:
    try:
        return int(_text(header, keyword))
    except ValueError:
        return None


def _text(header: Any, keyword: str) -> str:
    try:
        value = header.get(keyword)
        return "" if value is None else str(value)
    except Exception:  # an element that cannot be converted tells nothing apart
        return ""


@dataclass(frozen=True)
class Part:
    """The slices of one volume of a series.

    Args:
        members: their indices.
        by: the element that tells this part from the others; empty for a whole series.
        value: the first value of that element, for the screen.
    """

    members: tuple[int, ...]
    by: str = ""
    value: str = ""


def parts_of(facts: Sequence[SliceFacts]) -> list[Part]:
    """Divide the slices of one series into volumes.

    Slices that form one stack stay together. If positions occur several times, they are divided by
    the first of :data:`MARKS` by which every part is a stack. If there is none, the series is
    returned whole, and reading it reports what does not fit.

    Args:
        facts: of all slices of the series, without copies.
    """
    everything = tuple(range(len(facts)))
    # where nothing is there twice, dividing would only hide that slices are missing
    twice = len({each.place for each in facts}) < len(facts)
    if not twice or _is_one(facts, everything):
        return [Part(everything)]
    for keyword in MARKS:
        for groups in (_by_value(facts, keyword), _rounds(facts, keyword)):
            if len(groups) > 1 and all(_is_one(facts, group) for group in groups):
                return [Part(group, keyword, facts[group[0]].mark(keyword)) for group in groups]
    return [Part(everything)]


def _same_grid(one: SliceFacts, other: SliceFacts) -> bool:
    if one.shape != other.shape or (one.orientation is None) != (other.orientation is None):
        return False
    pairs = zip(one.orientation or (), other.orientation or (), strict=True)
    return all(abs(a - b) < _SAME_DIRECTION for a, b in pairs)


def _is_one(facts: Sequence[SliceFacts], members: Sequence[int]) -> bool:
    """Whether slices are of one patient and form one stack."""
    return len({facts[i].mark("PatientID") for i in members}) == 1 and _stack(facts, members)


def _rounds(facts: Sequence[SliceFacts], keyword: str) -> list[tuple[int, ...]]:
    """Divide slices by time, where each has its own: a round ends where a position comes again."""
    times = [each.mark(keyword) for each in facts]
    if keyword not in _TIMES or "" in times:
        return []
    rounds: list[list[int]] = []
    seen: set[tuple[float, ...]] = set()
    for i in sorted(range(len(facts)), key=lambda i: _seconds(times[i])):
        if not rounds or facts[i].place in seen:
            rounds.append([])
            seen = set()
        rounds[-1].append(i)
        seen.add(facts[i].place)
    return [tuple(sorted(each)) for each in rounds]


def _seconds(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text


def _by_value(facts: Sequence[SliceFacts], keyword: str) -> list[tuple[int, ...]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for i, each in enumerate(facts):
        groups[each.mark(keyword)].append(i)
    return [tuple(groups[value]) for value in sorted(groups, key=_seconds)]


def _stack(facts: Sequence[SliceFacts], members: Sequence[int]) -> bool:
    """Whether slices form an even stack of at least two."""
    places = [facts[i].position for i in members]
    first = facts[members[0]]
    if any(place is None for place in places) or first.orientation is None:
        return False
    if not all(_same_grid(facts[i], first) for i in members):
        return False
    try:
        _, offsets = order_of(places, first.orientation)  # type: ignore[arg-type]
        even_step(offsets, [""] * len(offsets))
    except ValueError:
        return False
    return True


def is_single(facts: Sequence[SliceFacts]) -> bool:
    """Whether slices lie in one place: a single one, or a series that follows a bolus."""
    return len({each.place for each in facts}) <= 1 and facts[0].position is not None


def numbering_notes(facts: Sequence[SliceFacts], numbers: Iterable[int]) -> list[str]:
    """Report numbers and counts in the headers by which slices are missing, as at an end.

    Args:
        facts: of the slices of a series.
        numbers: InstanceNumber of every file of the series, whether it is used or not.
    """
    own = [each.number for each in facts]
    known = sorted(set(numbers))
    notes = []
    if None not in own and len(set(own)) == len(own) and known:
        first = 1 if known[0] <= len(facts) else known[0]  # some scanners begin at 1001
        lacking = sorted(set(range(first, known[-1] + 1)) - set(known))
        if lacking:
            notes.append(
                f"slices are numbered {known[0]} to {known[-1]}, {len(lacking)} numbers are "
                f"missing ({listed(lacking, most=5)}): slices may be missing at an end"
            )
    stated = max(each.stated for each in facts)
    if stated > max(len(facts), len(known)):
        notes.append(
            f"the headers state {stated} images in the series, {len(facts)} are there: slices may "
            "be missing at an end"
        )
    return notes
