"""Messages of failures: the reason on one line, last where other software adds a traceback."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

# of torch.utils.data: the traceback of a worker process as the message of a new error
IN_WORKER = re.compile(r"^Caught (\w+) in .+\nOriginal Traceback", re.DOTALL)
SPEAKING = (ValueError, OSError)  # whose message needs no name of the error before it
_SCRIPTS = Path(__file__).resolve().parents[1]
OWN = (_SCRIPTS, _SCRIPTS.with_name("custom_nets"))  # folders of this software


def first_cause(error: BaseException) -> BaseException:
    """Return the original error, which MONAI wraps in further ones when it reads a config."""
    while error.__cause__ is not None and isinstance(error, RuntimeError):
        error = error.__cause__
    return error


def one_line(error: BaseException) -> str:
    """Return the message of an error on one line; its type if it has none.

    Example:
        >>> one_line(ValueError("spacing:\\n must be above 0")), one_line(MemoryError())
        ('spacing: must be above 0', 'MemoryError')
    """
    return " ".join(str(error).split()) or type(error).__name__


def reason_of(error: BaseException) -> str:
    """Describe the original error on one line.

    Example:
        >>> reason_of(KeyError("none"))
        "KeyError: 'none'"
        >>> reason_of(ValueError("seed: must be a number"))
        'seed: must be a number'
    """
    cause = first_cause(error)
    text, name = str(cause).strip(), type(cause).__name__
    if IN_WORKER.match(text):
        text = text.splitlines()[-1]
    elif not text or not isinstance(cause, SPEAKING):
        text = f"{name}: {text}" if text else name
    return " ".join(text.split())


def is_message(error: BaseException) -> bool:
    """Whether an error is a message to whoever ran a command: a ``raise`` of this software.

    One that Python or another package raised may be a bug, whose place only the traceback tells.
    """
    cause = first_cause(error)
    frames = traceback.extract_tb(cause.__traceback__)
    if not frames or not isinstance(cause, SPEAKING):
        return False
    last = frames[-1]
    ours = any(folder in Path(last.filename).resolve().parents for folder in OWN)
    return ours and (last.line or "").startswith("raise ")


def print_reason_last(explain: Callable[[BaseException], str] = reason_of) -> None:
    """Let Python print the reason of an uncaught error as the last line.

    Its traceback stays before it, unless the error is a message (:func:`is_message`); the exit
    code stays as it is.

    Args:
        explain: returns the reason.
    """
    before = sys.excepthook
    if getattr(before, "prints_reason", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        sys.stdout.flush()
        if not is_message(error):
            before(kind, error, trace)
        if isinstance(error, Exception):
            print(f"error: {explain(error)}", file=sys.stderr, flush=True)

    hook.prints_reason = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def listed(items: Sequence[object], most: int = 8) -> str:
    """Join the first of some items for a message, and count the others.

    Example:
        >>> listed(["a", "b"]), listed([1, 2, 3, 4], most=2), listed([])
        ('a, b', '1, 2 and 2 more', '')
    """
    return _first(items, most, ", ")


def listed_reasons(reasons: Sequence[object], most: int = 3) -> str:
    """Join the first of some reasons, which may hold commas, and count the others.

    Example:
        >>> listed_reasons(["no slices, or only one", "no spacing", "no label"], most=2)
        'no slices, or only one; no spacing and 1 more'
    """
    return _first(reasons, most, "; ")


def _first(items: Sequence[object], most: int, between: str) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return between.join(map(str, items[:most])) + more
