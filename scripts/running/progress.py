"""Progress of long work, on stderr: a bar on a terminal, a few plain lines in a file.

Everything that shows progress uses :class:`Progress`. A bar that is written to a log becomes
thousands of lines there, so elsewhere than on a terminal there is a line every 30 s, with the time
that is left, and none for work that is shorter.
"""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from tqdm import tqdm

SECONDS = 30.0  # between two lines
LINE = "{title}: {n_fmt} of {total_fmt}, {elapsed} so far, {remaining} left"
UP = "\x1b[A"  # moves a terminal's cursor one line up


class Progress(tqdm):
    """tqdm's bar on a terminal; lines elsewhere.

    Args:
        iterable: what is worked through, if it is to be iterated over.
        options: of tqdm: ``total``, ``desc``, ``unit``, ``disable``, ``file``.

    Example:
        >>> list(Progress([1, 2], desc="halves"))
        [1, 2]
    """

    def __init__(self, iterable: Any = None, **options: Any) -> None:
        stream = options.get("file") or sys.stderr
        self._in_lines = not stream.isatty()
        self._shown, self._lines, self._last = time.monotonic(), 0, 0
        if self._in_lines:
            of_lines = {"mininterval": SECONDS, "miniters": 1, "bar_format": LINE}
            options = {**options, "file": _Lines(stream), **of_lines}
        super().__init__(iterable, **{"dynamic_ncols": True, **options})

    @property
    def format_dict(self) -> dict[str, Any]:
        """The values of a line."""
        return {**super().format_dict, "title": self.desc.removesuffix(": ") or "done"}

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Show the state; in lines only if it is time, or at the end of what has been shown."""
        if self._in_lines:
            now = time.monotonic()
            ended = self.disable and self._lines > 0 and self.n > self._last
            if not ended and now - self._shown < SECONDS:
                return True
            self._shown, self._lines, self._last = now, self._lines + 1, self.n
        return bool(super().display(msg, pos))


class _Lines:
    """Writes each state of a bar as a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write a state, without the characters that move the cursor back to its start."""
        if line := text.replace(UP, "").strip():
            self._stream.write(line + "\n")

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()
