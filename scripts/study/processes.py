"""One command as a process of its own: logged, measured, ended with its parent, locked."""

from __future__ import annotations

import ctypes
import fcntl
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
    """How a command ended.

    Args:
        code: its exit code; below 0 the signal that ended it.
        seconds: by the clock.
        peak_mb: the most memory that it held at once (resident set); on Linux no less than what
            this process held when it started that one.
    """

    code: int
    seconds: float
    peak_mb: float


def run_command(words: Sequence[str], log: Path, lock: int) -> Outcome:
    """Run ``python WORDS``, its output appended to a log.

    It does not outlive this process, even where that is killed (Linux); it holds the lock too, so
    that elsewhere nobody repeats its work while it goes on.
    """
    started = time.perf_counter()
    with log.open("a") as sink:
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environment(os.environ),
            pass_fds=(lock,),
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss: bytes there, KiB here
    return Outcome(process.returncode, time.perf_counter() - started, usage.ru_maxrss / unit)


def _end_with_parent() -> None:
    """Ask the kernel to end this process when the one that started it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def environment(own: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """Environment of a command: torchrun shares cells out, the command itself is one process.

    Where torchrun started several processes, each has the GPU of its number.

    Example:
        >>> environment({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "HOME": "/"})
        {'HOME': '/', 'CUDA_VISIBLE_DEVICES': '1'}
    """
    found = {
        name: value
        for name, value in own.items()
        if name not in DISTRIBUTED and not name.startswith(TORCHELASTIC)
    }
    if int(own.get("WORLD_SIZE", "1")) > 1:
        number = int(own.get("LOCAL_RANK", "0"))
        visible = own.get("CUDA_VISIBLE_DEVICES", "").split(",")
        found["CUDA_VISIBLE_DEVICES"] = (
            visible[number] if number < len(visible) > 1 else str(number)
        )
    return found


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold a lock that the system releases when its holders end, however they end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"  another process works on {path.parent.name}; waiting for it", flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
