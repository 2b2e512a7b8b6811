"""Listing of the files of a folder or zip, including those in nested zips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.storage.archive import ArchiveReader, File, Location, is_stray


def folder_files(root: Path, parts: tuple[str, ...]) -> Iterator[File | ValueError]:
    """List the files below a folder, sorted by name, without stray files.

    A folder or file that cannot be reached is yielded as an error with the reason. Links are
    followed; a folder that contains itself through a link is not entered again.
    """
    yield from _folder_files(root, parts, frozenset())


def _folder_files(
    root: Path, parts: tuple[str, ...], above: frozenset[Path]
) -> Iterator[File | ValueError]:
    try:
        real, paths = root.resolve(), sorted(root.iterdir())
    except OSError as error:
        yield unreadable(root, error)
        return
    if real in above:
        return
    for path in paths:
        if is_stray((path.name,)):
            continue
        try:
            is_folder, size = path.is_dir(), path.stat().st_size if path.is_file() else None
        except OSError as error:
            yield unreadable(path, error)
            continue
        if is_folder:
            yield from _folder_files(path, (*parts, path.name), above | {real})
        elif size is not None:
            yield File((*parts, path.name), Location(path), size)


def unreadable(path: Path, error: OSError) -> ValueError:
    """Return the error of a folder or file that cannot be read, with the system's reason."""
    return ValueError(f"{path}: cannot be read: {error.strerror or error}")


def tree_files(reader: ArchiveReader, root: Path) -> Iterator[File | ValueError]:
    """List the files of a folder or zip, including those in nested zips.

    A member or zip that cannot be read is yielded as an error with the reason.

    Args:
        reader: reads the zips; its limits apply to each zip on the disk including nested zips.
        root: a folder or a zip; parts are relative to it.
    """
    start = Location(root)
    files: Iterable[File | ValueError] = [File((root.name,), start, 0)]
    if root.is_dir():
        files = folder_files(root, ())
    for file in files:
        if isinstance(file, ValueError):
            yield file
        elif file.location.is_zip:
            parts = file.parts if root.is_dir() else ()
            yield from _zip_files(reader, File(parts, file.location, file.size), [0])
        else:
            yield file


def _zip_files(
    reader: ArchiveReader, zipped: File, spent: list[int]
) -> Iterator[File | ValueError]:
    """List a zip and its nested zips; ``spent[0]`` is the sum of the unpacked sizes so far."""
    try:
        for file in list(reader.members(zipped.location, zipped.parts)):
            if isinstance(file, ValueError):
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
            if file.location.is_zip:
                yield from _zip_files(reader, file, spent)
            else:
                yield file
    except ValueError as error:
        yield error
    finally:
        reader.close(zipped.location)
