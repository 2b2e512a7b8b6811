"""Training, validation and test partitions: their shares, how names are dealt, and leaks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

SECTIONS = ("training", "validation", "test")
PATIENT_SHARES = (8, 1, 1)

Name = TypeVar("Name", str, tuple[str, int])


def read_shares(text: str) -> tuple[int, int, int]:
    """Read relative sizes of training, validation and test, written as ``8:1:1``.

    Raises:
        ValueError: for anything but three whole numbers of at least 1.

    Example:
        >>> read_shares("8:1:1")
        (8, 1, 1)
    """
    parts = str(text).split(":")
    if len(parts) != len(SECTIONS) or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise ValueError(f"shares: must be three whole numbers such as 8:1:1, got {text!r}")
    training, validation, test = map(int, parts)
    return training, validation, test


def apportion(count: int, shares: Sequence[int], *, at_least: int = 0) -> tuple[int, ...]:
    """Divide ``count`` things in whole numbers by shares (largest remainders first).

    Args:
        count: how many there are.
        shares: relative sizes.
        at_least: every part gets so many, the largest part paying for it.

    Raises:
        ValueError: when there are too few for ``at_least`` each.

    Example:
        >>> apportion(1186, (949, 110, 127)), apportion(8, (8, 1, 1), at_least=1)
        ((949, 110, 127), (6, 1, 1))
    """
    if count < at_least * len(shares):
        raise ValueError(f"count: must be at least {at_least * len(shares)}, got {count}")
    exact = [count * share / sum(shares) for share in shares]
    parts = [int(value) for value in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_remainder[: count - sum(parts)]:
        parts[i] += 1
    for i in range(len(parts)):
        while parts[i] < at_least:
            parts[max(range(len(parts)), key=lambda j: parts[j])] -= 1
            parts[i] += 1
    return tuple(parts)


def deal(names: Iterable[Name], counts: Sequence[int], random: Random) -> dict[Name, str]:
    """Shuffle names and deal them out: so many to each of :data:`SECTIONS`.

    The same names give the same partitions in whatever order they come.

    Example:
        >>> deal("cab", (1, 1, 1), Random(0)) == deal("abc", (1, 1, 1), Random(0))
        True
    """
    shuffled = sorted(names)
    random.shuffle(shuffled)
    sections = [s for s, count in zip(SECTIONS, counts, strict=True) for _ in range(count)]
    return dict(zip(shuffled, sections, strict=True))


def leaks(datalist: Mapping[str, Any]) -> list[str]:
    """Patients in more than one partition of a datalist, by samples or by volumes.

    Example:
        >>> one, two = {"patient_id": "p1"}, {"patient_id": "p2"}
        >>> leaks({"training": [one, two], "validation": [], "test": [two]})
        ['p2']
    """
    volumes = datalist.get("volumes", {})
    partitions: dict[str, set[str]] = {}
    for section in SECTIONS:
        for entry in [*datalist.get(section, []), *volumes.get(section, [])]:
            partitions.setdefault(entry["patient_id"], set()).add(section)
    return sorted(patient for patient, its in partitions.items() if len(its) > 1)
