"""Labels with names before they are read: whether all classes are there, and which parts lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.datasets.folder.case_table import Case
from scripts.datasets.folder.labels import NameRules, open_named
from scripts.datasets.folder.mask_files import MaskFolder
from scripts.datasets.problems import Problem
from scripts.datasets.segments.segment_names import plain_name
from scripts.running.reasons import one_line


@dataclass(frozen=True)
class NamedLabels:
    """What the names in the labels of a case say.

    Args:
        missing: class -> segments that the case lacks although others have them beside its own.
        masks: the files of the classes, of a folder with a file for each structure.
    """

    missing: Mapping[str, tuple[str, ...]]
    masks: tuple[Path, ...] | None = None


@dataclass(frozen=True)
class _Names:
    """The names in one file, which itself may be large and is not kept.

    Args:
        every: of all segments.
        classes: class -> names of its segments.
        parts: likewise, of the classes that have as many segments in every case.
        masks: see :class:`NamedLabels`.
    """

    every: tuple[str, ...]
    classes: tuple[str, ...]
    parts: Mapping[str, frozenset[str]]
    masks: tuple[Path, ...] | None


def named_labels(
    cases: Sequence[Case], rules: NameRules
) -> tuple[dict[str, NamedLabels], list[Problem]]:
    """Look for the classes in all files of named segments, before any CT is read.

    Returns:
        By case what the names say, without label maps, whose values are checked when they are read;
        and the cases whose file cannot be used.

    Raises:
        ValueError: for a class that no case has: its name is wrong.
    """
    problems: list[Problem] = []
    files: dict[str, _Names] = {}
    by_value = False
    for case in cases:
        try:
            names = _names_in(case.label, rules)
        except (OSError, ValueError) as error:
            problems.append(Problem(case.id, "", one_line(error)))
            continue
        if names is None:
            by_value = True
        else:
            files[case.id] = names
    if not by_value:
        _check_all_found(files, rules)
    missing = missing_parts({case: names.parts for case, names in files.items()})
    return {
        case: NamedLabels(missing.get(case, {}), names.masks) for case, names in files.items()
    }, problems


def _names_in(label: Path, rules: NameRules) -> _Names | None:
    """Read the names in a file; None for a label map."""
    opened = open_named(label, rules)
    if opened is None:
        return None
    file, chosen = opened
    folder = file if isinstance(file, MaskFolder) else None
    any_number = () if folder else (n for n, own in rules.named.items() if "*" in "".join(own))
    counted = set() if rules.lesions else chosen.segments.keys() - {*any_number}
    return _Names(
        tuple(segment.name for segment in file.segments),
        tuple(chosen.segments),
        {
            name: frozenset(plain_name(segment.name) for segment in chosen.segments[name])
            for name in sorted(counted)
        },
        folder.files(chosen.all) if folder else None,
    )


def _check_all_found(files: Mapping[str, _Names], rules: NameRules) -> None:
    """Refuse a class that no case has, if any case has another."""
    found = {name for names in files.values() for name in names.classes}
    lacking = [name for name in rules.classes.values() if name not in found]
    if lacking and found:
        every = dict.fromkeys(name for names in files.values() for name in names.every)
        raise ValueError(
            f"segments: no case has a segment for {', '.join(lacking)}; their segments are "
            f"{', '.join(map(repr, every))}; say which are meant: "
            f'--segments "{lacking[0]}=NAME|NAME"'
        )


def missing_parts(
    names: Mapping[str, Mapping[str, frozenset[str]]],
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Find the classes of which a case has some masks or segments only.

    Several of one class are parts of it (the left and the right kidney) if any case has them side
    by side; a case that lacks one of them may not show the class whole. Those that no case has side
    by side are other names of the same thing.

    Args:
        names: case -> class -> names of its masks or segments.

    Returns:
        case -> class -> names of those that it lacks.

    Example:
        >>> both = frozenset({"kidney_left", "kidney_right"})
        >>> left = frozenset({"kidney_left"})
        >>> missing_parts({"a": {"kidney": both}, "b": {"kidney": left}})
        {'b': {'kidney': ('kidney_right',)}}
        >>> named = {"a": {"liver": frozenset({"liver"})}, "b": {"liver": frozenset({"Leber"})}}
        >>> missing_parts(named)
        {}
    """
    together: dict[str, set[frozenset[str]]] = {}
    for own in names.values():
        for name, masks in own.items():
            together.setdefault(name, set()).add(masks)
    missing: dict[str, dict[str, tuple[str, ...]]] = {}
    for case, own in names.items():
        for name, masks in own.items():
            beside = {one for other in together[name] if other & masks for one in other}
            if beside - masks:
                missing.setdefault(case, {})[name] = tuple(sorted(beside - masks))
    return missing
