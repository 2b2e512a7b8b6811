"""OpenVINO as this process uses it: without telemetry, and with one core alone.

The first compilation with a core gives the thread a stack for signals, which is released with the
last compiled model of that core (OpenVINO 2026.4.1, Linux). The thread gets the one before back.
If that was of another core, and released before, the thread's signal stack is no longer there; the
next signal that Python handles, such as the end of a data loader's worker, ends the process with a
segmentation fault. This happens when two cores go in the order in which they came::

    first = openvino.Core().compile_model(model, "CPU")
    second = openvino.Core().compile_model(model, "CPU")
    del first
    del second
    os.kill(os.getpid(), signal.SIGUSR1)  # with any handler of Python's: segmentation fault

With one core for all models, kept to the end of the process, it cannot.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any


def load_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report each use to its vendor."""
    # without that package, OpenVINO uses its own silent substitute
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@lru_cache(maxsize=1)
def openvino_core() -> Any:
    """Return the core that reads and compiles all models of this process.

    It reads models into memory. By default their files stay mapped, and a process ends when another
    machine removes them from a network drive.
    """
    core = load_openvino().Core()
    core.set_property({"ENABLE_MMAP": False})
    return core
