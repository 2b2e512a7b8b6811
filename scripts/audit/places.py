"""Where configs come from: the disk, a bundle's folder, or a zip that is never unpacked."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

MOST_TEXT = 16 << 20  # bytes of a config or a Python file
MOST_FILES = 20_000


class Disk:
    """Files of the disk: relative to a folder, then to where the command runs.

    Args:
        folder: the bundle's folder; None for single config files.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self.title = str(folder or "")

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes.

        Raises:
            ValueError: for a file that is far too large for a text.
        """
        for path in self._candidates(name):
            if _is_file(path):
                if path.stat().st_size > MOST_TEXT:
                    raise ValueError(f"{path}: larger than {MOST_TEXT >> 20} MB, no config is")
                return path.read_bytes()
        return None

    def read_inside(self, name: str) -> bytes | None:
        """Return a file's bytes, of the bundle's folder only."""
        path = None if self.folder is None else self.folder / name
        return path.read_bytes() if path is not None and _is_file(path) else None

    def _candidates(self, name: str) -> list[Path]:
        """List where a name may stand: the bundle itself first, whatever lies elsewhere after."""
        inside = [] if self.folder is None else [self.folder / name]
        return [*inside, Path(name)]

    def names(self) -> list[str]:
        """List the files of the bundle's folder; links are listed, not followed.

        Raises:
            ValueError: when there are far more files than a bundle has.
        """
        if self.folder is None:
            return []
        found = []
        for path in self.folder.rglob("*"):
            if path.is_symlink() or path.is_file():
                found.append(path.relative_to(self.folder).as_posix())
            if len(found) > MOST_FILES:
                raise ValueError(f"{self.folder}: more than {MOST_FILES} files; is it a bundle?")
        return sorted(found)

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading."""
        return (self.folder or Path()).joinpath(name).open("rb")

    def size(self, name: str) -> int:
        """Return a file's size in bytes."""
        return (self.folder or Path()).joinpath(name).stat().st_size

    def is_link(self, name: str) -> bool:
        """Whether a name is a link to somewhere else."""
        return (self.folder or Path()).joinpath(name).is_symlink()


class Archive:
    """Files of a zip, read in place.

    Args:
        path: the zip; a single folder around everything is left out of the names.

    Raises:
        ValueError: for a file that is no readable zip.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise ValueError(f"{path}: is no zip that can be read: {error}") from error
        self.title = str(path)
        self.members = [info for info in self._zip.infolist() if not info.is_dir()]
        if len(self.members) > MOST_FILES:
            raise ValueError(f"{path}: more than {MOST_FILES} files; is it a bundle?")
        self.prefix = _common_folder([info.filename for info in self.members])
        self._infos = {info.filename.removeprefix(self.prefix): info for info in self.members}

    def read(self, name: str) -> bytes | None:
        """Return a member's bytes.

        Raises:
            ValueError: for a member that is too large, encrypted or damaged.
        """
        info = self._infos.get(str(PurePosixPath(name)))
        if info is None:
            return None
        if info.file_size > MOST_TEXT:
            raise ValueError(f"{self.title}: {name} is larger than {MOST_TEXT >> 20} MB")
        with self.open(name) as file:
            try:
                return file.read(MOST_TEXT)
            except (zipfile.BadZipFile, EOFError, OSError) as error:
                raise ValueError(f"{self.title}: {name} is damaged: {error}") from error

    read_inside = read

    def names(self) -> list[str]:
        """List the members."""
        return sorted(self._infos)

    def open(self, name: str) -> IO[bytes]:
        """Open a member for reading.

        Raises:
            ValueError: for an encrypted member or an unknown kind of compression.
        """
        try:
            return self._zip.open(self._infos[str(PurePosixPath(name))])
        except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.title}: {name} cannot be read: {error}") from error

    def size(self, name: str) -> int:
        """Return a member's size in bytes, as the zip states it."""
        return self._infos[name].file_size

    def is_link(self, name: str) -> bool:
        """Whether a member is a link to somewhere else."""
        return stat.S_ISLNK(self._infos[name].external_attr >> 16)


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _common_folder(names: list[str]) -> str:
    """Return the folder that holds everything, with its slash; empty where there is none."""
    first = {name.partition("/")[0] for name in names}
    if len(first) == 1 and all("/" in name for name in names):
        return f"{first.pop()}/"
    return ""


def place_of(path: Path) -> Disk | Archive:
    """Return what a path gives: a bundle's folder or its zip.

    Raises:
        FileNotFoundError: where there is nothing.
        ValueError: for a file that is no zip.
    """
    if path.is_dir():
        return Disk(path)
    if not path.exists():
        raise FileNotFoundError(f"config: there is no {path}")
    return Archive(path)
