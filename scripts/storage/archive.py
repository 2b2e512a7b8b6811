"""Zips in zips and folders, read member by member without unpacking anything to the disk."""

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

STRAY = re.compile(r"__MACOSX|\..*|Thumbs\.db|desktop\.ini|DICOMDIR", re.IGNORECASE)
ENCRYPTED = 0x1  # flag bit of a zip member


@dataclass(frozen=True)
class Limits:
    """What is the most that is read, so that a hostile archive cannot fill memory.

    What scanners and public data sets give stays far below: an image has 0.5 MB, the largest
    archive of a 3D-IRCADb patient holds 0.2 GB.

    Args:
        file_bytes: of one image.
        archive_bytes: of one zip inside another, held in memory while it is read.
        total_bytes: of all files of one patient, or of one zip with those inside it, together.
        members: of one archive.
        depth: zips inside one another.
        expansion: how many times its packed size an archive may unpack to, once that is more than
            ``archive_bytes`` / 32; None for any. CT slices give 2 to 4, masks up to 1000.
    """

    file_bytes: int = 64 << 20
    archive_bytes: int = 2 << 30
    total_bytes: int = 8 << 30
    members: int = 100_000
    depth: int = 4
    expansion: int | None = None


@dataclass(frozen=True)
class Location:
    """Where a file lies: a path on the disk and, inside zips, the member's name in each.

    Example:
        >>> print(Location(Path("a.zip"), ("b/PATIENT_DICOM.zip", "image_3")))
        a.zip/b/PATIENT_DICOM.zip/image_3
    """

    path: Path
    inside: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the path as if every zip were a folder."""
        return "/".join([self.path.as_posix(), *self.inside])

    @property
    def is_zip(self) -> bool:
        """Whether the name says that this is a zip."""
        return (self.inside[-1] if self.inside else self.path.name).lower().endswith(".zip")

    def member(self, name: str) -> Location:
        """Return the location of a member of this zip."""
        return Location(self.path, (*self.inside, name))


@dataclass(frozen=True)
class File:
    """One file of a tree.

    Args:
        parts: folders and name below the tree's root; a zip that was entered counts as a folder
            named without ``.zip``.
        location: where to read it.
        size: bytes, unpacked.
    """

    parts: tuple[str, ...]
    location: Location
    size: int


def member_parts(info: zipfile.ZipInfo) -> tuple[str, ...]:
    """Return folders and name of a zip member.

    Raises:
        ValueError: for a member that would land outside its folder when unpacked (an absolute
            path, a drive letter, ``..``, a link) or that is encrypted.

    Example:
        >>> member_parts(zipfile.ZipInfo("liver/image_3"))
        ('liver', 'image_3')
        >>> member_parts(zipfile.ZipInfo("../image_3"))
        Traceback (most recent call last):
        ...
        ValueError: member '../image_3' would land outside its folder; not read
    """
    name = info.orig_filename.replace("\\", "/")
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name)
    if outside or "\0" in name:
        raise ValueError(f"member {info.orig_filename!r} would land outside its folder; not read")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ValueError(f"member {name!r} is a link, which may lead anywhere; not read")
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
            max_bytes: the most it may have; ``limits.file_bytes`` where not given.

        Raises:
            ValueError: when it is larger, damaged, or its zip is.
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
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ValueError(f"{location}: cannot be unpacked: {error}") from error

    def _archive(self, location: Location) -> zipfile.ZipFile:
        if location not in self._open:
            if len(location.inside) >= self.limits.depth:
                raise ValueError(f"{location}: more than {self.limits.depth} zips in one another")
            source: Path | io.BytesIO = location.path
            if location.inside:
                source = io.BytesIO(self.read(location, max_bytes=self.limits.archive_bytes))
            try:
                self._open[location] = zipfile.ZipFile(source)
            except (zipfile.BadZipFile, NotImplementedError) as error:
                raise ValueError(f"{location}: is no whole zip archive: {error}") from error
        return self._open[location]

    def _refuse_bomb(self, location: Location, infos: Sequence[zipfile.ZipInfo]) -> None:
        """Refuse an archive by what its directory says; nothing is unpacked for that."""
        if len(infos) > self.limits.members:
            raise ValueError(
                f"{location}: must have at most {self.limits.members} members, has {len(infos)}"
            )
        unpacked = sum(info.file_size for info in infos)
        if unpacked > self.limits.total_bytes:
            raise ValueError(
                f"{location}: must unpack to at most {self.limits.total_bytes} bytes, says "
                f"{unpacked}; not read"
            )
        packed = max(1, sum(info.compress_size for info in infos))
        times = self.limits.expansion
        large = unpacked > self.limits.archive_bytes // 32
        if times is not None and large and unpacked > times * packed:
            raise ValueError(
                f"{location}: would unpack to {unpacked // packed} times its size, more than "
                f"{times}: a zip bomb? not read"
            )

    def close(self, location: Location) -> None:
        """Let go of one zip and of the memory it takes."""
        archive = self._open.pop(location, None)
        if archive is not None:
            archive.close()

    def members(self, location: Location, parts: tuple[str, ...]) -> Iterator[File | ValueError]:
        """List a zip's files; members that are refused come as the error that says why.

        Args:
            location: the zip.
            parts: what the members' parts are to begin with.

        Raises:
            ValueError: when this is no zip or it has too many members.
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
    """Say whether a file is one that operating systems leave behind (``__MACOSX/``, ``.x`` ...).

    Example:
        >>> is_stray(("liver", ".DS_Store")), is_stray(("liver", "image_3"))
        (True, False)
    """
    return any(STRAY.fullmatch(part) for part in parts)


def folder_files(root: Path, parts: tuple[str, ...]) -> Iterator[File]:
    """List the files below a folder, stray ones left out, sorted by name.

    Links are followed, as the user made them; a folder that is reached again is not entered.
    """
    yield from _folder_files(root, parts, frozenset())


def _folder_files(root: Path, parts: tuple[str, ...], above: frozenset[Path]) -> Iterator[File]:
    real = root.resolve()
    if real in above:
        return
    for path in sorted(root.iterdir()):
        if is_stray((path.name,)):
            continue
        if path.is_dir():
            yield from _folder_files(path, (*parts, path.name), above | {real})
        elif path.is_file():
            yield File((*parts, path.name), Location(path), path.stat().st_size)


def tree_files(reader: ArchiveReader, root: Path) -> Iterator[File | ValueError]:
    """List the files of a folder or zip at any depth, entering every zip on the way.

    What cannot be read comes as the error that says why, and the rest is listed.

    Args:
        reader: its limits count for each zip of the disk with all the zips inside it.
        root: the folder or the zip; parts are relative to it.
    """
    start = Location(root)
    files = folder_files(root, ()) if root.is_dir() else [File((root.name,), start, 0)]
    for file in files:
        if file.location.is_zip:
            parts = file.parts if root.is_dir() else ()
            yield from _zip_files(reader, File(parts, file.location, file.size), [0])
        else:
            yield file


def _zip_files(
    reader: ArchiveReader, zipped: File, spent: list[int]
) -> Iterator[File | ValueError]:
    """List a zip and those inside it; ``spent`` counts the bytes that all of them unpack to."""
    try:
        for file in list(reader.members(zipped.location, zipped.parts)):
            if isinstance(file, ValueError):
                yield file
                continue
            if spent[0] > reader.limits.total_bytes:
                return  # said already, of a zip inside this one
            spent[0] += file.size
            if spent[0] > reader.limits.total_bytes:
                raise ValueError(
                    f"{zipped.location}: with the zips inside it, it must unpack to at most "
                    f"{reader.limits.total_bytes} bytes; not read"
                )
            if file.location.is_zip:
                yield from _zip_files(reader, file, spent)
            else:
                yield file
    except ValueError as error:
        yield error
    finally:
        reader.close(zipped.location)
