"""Worker processes: cases processed in parallel, and the peak memory of a process."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, TypeVar

import SimpleITK as sitk

from scripts.running.noise import silence_noise

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")
FORKSERVER = "forkserver"
EARLY = "scripts.running.early_monai"


def work_through(
    function: Callable[[Task], Outcome],
    tasks: Sequence[Task],
    jobs: int,
    *,
    lost: Callable[[Task, str], Outcome] | None = None,
) -> Iterator[Outcome]:
    """Yield the outcome of each task as soon as it is finished.

    Each process works on one task at a time. After an error or Ctrl-C, running tasks are finished
    and no further task is started. When a process dies, as in a crash of a library's C code or when
    the system is short of memory, the tasks that were running are repeated one at a time, and then
    the others are continued.

    Args:
        function: a module-level function; an exception it raises stops the whole run.
        tasks: arguments of the function, picklable.
        jobs: number of processes; with 1 the tasks run in this process.
        lost: returns the outcome of a task whose process died also when the task was repeated
            alone, from the task and the reason; None to stop the whole run.

    Raises:
        OSError: when a process died and there is no ``lost``.

    Example:
        >>> list(work_through(abs, [-1, 2], jobs=1))
        [1, 2]
    """
    if jobs <= 1 or (len(tasks) <= 1 and lost is None):
        yield from map(function, tasks)
        return
    context = _context(function)
    waiting = deque(tasks)
    while waiting:
        for task in (yield from _until_one_dies(function, waiting, jobs, context)):
            yield _repeated(function, task, context, lost)


def start_early(module: str) -> None:
    """Let the process that workers will come from begin its imports, beside those of this one.

    Without it they begin with the first task. Where workers are not forked from such a process,
    nothing happens.

    Args:
        module: of the function that the workers will call; with MONAI, which is imported too.
    """
    if FORKSERVER in multiprocessing.get_all_start_methods():
        multiprocessing.get_context(FORKSERVER).set_forkserver_preload([EARLY, module])
        forkserver.ensure_running()


def _context(function: Callable[[Task], Outcome]) -> BaseContext:
    # not "fork": torch and SimpleITK have threads, for which a forked process would wait forever
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context(FORKSERVER if FORKSERVER in methods else "spawn")
    if FORKSERVER in methods:
        first = [EARLY] if "monai" in sys.modules else []  # the module's too, as it is loaded here
        context.set_forkserver_preload([*first, function.__module__])
    return context


def _until_one_dies(
    function: Callable[[Task], Outcome], waiting: deque[Task], jobs: int, context: BaseContext
) -> Generator[Outcome, None, list[Task]]:
    """Yield outcomes of the waiting tasks; return those that were running when a process died."""
    running: dict[Future[Outcome], Task] = {}
    workers = min(jobs, len(waiting))
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool,
        suppress(BrokenProcessPool),
    ):
        while waiting or running:
            while waiting and len(running) < workers:
                future = pool.submit(function, waiting[0])
                running[future] = waiting.popleft()
            done = wait(running, return_when=FIRST_COMPLETED).done
            for future in done:
                yield future.result()
                del running[future]
    finished = [future for future in running if future.exception() is None]
    for future in finished:
        yield future.result()
    return [task for future, task in running.items() if future not in finished]


def _repeated(
    function: Callable[[Task], Outcome],
    task: Task,
    context: BaseContext,
    lost: Callable[[Task, str], Outcome] | None,
) -> Outcome:
    """Return the outcome of a task in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=context, initializer=_begin) as pool:
        future = pool.submit(function, task)
        (process,) = pool._processes.values()
        error = future.exception()
    if not isinstance(error, BrokenProcessPool):
        return future.result()
    reason = _why_ended(process.exitcode)
    if lost is None:
        raise OSError(f"a process {reason}, also when it ran alone") from error
    return lost(task, f"its process {reason}, also when it was repeated alone")


class ProcessEndedError(OSError):
    """A process ended before its function returned; the message says how."""


class Companion:
    """A process beside this one that runs one function at a time; a context manager.

    It starts with the first call and is replaced when it ends by itself. At the end of the block
    the running function is finished; a process of its own, it ignores Ctrl-C.

    Example:
        >>> with Companion() as companion:
        ...     companion.begin(abs, -2)
        ...     companion.result()
        2
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._running: Future[Any] | None = None
        self._call: tuple[Any, ...] = ()  # the function and its arguments

    def __enter__(self) -> Companion:
        """Begin; no process is started yet."""
        return self

    def __exit__(self, *error: object) -> None:
        """Wait for the running function and end the process."""
        self._end()

    @property
    def is_busy(self) -> bool:
        """Whether a result is to be fetched."""
        return self._running is not None

    def begin(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Let the process call a function that it can import; the result before must be fetched."""
        self._call = (function, *arguments)
        try:
            self._submit()
        except BrokenProcessPool:  # it ended while it had nothing to do
            self._end()
            self._submit()

    def result(self) -> Any:
        """Wait for the function and return its result, or raise its error.

        When the process dies, as when the system is short of memory, the function is called once
        more in another one, while this process has nothing to do but wait.

        Raises:
            ProcessEndedError: when the other process died too.
        """
        if self._running is None:
            raise RuntimeError("begin must be called before result")
        try:
            with suppress(ProcessEndedError):
                return self._fetched()
            self._submit()
            return self._fetched()
        finally:
            self._running, self._call = None, ()

    def _submit(self) -> None:
        if self._pool is None:
            context = _context(self._call[0])
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin)
        with _without_main():  # the process is started here
            self._running = self._pool.submit(*self._call)
        # so that only the process can write results: if it dies in the middle of one, which takes
        # a while for a whole CT, this process would wait for the rest forever
        self._pool._result_queue._writer.close()  # type: ignore[attr-defined]

    def _fetched(self) -> Any:
        pool, running = self._pool, self._running
        assert pool is not None
        assert running is not None
        processes = list(pool._processes.values())
        try:
            return running.result()
        except BrokenProcessPool as error:
            self._end()
            codes = [process.exitcode for process in processes if process.exitcode]
            raise ProcessEndedError(_why_ended(codes[0] if codes else None)) from error

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


@contextmanager
def _without_main() -> Iterator[None]:
    """Let a process start without the program that is running, of which it needs nothing.

    It would run that program's file once more: a script that calls a command without asking whether
    ``__name__`` is ``"__main__"`` would call it again, and one that Python reads from standard
    input has no file.
    """
    main = sys.modules["__main__"]
    kept = {name: value for name, value in vars(main).items() if name in ("__spec__", "__file__")}
    main.__spec__ = None
    main.__dict__.pop("__file__", None)
    try:
        yield
    finally:
        main.__dict__.update(kept)


def _why_ended(code: int | None) -> str:
    """Say how a process ended, from its exit code.

    Example:
        >>> _why_ended(-9), _why_ended(-11)
        ('was killed (SIGKILL), probably for lack of memory', 'crashed (SIGSEGV)')
    """
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    killed = "was killed (SIGKILL), probably for lack of memory"
    return killed if name == "SIGKILL" else f"crashed ({name})"


def _begin() -> None:
    """Set up a worker: ignore Ctrl-C, end with the main process, use one core."""
    silence_noise()
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
