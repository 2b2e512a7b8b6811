"""Memory of processes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_memory_mb(process: int | None = None) -> float:
    """Return the most memory (resident set) that a process has held so far, in MB (2**20 bytes).

    Args:
        process: its number, on Linux; None for this process, anywhere.

    Raises:
        ProcessLookupError: when the process has ended, or the system is not Linux.
    """
    status = Path(f"/proc/{'self' if process is None else process}/status")
    if status.is_file():  # Linux: there ru_maxrss begins with what the starting process held
        lines = status.read_text(encoding="utf-8").splitlines()
        held = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
        if held:
            return round(held[0] / (1 << 10), 1)
    if process is not None:
        raise ProcessLookupError(f"process: no memory is told of number {process}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
