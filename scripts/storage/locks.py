"""Locks that let one process at a time write into a folder, and end with it, however it ends."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from scripts.storage.output_folder import OutputError, claim_output

logger = logging.getLogger(__name__)

LOCK = ".lock"
_held: dict[Path, tuple[int, int]] = {}
"""Lock file -> descriptor, and how often this process has acquired it."""


class InUseError(OutputError):
    """Another process writes into the folder."""


def acquire(path: Path, argument: str = "output", *, wait: bool = False) -> int:
    """Lock a file, which is created; a process may acquire a lock that it holds once more.

    The system releases the lock when the process ends, also when it is killed: a lock file that a
    killed process left locks nothing.

    Args:
        path: lock file.
        argument: option that named the folder, for error messages.
        wait: for another process that holds the lock, instead of raising.

    Returns:
        The descriptor of the locked file; a command that is started with it holds the lock as well,
        a forked child does not.

    Raises:
        InUseError: when another process holds the lock, with what that process says of itself.
    """
    key = path.resolve()
    descriptor, times = _held.get(key, (-1, 0))
    if not times:
        descriptor = _locked_file(path, argument, wait=wait)
    _held[key] = (descriptor, times + 1)
    return descriptor


def release(path: Path) -> None:
    """Release a lock; its file is removed when this process does not hold it any more."""
    key = path.resolve()
    descriptor, times = _held.pop(key)
    if times > 1:
        _held[key] = (descriptor, times - 1)
        return
    path.unlink(missing_ok=True)
    os.close(descriptor)


@contextmanager
def locked(path: Path, argument: str = "output", *, wait: bool = False) -> Iterator[int]:
    """Hold a lock; see :func:`acquire`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with locked(Path(folder) / LOCK):
        ...         print(os.listdir(folder))
        ...     print(os.listdir(folder))
        ['.lock']
        []
    """
    descriptor = acquire(path, argument, wait=wait)
    try:
        yield descriptor
    finally:
        release(path)


@contextmanager
def claimed(output: Path, argument: str = "output") -> Iterator[None]:
    """Create an output folder, check that it is writable, and lock it.

    Args:
        output: folder to create.
        argument: option that named it, for error messages.

    Raises:
        OutputError: when it cannot be created or is not writable.
        InUseError: when another process writes into it.
    """
    claim_output(output, argument)
    with locked(output / LOCK, argument):
        yield


def _leave_to_parent() -> None:
    """Close the locks of the parent: workers of a data loader outlive a killed one by seconds."""
    for descriptor, _ in _held.values():
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_leave_to_parent)


def _locked_file(path: Path, argument: str, *, wait: bool) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor, path, argument, wait=wait)
            if _is_file_of(descriptor, path):  # its last holder may have removed it meanwhile
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps(_this_process()).encode(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path, argument: str, *, wait: bool) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = _owner(descriptor)
        if not wait:
            raise InUseError(
                f"{argument}: {owner} is writing into {path.parent}; wait until it ends, or choose "
                "another folder"
            ) from error
        print(f"  {owner} is writing into {path.parent}; waiting for it", flush=True)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:  # some network drives
        logger.warning(
            "%s: the drive of %s has no locks (%s); make sure that no other process writes "
            "into this folder",
            argument,
            path.parent,
            error.strerror,
        )


def _is_file_of(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _this_process() -> dict[str, str | int]:
    started = datetime.now().astimezone().isoformat(timespec="minutes")
    command = " ".join(sys.argv)[:200]
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": started, "command": command}


def _owner(descriptor: int) -> str:
    """Describe the process that holds a lock, from what it wrote into the file."""
    try:
        owner = json.loads(os.pread(descriptor, 4096, 0))
        return "process {pid} on {host} ({command}, since {since})".format(**owner)
    except (ValueError, KeyError, TypeError):  # it has the lock, but has not written yet
        return "another process"
