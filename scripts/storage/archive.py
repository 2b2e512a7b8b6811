"""Reading of files on the disk and in zips nested to any depth, without unpacking to the disk."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO

STRAY = re.compile(r"__MACOSX|\..*|Thumbs\.db|desktop\.ini|DICOMDIR", re.IGNORECASE)
ENCRYPTED = 0x1  # flag bit of a zip member


@dataclass(frozen=True)
class Limits:
    """Upper limits of what is read, so that a hostile archive cannot fill memory.

    Images of scanners and public data sets stay far below them: an image has 0.5 MB, the largest
    archive of a 3D-IRCADb patient 0.2 GB.

    Args:
        file_bytes: size of one image.
        archive_bytes: size of one zip inside another, which is held in memory while it is read.
        total_bytes: size of all files of a patient, or of a zip including nested zips.
        members: number of members of one archive.
        depth: nesting depth of zips.
        expansion: ratio of unpacked to packed size of an archive; checked only for archives that
            unpack to more than ``archive_bytes`` / 32; None for no limit. CT slices have 2 to 4,
            masks up to 1000.
    """

    file_bytes: int = 64 << 20
    archive_bytes: int = 2 << 30
    total_bytes: int = 8 << 30
    members: int = 100_000
    depth: int = 4
    expansion: int | None = None


@dataclass(frozen=True)
class Location:
    """Location of a file: a path on the disk and, inside zips, the member's name in each zip.

    Example:
        >>> print(Location(Path("a.zip"), ("b/PATIENT_DICOM.zip", "image_3")))
        a.zip/b/PATIENT_DICOM.zip/image_3
    """

    path: Path
    inside: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the path, with each zip written like a folder."""
        return "/".join([self.path.as_posix(), *self.inside])

    @property
    def is_zip(self) -> bool:
        """Whether the name ends in ``.zip``."""
        return (self.inside[-1] if self.inside else self.path.name).lower().endswith(".zip")

    def member(self, name: str) -> Location:
        """Return the location of a member of this zip."""
        return Location(self.path, (*self.inside, name))


@dataclass(frozen=True)
class File:
    """One file of a tree.

    Args:
        parts: folders and name relative to the tree's root; members of a zip follow the parts of
            the zip.
        location: location to read the file from.
        size: unpacked size in bytes.
    """

    parts: tuple[str, ...]
    location: Location
    size: int


def member_parts(info: zipfile.ZipInfo) -> tuple[str, ...]:
    """Split the path of a zip member into folders and name.

    Raises:
        ValueError: for a member that would be unpacked outside its folder (absolute path, drive
            letter, ``..``), a link, or an encrypted member.

    Example:
        >>> member_parts(zipfile.ZipInfo("liver/image_3"))
        ('liver', 'image_3')
        >>> member_parts(zipfile.ZipInfo("../image_3"))
        Traceback (most recent call last):
        ...
        ValueError: member '../image_3' would be unpacked outside its folder; not read
    """
    name = info.orig_filename.replace("\\", "/")
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name)
    if outside or "\0" in name:
        raise ValueError(
            f"member {info.orig_filename!r} would be unpacked outside its folder; not read"
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ValueError(f"member {name!r} is a link, which may point anywhere; not read")
    if info.flag_bits & ENCRYPTED:
        raise ValueError(f"member {name!r} is encrypted; unpack it with its password first")
    return path.parts


class ArchiveReader:
    """Reads files from folders and from zips at any depth; a context manager.

    A zip inside another is read into memory as a whole and kept until the reader closes.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._open: dict[Location, zipfile.ZipFile] = {}

    def __enter__(self) -> ArchiveReader:
        """Begin reading."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every zip that was opened."""
        for archive in self._open.values():
            archive.close()
        self._open.clear()

    def read(self, location: Location, *, max_bytes: int | None = None) -> bytes:
        """Return a file's content.

        Args:
            location: the file.
            max_bytes: largest size allowed; None for ``limits.file_bytes``.

        Raises:
            ValueError: when the file is too large, is not in its zip or cannot be unpacked, or the
                zip is damaged.
            OSError: when the file on the disk cannot be read.
        """
        most = self.limits.file_bytes if max_bytes is None else max_bytes
        if not location.inside:
            _refuse_large(location, location.path.stat().st_size, most)
            return location.path.read_bytes()
        outer = Location(location.path, location.inside[:-1])
        try:
            info = self._archive(outer).getinfo(location.inside[-1])
            _refuse_large(location, info.file_size, most)
            return self._archive(outer).read(info)
        except KeyError as error:
            raise ValueError(f"{location}: no such member") from error
        except (RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            # RuntimeError: an encrypted member or an unknown kind of compression
            raise ValueError(f"{location}: cannot be unpacked: {error}") from error

    def directory(self, location: Location) -> list[zipfile.ZipInfo]:
        """Return all entries of a zip's directory, including those that :meth:`members` refuses.

        Raises:
            ValueError: when the zip is damaged.
        """
        return self._archive(location).infolist()

    def open(self, location: Location) -> IO[bytes]:
        """Open a member of a zip for reading in pieces; the limits on its size do not apply.

        Raises:
            ValueError: when the member does not exist, is encrypted or cannot be unpacked.
        """
        outer = Location(location.path, location.inside[:-1])
        try:
            return self._archive(outer).open(location.inside[-1])
        except KeyError as error:
            raise ValueError(f"{location}: no such member") from error
        except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            raise ValueError(f"{location}: cannot be unpacked: {error}") from error

    def _archive(self, location: Location) -> zipfile.ZipFile:
        if location not in self._open:
            if len(location.inside) >= self.limits.depth:
                raise ValueError(f"{location}: zips nested more than {self.limits.depth} deep")
            source: Path | io.BytesIO = location.path
            if location.inside:
                source = io.BytesIO(self.read(location, max_bytes=self.limits.archive_bytes))
            try:
                self._open[location] = zipfile.ZipFile(source)
            except (zipfile.BadZipFile, NotImplementedError) as error:
                raise ValueError(f"{location}: is not a complete zip archive: {error}") from error
        return self._open[location]

    def _refuse_bomb(self, location: Location, infos: Sequence[zipfile.ZipInfo]) -> None:
        """Refuse an archive by the sizes in its directory, before anything is unpacked."""
        if len(infos) > self.limits.members:
            raise ValueError(
                f"{location}: must have at most {self.limits.members} members, has {len(infos)}"
            )
        unpacked = sum(info.file_size for info in infos)
        if unpacked > self.limits.total_bytes:
            raise ValueError(
                f"{location}: must unpack to at most {self.limits.total_bytes} bytes, states "
                f"{unpacked}; not read"
            )
        packed = max(1, sum(info.compress_size for info in infos))
        expansion = self.limits.expansion
        large = unpacked > self.limits.archive_bytes // 32
        if expansion is not None and large and unpacked > expansion * packed:
            raise ValueError(
                f"{location}: must unpack to at most {expansion} times its size, states "
                f"{unpacked // packed} times, as a zip bomb does; not read"
            )

    def close(self, location: Location) -> None:
        """Close one zip and release its memory."""
        archive = self._open.pop(location, None)
        if archive is not None:
            archive.close()

    def members(self, location: Location, parts: tuple[str, ...]) -> Iterator[File | ValueError]:
        """List a zip's files; a member that is refused is yielded as an error with the reason.

        Args:
            location: the zip.
            parts: prefix for the parts of each member.

        Raises:
            ValueError: when the zip is damaged or exceeds the limits.
        """
        infos = self._archive(location).infolist()
        self._refuse_bomb(location, infos)
        for info in infos:
            try:
                below = member_parts(info)
            except ValueError as error:
                yield ValueError(f"{location}: {error}")
                continue
            if not info.is_dir() and not is_stray(below):
                inner = location.member(info.filename)
                yield File((*parts, *below), inner, info.file_size)


def _refuse_large(location: Location, size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"{location}: must have at most {most} bytes, has {size}; not read")


def is_stray(parts: tuple[str, ...]) -> bool:
    """Whether a file was left by the operating system or is a DICOMDIR (``__MACOSX/``, ``.x``).

    Example:
        >>> is_stray(("liver", ".DS_Store")), is_stray(("liver", "image_3"))
        (True, False)
    """
    return any(STRAY.fullmatch(part) for part in parts)
