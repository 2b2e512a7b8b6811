"""Checks of command options, made before any work is done."""

from __future__ import annotations

import os
from collections.abc import Collection


def check_choice(name: str, value: object, valid: Collection[str]) -> None:
    """Check that a value is one of the valid ones.

    Raises:
        ValueError: when it is not, listing the valid values.
    """
    if value not in valid:
        raise ValueError(f"{name}: must be one of {', '.join(valid)}, got {value!r}")


def check_whole(name: str, value: object, low: int, high: int | None = None) -> None:
    """Check that a value is a whole number from ``low`` to ``high`` (None for no upper bound).

    Raises:
        ValueError: when it is not.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):  # type: ignore[operator]
        bounds = f"{low} to {high}" if high is not None else f"at least {low}"
        raise ValueError(f"{name}: must be a whole number, {bounds}, got {value!r}")


def read_truth(name: str, value: object) -> bool:
    """Read a boolean option: true, false, yes or no, in any case.

    Raises:
        ValueError: for anything else.

    Example:
        >>> read_truth("volumes", "False"), read_truth("volumes", True)
        (False, True)
    """
    words = {"true": True, "yes": True, "false": False, "no": False}
    word = str(value).lower()
    if word not in words:
        raise ValueError(f"{name}: must be true, false, yes or no, got {value!r}")
    return words[word]


def cores() -> int:
    """Return the number of processor cores available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
