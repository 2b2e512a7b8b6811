"""The scans of a cohort side by side, with progress; those that are finished are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tqdm import tqdm

from scripts.preparation.cases import ScanOutcome, ScanTask, find_prepared, prepare_scan
from scripts.storage.workers import work_through


def prepare_all(tasks: Sequence[ScanTask], jobs: int) -> Iterator[ScanOutcome]:
    """Prepare every scan that is not there yet, showing progress; outcomes come as they are ready.

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
        for outcome in work_through(prepare_scan, remaining, jobs):
            progress.update()
            if outcome.problem is not None:
                progress.write(f"  {outcome.problem}")
            yield outcome
