"""A bundle in a zip: examined, then unpacked for the time of a prediction."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.running.reasons import listed_reasons
from scripts.storage.archive import ArchiveReader, File, Limits, ListingError, Location

INFERENCE = ("configs", "inference.json")
USED = ("configs", "models")
"""Folders of a bundle that ``predict`` reads. Python of a zip is never run."""
LIMITS = Limits(total_bytes=8 << 30, members=20_000, expansion=200)
SHOWN = 3  # findings in a message


@contextmanager
def unpacked_bundle(bundle: Path) -> Iterator[Path]:
    """Yield the folder of a bundle; that of a zip is temporary.

    What a zip's configs and models would run is judged before, as by ``python -m scripts audit``:
    the components come from this project, those of the zip are not used.

    Args:
        bundle: a folder, or a zip as ``package`` writes it.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: for a zip that cannot be unpacked safely, has no configs/inference.json, or
            would run something that is not on the list of what a bundle may be.
    """
    if not bundle.is_file():
        yield bundle  # a folder, or an absent one, which is said where its config is read
        return
    with ArchiveReader(LIMITS) as reader, tempfile.TemporaryDirectory() as work:
        members = _members(reader, bundle)
        _refuse_harmful(bundle)
        folder = Path(work, _name_of(bundle, members))
        for parts, member in members.items():
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with reader.open(member.location) as source, target.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        with _named(folder, bundle):
            yield folder


@contextmanager
def _named(folder: Path, bundle: Path) -> Iterator[None]:
    """Name the zip in errors, in place of the temporary folder."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        text = str(error)
        if str(folder) not in text:
            raise
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(text.replace(str(folder), str(bundle))) from error


def _members(reader: ArchiveReader, bundle: Path) -> dict[tuple[str, ...], File]:
    """List what ``predict`` reads of a zip, by its path in the bundle.

    Raises:
        ValueError: for an unsafe zip, or one without a bundle.
    """
    if bundle.suffix.lower() != ".zip":
        raise ValueError(f"bundle: must be a bundle's folder or a .zip of one, got {bundle}")
    files: list[File] = []
    for one in reader.members(Location(bundle), ()):
        if isinstance(one, ListingError):
            raise ValueError(f"bundle: {one}")
        files.append(one)
    found = {file.parts: file for file in files}
    if INFERENCE not in found and len({file.parts[0] for file in files}) == 1:
        found = {file.parts[1:]: file for file in files}
    if INFERENCE not in found:
        raise ValueError(f"bundle: {bundle} holds no configs/inference.json; is it a bundle?")
    return {parts: file for parts, file in found.items() if parts[0] in USED}


def _name_of(bundle: Path, members: dict[tuple[str, ...], File]) -> str:
    """Return the name of the bundle: of the folder in the zip, else of the zip."""
    parts, file = next(iter(members.items()))
    return file.parts[0] if len(file.parts) > len(parts) else bundle.stem


def _refuse_harmful(bundle: Path) -> None:
    """Refuse a zip whose configs or models would run more than a bundle may.

    Raises:
        ValueError: with the first findings.
    """
    # not above: it reads MONAI's whole list of components
    from scripts.audit.audit import audit_run
    from scripts.audit.bundle_files import open_bundle

    if findings := audit_run(open_bundle(bundle)):
        each = [f"{one.file}:{one.place}: {one.why}" for one in findings]
        first = listed_reasons(each, most=SHOWN)
        raise ValueError(
            f"bundle: {bundle} would run what a bundle may not: {first}; nothing was run. "
            f"`python -m scripts audit --config {bundle}` lists it; unpack it if you trust it"
        )
