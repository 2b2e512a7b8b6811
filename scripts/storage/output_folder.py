"""Output folders: claimed before the work begins; errors of the disk kept apart from others."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class OutputError(OSError):
    """The output cannot be written: an error of the disk, which stops the whole run."""


def claim_output(output: Path, argument: str = "output") -> None:
    """Make the output folder and prove, by a file without a name, that files can be written there.

    Several processes may claim the same folder at the same time.

    Args:
        output: the folder.
        argument: the option that named it, for the message.

    Raises:
        OutputError: when the folder cannot be made or nothing can be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output) as probe:
            probe.write(b"x")
    except OSError as error:
        raise OutputError(
            f"{argument}: cannot write into {output}: {error.strerror or error}; give a folder of "
            f"yours with room in it"
        ) from error


@contextmanager
def writing_into(output: Path) -> Iterator[None]:
    """Turn what goes wrong while writing into :class:`OutputError`.

    Raises:
        OutputError: naming the folder and how to continue.
    """
    try:
        yield
    except OSError as error:
        # numpy reports a full disk without the system's message
        reason = error.strerror or f"the disk is full or out of reach ({error})"
        raise OutputError(
            f"output: cannot write into {output}: {reason}; what is finished is kept, the same "
            f"command goes on from there"
        ) from error


def portable_path(path: Path, folder: Path) -> str:
    """Relative where a file lies inside the folder, so that it moves with it; else absolute."""
    absolute = Path(os.path.abspath(path))
    inside = Path(os.path.abspath(folder))
    return absolute.relative_to(inside).as_posix() if inside in absolute.parents else str(absolute)
