"""Which segments of a file mean which class: by name, by code, or as an option says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydicom.sr.coding import Code

from scripts.datasets.segment_classes import look_up
from scripts.datasets.segments.segment_file import Segment, SegmentFile


@dataclass(frozen=True)
class Chosen:
    """The segments of one file that are classes.

    Args:
        segments: class name -> its segments, for the classes that the file has.
        left_out: the other segments.
    """

    segments: Mapping[str, tuple[Segment, ...]]
    left_out: tuple[Segment, ...]

    @property
    def all(self) -> list[Segment]:
        """The segments of all classes."""
        return [segment for own in self.segments.values() for segment in own]


def choose(
    file: SegmentFile,
    classes: Sequence[str],
    named: Mapping[str, Sequence[str]],
    *,
    join: bool,
) -> Chosen:
    """Choose the segments of each class.

    A class in ``named`` has the segments with one of its names or codes; any other class those with
    its own name, or if there are none, those with the codes that its name has in predictions.
    Capitals, blanks, hyphens and underscores do not count.

    Args:
        file: the file.
        classes: names of the classes, without the background.
        named: class -> names of its segments, ``*`` for any letters, or codes as SCHEME:VALUE.
        join: whether several segments may be of one class that is not in ``named``.

    Raises:
        ValueError: for a segment of two classes, or several of one class without an option for it.
    """
    segments: dict[str, tuple[Segment, ...]] = {}
    for name in classes:
        own = tuple(_named(file.segments, named[name]) if name in named else _own(file, name))
        if len(own) > 1 and name not in named and not join:
            raise ValueError(
                f"{file}: has {len(own)} segments that mean {name}: {', '.join(map(str, own))}; "
                f'choose with --segments "{name}=NAME", or join them with "{name}=NAME|NAME"'
            )
        if own:
            segments[name] = own
    used = [segment for own in segments.values() for segment in own]
    for segment in used:
        if used.count(segment) > 1:
            owners = [name for name, own in segments.items() if segment in own]
            raise ValueError(
                f"{file}: segment {segment} is of several classes: {', '.join(owners)}"
            )
    return Chosen(segments, tuple(one for one in file.segments if one not in used))


def _named(segments: Sequence[Segment], patterns: Sequence[str]) -> list[Segment]:
    return [one for one in segments if any(_matches(one, pattern) for pattern in patterns)]


def _matches(segment: Segment, pattern: str) -> bool:
    """Whether a segment has a name or a code of the option ``--segments``."""
    scheme, colon, value = pattern.partition(":")
    if colon and segment.type is not None and Code(value, scheme, "") == segment.type:
        return True
    expression = re.escape(plain_name(pattern)).replace(r"\*", ".*")
    return re.fullmatch(expression, plain_name(segment.name)) is not None


def _own(file: SegmentFile, name: str) -> list[Segment]:
    """Return the segments with the name of a class, or else with its codes."""
    if same := [one for one in file.segments if plain_name(one.name) == plain_name(name)]:
        return same
    known = look_up(name)
    if known is None:
        return []
    return [
        one
        for one in file.segments
        if _same(one.type, known.type)
        and _same(one.region, known.region)
        and _same(one.side, known.side)
    ]


def _same(one: Code | None, other: Code | None) -> bool:
    """Compare codes, of which pydicom counts SNOMED's older form as the same."""
    return one is other if one is None or other is None else one == other


def plain_name(name: str) -> str:
    """Return a name without capitals, with composed accents and single blanks between words.

    Example:
        >>> plain_name("Kidney_left ")
        'kidney left'
    """
    return re.sub(r"[\s_\-]+", " ", unicodedata.normalize("NFC", name)).strip().casefold()
