"""Files of a bundle in a folder or in a zip; the zip is read without unpacking."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import IO

from scripts.storage.archive import ArchiveReader, Location

MOST_TEXT = 16 << 20  # bytes of a config or a Python file
MOST_FILES = 20_000


class FolderFiles:
    """Files on the disk: names are relative to a folder, then to the current directory.

    Args:
        folder: the bundle's folder; None for single config files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.title = str(folder or "")

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None when neither directory has it.

        Raises:
            ValueError: when the file is larger than :data:`MOST_TEXT`.
        """
        for path in [*([self.folder / name] if self.folder else []), Path(name)]:
            if _is_file(path):
                if path.stat().st_size > MOST_TEXT:
                    raise ValueError(
                        f"{path}: must have at most {MOST_TEXT >> 20} MB to be a config, is larger"
                    )
                return path.read_bytes()
        return None

    def read_inside(self, name: str) -> bytes | None:
        """Return the bytes of a file in the bundle's folder; None when it has none of this name."""
        path = None if self.folder is None else self.folder / name
        return path.read_bytes() if path is not None and _is_file(path) else None

    def names(self) -> list[str]:
        """List the files of the bundle's folder; links are listed, not followed.

        Raises:
            ValueError: when there are more than :data:`MOST_FILES`.
        """
        if self.folder is None:
            return []
        names = []
        for path in self.folder.rglob("*"):
            if path.is_symlink() or path.is_file():
                names.append(path.relative_to(self.folder).as_posix())
            _refuse_many(self.title, len(names))
        return sorted(names)

    def duplicates(self) -> list[str]:
        """Return no names: a folder has each name once."""
        return []

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        return (self.folder or Path()).joinpath(name).open("rb")

    def size(self, name: str) -> int:
        """Return a file's size in bytes."""
        return (self.folder or Path()).joinpath(name).stat().st_size

    def is_link(self, name: str) -> bool:
        """Whether a name is a symbolic link."""
        return (self.folder or Path()).joinpath(name).is_symlink()


class ZipFiles:
    """Files of a zip.

    Args:
        path: the zip; a single top-level folder that contains everything is left out of the names.

    Raises:
        ValueError: when the zip is damaged or has more than :data:`MOST_FILES` files.
    """

    def __init__(self, path: Path) -> None:
        self._reader = ArchiveReader()
        self._zip = Location(path)
        self.title = str(path)
        entries = [info for info in self._reader.directory(self._zip) if not info.is_dir()]
        _refuse_many(self.title, len(entries))
        self._members = [info.filename for info in entries]
        prefix = _common_folder(self._members)
        self._entries = {info.filename.removeprefix(prefix): info for info in entries}

    def read(self, name: str) -> bytes | None:
        """Return a member's bytes; None when there is no such member.

        Raises:
            ValueError: for a member that is too large, encrypted or damaged.
        """
        if str(PurePosixPath(name)) not in self._entries:
            return None
        return self._reader.read(self._location(name), max_bytes=MOST_TEXT)

    read_inside = read

    def _location(self, name: str) -> Location:
        return self._zip.member(self._entries[str(PurePosixPath(name))].filename)

    def names(self) -> list[str]:
        """List the members."""
        return sorted(self._entries)

    def duplicates(self) -> list[str]:
        """List the members that occur more than once, with the top-level folder."""
        return sorted(name for name, times in Counter(self._members).items() if times > 1)

    def open(self, name: str) -> IO[bytes]:
        """Open a member for reading.

        Raises:
            ValueError: for an encrypted member or an unknown compression method.
        """
        return self._reader.open(self._location(name))

    def size(self, name: str) -> int:
        """Return a member's unpacked size in bytes, as stated in the zip."""
        return self._entries[name].file_size

    def is_link(self, name: str) -> bool:
        """Whether a member is a symbolic link."""
        return stat.S_ISLNK(self._entries[name].external_attr >> 16)


BundleFiles = FolderFiles | ZipFiles


def _refuse_many(title: str, count: int) -> None:
    if count > MOST_FILES:
        raise ValueError(f"{title}: must be a bundle, has more than {MOST_FILES} files")


def _is_file(path: Path) -> bool:
    """Whether a path is a file; False also for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _common_folder(names: Iterable[str]) -> str:
    """Return the top-level folder that contains everything, with its slash; empty if none does."""
    first = {name.partition("/")[0] for name in names}
    if len(first) == 1 and all("/" in name for name in names):
        return f"{first.pop()}/"
    return ""


def open_bundle(path: Path) -> BundleFiles:
    """Open a bundle's folder or zip.

    Raises:
        FileNotFoundError: when the path does not exist.
        ValueError: for a file that is not a zip.
    """
    if path.is_dir():
        return FolderFiles(path)
    if not path.exists():
        raise FileNotFoundError(f"config: must be a folder, a zip or config files, got {path}")
    return ZipFiles(path)
