"""Worker processes: many cases in parallel, ended together, and the memory that a process took."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

import SimpleITK as sitk

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


def work_through(
    function: Callable[[Task], Outcome], tasks: Sequence[Task], jobs: int
) -> Iterator[Outcome]:
    """Yield the outcome of every task, as they are ready.

    Each process holds one task at a time. On an error, or Ctrl-C, the tasks in work are finished
    and no further one is begun.

    Args:
        function: a function of a module; what it raises stops the whole run.
        tasks: what can be sent to another process.
        jobs: processes; 1 works in this one.

    Raises:
        OSError: when a process was killed, as a system short of memory does.

    Example:
        >>> list(work_through(abs, [-1, 2], jobs=1))
        [1, 2]
    """
    workers = min(jobs, len(tasks))
    if workers <= 1:
        yield from map(function, tasks)
        return
    # not "fork": torch and SimpleITK hold threads, which a forked process would wait for forever
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload([function.__module__])
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool:
        futures = [pool.submit(function, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise OSError(
                f"jobs: a process was killed, probably for want of memory with {workers} at once; "
                "the same command with a smaller --jobs goes on"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Make a process leave Ctrl-C to the main one, end with it, and use one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def peak_memory_mb(process: int | None = None) -> float:
    """Return the most memory (resident set) that a process has held so far, in MB (2**20 bytes).

    Args:
        process: its number (Linux only); None for this process, on any system.

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
        raise ProcessLookupError(
            f"process: the system reports no memory of process {process}; it has ended, or the "
            "system is not Linux"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
