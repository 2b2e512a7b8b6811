"""Scans prepared side by side in processes that end when they should."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import SimpleITK as sitk
from tqdm import tqdm

from scripts.luna16.scan_samples import ScanOutcome, ScanTask, find_prepared, prepare_scan


def prepare_all(tasks: Sequence[ScanTask], jobs: int) -> Iterator[ScanOutcome]:
    """Prepare every scan that is not there yet, showing progress; outcomes come as they are ready.

    Each process holds one scan at a time. On an error, or Ctrl-C, the scans in work are finished
    and no further one is begun.

    Raises:
        OutputError: when the output cannot be written.
        OSError: when a process was killed, as a system short of memory does.
    """
    with tqdm(total=len(tasks), unit="scan", desc="prepare", dynamic_ncols=True) as progress:
        remaining: list[ScanTask] = []
        for task in tasks:
            finished = find_prepared(task)
            if finished is None:
                remaining.append(task)
                continue
            progress.update()
            yield finished
        progress.unpause()  # the time left is that of scans still to be made
        alone = min(jobs, len(remaining)) <= 1
        for outcome in _here(remaining) if alone else _in_processes(remaining, jobs):
            progress.update()
            if outcome.problem is not None:
                progress.write(f"  {outcome.problem}")
            yield outcome


def _here(tasks: Sequence[ScanTask]) -> Iterator[ScanOutcome]:
    return map(prepare_scan, tasks)


def _in_processes(tasks: Sequence[ScanTask], jobs: int) -> Iterator[ScanOutcome]:
    # not "fork": torch and SimpleITK hold threads, which a forked process would wait for forever
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["scripts.luna16.scan_samples"])
    workers = min(jobs, len(tasks))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool:
        futures = [pool.submit(prepare_scan, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise OSError(
                f"jobs: a process was killed while preparing, probably for want of memory with "
                f"{workers} scans at once; the same command with a smaller --jobs goes on"
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
