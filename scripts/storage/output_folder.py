"""Output folders: checked before the work begins; disk errors distinguished from other errors."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OF_A_FILE = (errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.EISDIR)


class OutputError(OSError):
    """The output cannot be written: a disk error, which stops the whole run."""


def claim_output(output: Path, argument: str = "output") -> None:
    """Create the output folder and check that it is writable, by writing an anonymous file.

    Several processes may claim the same folder at the same time.

    Args:
        output: folder to create.
        argument: option that named it, for the error message.

    Raises:
        OutputError: when the folder cannot be created or is not writable.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output) as probe:
            probe.write(b"x")
    except OSError as error:
        raise OutputError(
            f"{argument}: cannot write into {output}: {error.strerror or error}; choose a "
            f"writable folder with enough free space"
        ) from error


@contextmanager
def writing_into(output: Path) -> Iterator[None]:
    """Convert disk errors while writing to :class:`OutputError`.

    Errors of other files, such as a source that does not exist, are raised as they are.

    Raises:
        OutputError: with the folder and how to continue.
    """
    try:
        yield
    except OSError as error:
        if not _is_of_disk(error, output):
            raise
        # numpy reports a full disk without the system's message
        reason = error.strerror or f"the disk is full or out of reach ({error})"
        raise OutputError(
            f"output: cannot write into {output}: {reason}; finished files are kept, the same "
            f"command continues from them"
        ) from error


def _is_of_disk(error: OSError, output: Path) -> bool:
    """Whether an error is of the system and not of a file elsewhere that cannot be opened."""
    if error.errno is None:  # one that was raised with a message of its own; or of numpy
        return type(error) is OSError
    if error.errno not in _OF_A_FILE or error.filename is None:
        return True
    place = Path(os.path.abspath(os.fsdecode(error.filename)))
    inside = Path(os.path.abspath(output))
    return place == inside or inside in place.parents or place in inside.parents


def portable_path(path: Path, folder: Path) -> str:
    """Return a path relative to the folder where it is inside, so that both can be moved together.

    A path outside the folder is returned as an absolute one.
    """
    absolute = Path(os.path.abspath(path))
    inside = Path(os.path.abspath(folder))
    return absolute.relative_to(inside).as_posix() if inside in absolute.parents else str(absolute)
