"""Reading of files on the disk and in zips nested to any depth, without unpacking to the disk."""

from __future__ import annotations

import io
import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO

STRAY = re.compile(r"__MACOSX|\..*|Thumbs\.db|desktop\.ini|DICOMDIR", re.IGNORECASE)
MOST_OPEN = 8  # zips open at a time, so that a folder may hold any number of them
MOST_IN_MEMORY = 256 << 20  # bytes of open zips inside others; a larger one is open alone
ENCRYPTED = 0x1  # flag bit of a zip member


def printable(name: str) -> str:
    r"""Return a file's name as text for screen, JSON and CSV.

    Bytes that are not UTF-8, as names from other systems have, and control characters such as line
    ends are written as escapes.

    Example:
        >>> printable(os.fsdecode(b"\xd6\xd0.dcm")), printable("a\nb")
        ('\\xd6\\xd0.dcm', 'a\\nb')
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


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
        """Return the path as text that can be printed, with each zip written like a folder."""
        return printable("/".join([self.path.as_posix(), *self.inside]))

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


class ListingError(ValueError):
    """A file, folder or zip that cannot be listed, or is not safe to read.

    Attributes:
        location: where it is.
    """

    def __init__(self, location: Location, message: str) -> None:
        super().__init__(message)
        self.location = location


class ArchiveReader:
    """Reads files from folders and from zips at any depth; a context manager.

    A zip inside another is read into memory as a whole. Zips stay open for the files that follow,
    but only the last few: read files in the order of their locations.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._open: dict[Location, zipfile.ZipFile] = {}  # the last one used is the last
        self._in_memory: dict[Location, int] = {}  # bytes of the open zips inside others

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
        self._in_memory.clear()

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
        archive = self._archive(Location(location.path, location.inside[:-1]))
        with _unpacking(location):
            info = archive.getinfo(location.inside[-1])
        _refuse_large(location, info.file_size, most)
        with _unpacking(location):
            return archive.read(info)

    def head(self, location: Location, count: int) -> bytes:
        """Return the first bytes of a file of any size; fewer if it is shorter.

        Raises:
            ValueError, OSError: see :meth:`read`.
        """
        if not location.inside:
            with location.path.open("rb") as file:
                return file.read(count)
        with self.open(location) as member, _unpacking(location):
            return member.read(count)

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
        archive = self._archive(Location(location.path, location.inside[:-1]))
        with _unpacking(location):
            return archive.open(location.inside[-1])

    def _archive(self, location: Location) -> zipfile.ZipFile:
        if location in self._open:
            self._open[location] = self._open.pop(location)
            return self._open[location]
        if len(location.inside) >= self.limits.depth:
            raise ValueError(f"{location}: zips nested more than {self.limits.depth} deep")
        source: Path | io.BytesIO = location.path
        if location.inside:
            content = self.read(location, max_bytes=self.limits.archive_bytes)
            source, self._in_memory[location] = io.BytesIO(content), len(content)
        try:
            self._open[location] = zipfile.ZipFile(source)
        except OSError:
            raise
        except Exception as error:  # a damaged directory leads zipfile to many exceptions
            self._in_memory.pop(location, None)
            raise ValueError(f"{location}: is not a complete zip archive: {error}") from error
        self._close_others()
        return self._open[location]

    def _close_others(self) -> None:
        """Close the zips that were used longest ago, beyond :data:`MOST_OPEN`."""
        while len(self._open) > 1 and (
            len(self._open) > MOST_OPEN or sum(self._in_memory.values()) > MOST_IN_MEMORY
        ):
            self.close(next(iter(self._open)))

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
        self._in_memory.pop(location, None)
        archive = self._open.pop(location, None)
        if archive is not None:
            archive.close()

    def members(
        self, location: Location, parts: tuple[str, ...], *, stray: bool = False
    ) -> Iterator[File | ListingError]:
        """List a zip's files; a member that is refused is yielded as an error with the reason.

        Args:
            location: the zip.
            parts: prefix for the parts of each member.
            stray: list stray files too, see :func:`is_stray`.

        Raises:
            ValueError: when the zip is damaged or exceeds the limits.
        """
        archive = self._archive(location)
        infos = archive.infolist()
        self._refuse_bomb(location, infos)
        times = Counter(info.filename for info in infos)
        for info in infos:
            try:
                below = member_parts(info)
                if times[info.filename] > 1 and archive.getinfo(info.filename) is not info:
                    raise ValueError(f"member {info.filename!r} is in it twice; only one is read")
            except ValueError as error:
                yield ListingError(location.member(info.filename), f"{location}: {error}")
                continue
            if not info.is_dir() and (stray or not is_stray(below)):
                inner = location.member(info.filename)
                yield File((*parts, *below), inner, info.file_size)


@contextmanager
def _unpacking(location: Location) -> Iterator[None]:
    """Convert the errors of zipfile and its decompressors.

    Raises:
        ValueError: naming the member.
    """
    try:
        yield
    except KeyError as error:
        raise ValueError(f"{location}: no such member") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        raise ValueError(f"{location}: cannot be unpacked: {error}") from error
    except (RuntimeError, ValueError, struct.error, MemoryError, IndexError) as error:
        # an encrypted member, an unknown kind of compression, a damaged directory
        reason = str(error) or type(error).__name__
        raise ValueError(f"{location}: cannot be unpacked: {reason}") from error


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
