"""Worker processes: cases processed in parallel, and the peak memory of a process."""

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
    """Yield the outcome of each task as soon as it is finished.

    Each process works on one task at a time. After an error or Ctrl-C, running tasks are finished
    and no further task is started.

    Args:
        function: a module-level function; an exception it raises stops the whole run.
        tasks: arguments of the function, picklable.
        jobs: number of processes; with 1 the tasks run in this process.

    Raises:
        OSError: when a process was killed, for example by a system short of memory.

    Example:
        >>> list(work_through(abs, [-1, 2], jobs=1))
        [1, 2]
    """
    workers = min(jobs, len(tasks))
    if workers <= 1:
        yield from map(function, tasks)
        return
    # not "fork": torch and SimpleITK have threads, for which a forked process would wait forever
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
                f"jobs: a process was killed, probably for lack of memory with {workers} at once; "
                "run the same command with a smaller --jobs to continue"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Set up a worker: ignore Ctrl-C, end with the main process, use one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def peak_memory_mb(process: int | None = None) -> float:
    """Return the peak memory (resident set) of a process so far, in MB (2**20 bytes).

    Args:
        process: process id (Linux only); None for this process, on any system.

    Raises:
        ProcessLookupError: when the process has ended, or the system is not Linux.
    """
    status = Path(f"/proc/{'self' if process is None else process}/status")
    if status.is_file():  # on Linux, ru_maxrss starts from the value of the parent process
        lines = status.read_text(encoding="utf-8").splitlines()
        peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
        if peaks:
            return round(peaks[0] / (1 << 10), 1)
    if process is not None:
        raise ProcessLookupError(
            f"process: the system reports no memory of process {process}; it has ended, or the "
            "system is not Linux"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
