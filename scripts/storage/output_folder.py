"""The folder that a preparation writes: claimed first, and its failures told apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class OutputError(OSError):
    """The output cannot be written: a matter of the disk, so the whole run stops."""


def claim_output(output: Path) -> None:
    """Make the output folder and see that files can be written there.

    Raises:
        OutputError: when they cannot.
    """
    probe = output / ".writable"
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"output: cannot write into {output}: {error.strerror or error}; give a folder of "
            f"yours with room in it"
        ) from error


@contextmanager
def writing_into(output: Path) -> Iterator[None]:
    """Turn what goes wrong while writing into :class:`OutputError`.

    Raises:
        OutputError: naming the folder and how to go on.
    """
    try:
        yield
    except OSError as error:
        # numpy tells of a full disk without the system's word for it
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
