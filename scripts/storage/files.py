"""Atomic writing of files: under a temporary name, flushed to the disk, then renamed."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from scripts.storage.texts import spreadsheet_cell

PART = ".part-"  # prefix of unfinished files and folders


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, renamed to ``path`` when the block succeeds.

    The temporary name ends like the target's, so that writers which choose the format by suffix
    (``.npy``, ``.nii.gz``, ``.png``) work. After an error, Ctrl-C or on a full disk the temporary
    file is removed and an older target is unchanged. Missing folders are created.

    Raises:
        FileNotFoundError: when the block ends without writing the file.
        IsADirectoryError: when the target is a folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_path(Path(folder) / "a.txt") as part:
        ...         _ = part.write_text("whole")
        ...     [file.name for file in Path(folder).iterdir()]
        ['a.txt']
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"path: must be a file to write, {target} is a folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{PART}{secrets.token_hex(4)}-{target.name}")
    try:
        yield part
        if not part.is_file():
            raise FileNotFoundError(f"path: nothing was written for {target}")
        _flush(part)
        os.replace(part, target)
        _flush(target.parent)
    finally:
        part.unlink(missing_ok=True)


def clear_leftovers(path: str | Path) -> None:
    """Remove temporary files and folders that killed processes left of a file; it is unchanged.

    Only safe while no other process writes the same file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in (".part-0a-a.npy", ".part-0a-aa.npy", "a.npy"):
        ...         Path(folder, name).touch()
        ...     clear_leftovers(Path(folder) / "a.npy")
        ...     sorted(file.name for file in Path(folder).iterdir())
        ['.part-0a-aa.npy', 'a.npy']
    """
    target = Path(path)
    for leftover in target.parent.glob(f"{PART}*-{glob.escape(target.name)}"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Flush a file or folder to the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file in hex; the file is read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file atomically."""
    with atomic_path(path) as part:
        part.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    """Write a UTF-8 text file atomically, with the line ends of ``content``.

    Bytes of file names that are not UTF-8 are written as escapes.
    """
    write_bytes(path, content.encode("utf-8", "backslashreplace"))


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object, in UTF-8 with or without a byte order mark.

    Raises:
        ValueError: naming the file, when it is not a JSON object.
        OSError: when it cannot be read.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except RecursionError as error:
        raise ValueError(f"{path}: must be JSON: nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{path}: must be JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must be a JSON object, got a {type(content).__name__}")
    return content


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON atomically; :func:`plain` lists the types it may contain.

    Raises:
        ValueError: for an infinite number.
        TypeError: for a type that JSON cannot represent.
    """
    text = json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_csv(
    path: str | Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    columns: Sequence[str] | None = None,
) -> None:
    """Write rows as a CSV file with a header, atomically.

    Undefined values (None, NaN) become empty cells; texts that a spreadsheet would calculate are
    quoted.

    Args:
        path: file to write.
        rows: one dictionary per row, all with the same keys.
        columns: the header; required when there may be no rows.

    Raises:
        ValueError: when a row's keys differ from the header, or neither rows nor a header is given.
    """
    if columns is None:
        if not rows:
            raise ValueError(f"columns: must be given to write {path} without rows")
        columns = list(rows[0])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(spreadsheet_cell, columns))
    for number, row in enumerate(rows):
        if set(row) != set(columns):
            odd = sorted(set(row) ^ set(columns))
            raise ValueError(f"rows: row {number} of {path} differs from the header in {odd}")
        values = (spreadsheet_cell(plain(row[column])) for column in columns)
        writer.writerow(["" if value is None else value for value in values])
    write_text(path, text.getvalue())


def plain(value: Any) -> Any:
    """Convert numpy numbers and arrays, paths and tuples to JSON types; NaN becomes None.

    Raises:
        ValueError: for an infinite number, which is a computation error.
        TypeError: for any other type that JSON cannot represent.

    Example:
        >>> plain({"dice": np.float32(0.5), "sensitivity": float("nan"), "shape": (3, 4)})
        {'dice': 0.5, 'sensitivity': None, 'shape': [3, 4]}
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError(f"content: must be finite or NaN (undefined), got {value}")
        return None if math.isnan(value) else float(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    raise TypeError(f"content: cannot be written as JSON: {type(value).__name__} {value!r}")
