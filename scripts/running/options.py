"""Checks of command options, made before any work is done."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
NULLS = ("null", "none")


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
    """Read a boolean option: true, false, yes, no, 1 or 0, in any case.

    Raises:
        ValueError: for anything else.

    Example:
        >>> read_truth("volumes", "False"), read_truth("volumes", True)
        (False, True)
    """
    word = str(value).strip().lower()
    if word not in TRUTHS:
        raise ValueError(f"{name}: must be true, false, yes, no, 1 or 0, got {value!r}")
    return TRUTHS[word]


def read_words(name: str, value: object) -> tuple[str, ...]:
    """Read a list from the command line: ``a,b``, ``["a", "b"]`` or one word.

    An existing file whose name has a comma is one word.

    Raises:
        ValueError: for anything else.

    Example:
        >>> read_words("flips", "x, y"), read_words("flips", ("x",)), read_words("flips", None)
        (('x', 'y'), ('x',), ())
        >>> read_words("config_file", "['a.json','b.json']")
        ('a.json', 'b.json')
    """
    if value is None or value == "":
        return ()
    if isinstance(value, (str, Path)):
        text = str(value)
        if os.path.exists(text):
            return (text,)
        words = (word.strip(" '\"[]") for word in text.split(","))
        return tuple(word for word in words if word)
    if isinstance(value, Sequence) and all(isinstance(word, (str, Path)) for word in value):
        return tuple(map(str, value))
    raise ValueError(f"{name}: must be words separated by commas, got {value!r}")


def is_null(value: object) -> bool:
    """Whether a value stands for none at all: ``null`` or ``none`` in any case, or None itself.

    Example:
        >>> is_null("Null"), is_null(None), is_null(""), is_null(0)
        (True, True, False, False)
    """
    return value is None or (isinstance(value, str) and value.strip().lower() in NULLS)


def cores() -> int:
    """Return the number of processor cores available to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_device(value: object) -> str:
    """Read a device's name.

    Raises:
        ValueError: for anything but cpu, cuda, cuda:0 ... and mps, and for a GPU that is not
            available; torch would raise an error only when the network is moved to it.
    """
    import torch  # not above: most commands that check options do not need it

    text = "" if value is None else str(value)
    if text and not re.fullmatch(r"cpu|cuda(:\d+)?|mps", text):
        raise ValueError(f"device: must be cpu, cuda, cuda:0 ... or mps, got {text!r}")
    if text.startswith("cuda"):
        available, number = torch.cuda.device_count(), torch.device(text).index or 0
        if number >= available:
            raise ValueError(
                f"device: {text} is not available: PyTorch finds {available} CUDA GPUs; use cpu"
            )
    if text == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device: mps is not available on this machine; use cpu")
    return text
