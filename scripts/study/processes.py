"""A command in a separate process: logged, measured, ended with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DISTRIBUTED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TORCHELASTIC = "TORCHELASTIC_"
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command.

    Args:
        code: exit code; below 0 the signal that ended it.
        seconds: wall-clock time.
        peak_mb: peak memory (resident set); on Linux at least that of this process when it
            started the command.
        processor_seconds: user and system time of the command and of the processes it waited for,
            which other work on the machine hardly changes.
    """

    code: int
    seconds: float
    peak_mb: float
    processor_seconds: float


def run_command(words: Sequence[str], log: Path, lock: int) -> Outcome:
    """Run ``python WORDS`` and append its output to a log.

    On Linux it ends with this process, even if that is killed. On other systems it keeps the lock,
    so that no other process repeats its work meanwhile.
    """
    started = time.perf_counter()
    with log.open("a") as sink, _copied(lock) as kept:
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environment(os.environ),
            pass_fds=(kept,),
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # ru_maxrss is in bytes or KiB
    return Outcome(
        process.returncode,
        time.perf_counter() - started,
        usage.ru_maxrss / unit,
        usage.ru_utime + usage.ru_stime,
    )


@contextmanager
def _copied(lock: int) -> Iterator[int]:
    """Yield another descriptor of a lock: a forked child closes the one that it knows."""
    copy = os.dup(lock)
    try:
        yield copy
    finally:
        os.close(copy)


def _end_with_parent() -> None:
    """Ask the kernel to end this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def environment(own: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """Return the environment of a command, without that of torchrun: it is a single process.

    If torchrun started several processes, each uses the GPU of its number; if there are more
    processes than GPUs, they share them.

    Example:
        >>> own = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}
        >>> environment({**own, "CUDA_VISIBLE_DEVICES": "0,1"})
        {'CUDA_VISIBLE_DEVICES': '1'}
    """
    variables = {
        name: value
        for name, value in own.items()
        if name not in DISTRIBUTED and not name.startswith(TORCHELASTIC)
    }
    if int(own.get("WORLD_SIZE", "1")) > 1:
        number = int(own.get("LOCAL_RANK", "0"))
        gpus = own["CUDA_VISIBLE_DEVICES"].split(",") if "CUDA_VISIBLE_DEVICES" in own else _gpus()
        if any(gpus):
            variables["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    return variables


def _gpus() -> list[str]:
    import torch  # slow import, needed under torchrun only

    return [str(number) for number in range(torch.cuda.device_count())]
