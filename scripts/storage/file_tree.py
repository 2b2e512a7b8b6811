"""Listing of the files of a folder or zip, including those in nested zips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scripts.storage.archive import ArchiveReader, File, ListingError, Location, is_stray


@dataclass(frozen=True)
class Unlisted:
    """Something in a folder that is neither a file nor a folder that is entered.

    Args:
        location: its path.
        reason: why it is left out.
    """

    location: Location
    reason: str


def folder_files(root: Path, parts: tuple[str, ...]) -> Iterator[File | ListingError]:
    """List the files below a folder, sorted by name, without stray files.

    A folder or file that cannot be reached is yielded as an error with the reason. Links are
    followed; a folder that contains itself through a link is not entered again.
    """
    for file in _folder_files(root, parts, frozenset(), stray=False):
        if not isinstance(file, Unlisted):
            yield file


def _folder_files(
    root: Path, parts: tuple[str, ...], above: frozenset[Path], *, stray: bool
) -> Iterator[File | Unlisted | ListingError]:
    try:
        real = root.resolve()
        if real in above:
            yield Unlisted(Location(root), "a link to a folder above it")
            return
        paths = sorted(root.iterdir())
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead to each other
        yield _unreadable(root, error)
        return
    for path in paths:
        if is_stray((path.name,)) and not stray:
            continue
        try:
            if path.is_dir():
                if is_stray((path.name,)):
                    yield Unlisted(Location(path), "a hidden folder")
                else:
                    below = (*parts, path.name)
                    yield from _folder_files(path, below, above | {real}, stray=stray)
            elif path.is_file():
                yield File((*parts, path.name), Location(path), path.stat().st_size)
            elif path.is_symlink():
                message = f"{Location(path)}: a link that leads nowhere"
                yield ListingError(Location(path), message)
            else:
                yield Unlisted(Location(path), "neither a file nor a folder")
        except OSError as error:
            yield _unreadable(path, error)


def _unreadable(path: Path, error: Exception) -> ListingError:
    reason = getattr(error, "strerror", None) or str(error)
    return ListingError(Location(path), f"{Location(path)}: cannot be read: {reason}")


def tree_files(
    reader: ArchiveReader, root: Path, *, stray: bool = False
) -> Iterator[File | Unlisted | ListingError]:
    """List the files of a folder or zip, including those in nested zips.

    A member, zip or folder that cannot be read is yielded as an error with the reason.

    Args:
        reader: reads the zips; its limits apply to each zip on the disk including nested zips.
        root: a folder or a zip; parts are relative to it.
        stray: list stray files too, see :func:`~scripts.storage.archive.is_stray`.
    """
    start = Location(root)
    files: Iterable[File | Unlisted | ListingError] = [File((root.name,), start, 0)]
    if root.is_dir():
        files = _folder_files(root, (), frozenset(), stray=stray)
    for file in files:
        if isinstance(file, File) and _is_to_open(file):
            parts = file.parts if root.is_dir() else ()
            yield from _zip_files(reader, File(parts, file.location, file.size), [0], stray=stray)
        else:
            yield file


def _is_to_open(file: File) -> bool:
    """Whether a file is a zip, and not the companion ``._x.zip`` that macOS leaves."""
    return file.location.is_zip and not is_stray(file.parts[-1:])


def _zip_files(
    reader: ArchiveReader, zipped: File, spent: list[int], *, stray: bool
) -> Iterator[File | ListingError]:
    """List a zip and its nested zips; ``spent[0]`` is the sum of the unpacked sizes so far."""
    try:
        for file in list(reader.members(zipped.location, zipped.parts, stray=stray)):
            if isinstance(file, ListingError):
                yield file
                continue
            if spent[0] > reader.limits.total_bytes:
                return  # reported already for a nested zip
            spent[0] += file.size
            if spent[0] > reader.limits.total_bytes:
                raise ValueError(
                    f"{zipped.location}: with its nested zips, it must unpack to at most "
                    f"{reader.limits.total_bytes} bytes; not read"
                )
            if _is_to_open(file):
                yield from _zip_files(reader, file, spent, stray=stray)
            else:
                yield file
    except OSError as error:
        reason = f"{zipped.location}: cannot be read: {error.strerror or error}"
        yield ListingError(zipped.location, reason)
    except ValueError as error:
        yield ListingError(zipped.location, str(error))
    finally:
        reader.close(zipped.location)
