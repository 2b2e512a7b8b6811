"""The clock of a study: seconds of each step, and of the parts that its manifest states."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_STEPS = {
    "start": ("start",),
    "reading": ("list", "read"),
    "field": ("preprocess",),
    "network": ("network",),
    "postprocessing": ("postprocess", "candidates", "members", "second stage"),
}
_IMPORTED = time.perf_counter()


class Stopwatch:
    """Seconds by name of a step; the times of steps with one name are added.

    Args:
        seconds: of steps that were timed before.
        clock: that tells seconds.
    """

    def __init__(
        self,
        seconds: Mapping[str, float] | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.seconds = dict(seconds or {})
        self._clock = clock

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block."""
        begun = self._clock()
        try:
            yield
        finally:
            spent = self._clock() - begun
            self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)

    def take_out(self, whole: str, part: str) -> None:
        """Subtract a step that was timed inside another one."""
        self.seconds[whole] = round(self.seconds[whole] - self.seconds.get(part, 0.0), 3)


def parts_of(seconds: Mapping[str, float]) -> dict[str, float]:
    """Add the seconds of steps up to those of the parts of a prediction; the rest is writing.

    Example:
        >>> parts = parts_of({"list": 0.5, "read": 1.5, "network": 9.0, "write seg": 2.0})
        >>> parts["reading"], parts["network"], parts["writing"]
        (2.0, 9.0, 2.0)
    """
    parts = {
        part: round(sum(seconds.get(step, 0) for step in steps), 3)
        for part, steps in _STEPS.items()
    }
    named = {step for steps in _STEPS.values() for step in steps}
    parts["writing"] = round(sum(s for step, s in seconds.items() if step not in named), 3)
    return parts


def seconds_since_start() -> float:
    """Return for how long this command has run; of another process, such as a notebook's, 0.

    On Linux it counts from the start of the process, elsewhere from the import of this module.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is None or spec.name != "scripts.__main__":
        return 0.0
    stat = Path("/proc/self/stat")
    if not stat.is_file():
        return time.perf_counter() - _IMPORTED
    ticks = int(stat.read_text().rpartition(")")[2].split()[19])  # proc(5): starttime
    began = ticks / os.sysconf("SC_CLK_TCK")
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
