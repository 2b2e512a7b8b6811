"""Training, validation and test partitions: shares, random assignment, and leaks of patients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

PARTITIONS = ("training", "validation", "test")
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
    if len(parts) != len(PARTITIONS) or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise ValueError(f"shares: must be three whole numbers such as 8:1:1, got {text!r}")
    training, validation, test = map(int, parts)
    return training, validation, test


def apportion(count: int, shares: Sequence[int], *, at_least: int = 0) -> tuple[int, ...]:
    """Divide ``count`` items in whole numbers by shares (largest remainder method).

    Args:
        count: number of items.
        shares: relative sizes of the parts.
        at_least: smallest size of a part; the missing items come from the largest part.

    Returns:
        The size of each part.

    Raises:
        ValueError: when there are too few items for ``at_least`` in each part.

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
    """Assign names at random to :data:`PARTITIONS`, in the given numbers.

    The result does not depend on the order of the names.

    Args:
        names: names of patients, scans or other items, all different.
        counts: size of each partition; they add up to the number of names.
        random: seeded source of random draws.

    Returns:
        Name -> partition.

    Example:
        >>> deal("cab", (1, 1, 1), Random(0)) == deal("abc", (1, 1, 1), Random(0))
        True
    """
    shuffled = sorted(names)
    random.shuffle(shuffled)
    partitions = [p for p, count in zip(PARTITIONS, counts, strict=True) for _ in range(count)]
    return dict(zip(shuffled, partitions, strict=True))


def leaks(datalist: Mapping[str, Any]) -> list[str]:
    """Return the patients in more than one partition of a datalist, in samples or volumes.

    Example:
        >>> one, two = {"patient_id": "p1"}, {"patient_id": "p2"}
        >>> leaks({"training": [one, two], "validation": [], "test": [two]})
        ['p2']
    """
    volumes = datalist.get("volumes", {})
    by_patient: dict[str, set[str]] = {}
    for partition in PARTITIONS:
        for entry in [*datalist.get(partition, []), *volumes.get(partition, [])]:
            by_patient.setdefault(entry["patient_id"], set()).add(partition)
    return sorted(patient for patient, names in by_patient.items() if len(names) > 1)
