"""A source laid out for reading: its files alone, under names that say nothing of the patient."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from scripts.bundle.record import sha256_of
from scripts.prediction.sources import DICOM_SERIES, LIMITS, Source
from scripts.storage.archive import ArchiveReader, File, Limits

PREFIX = "predict-"  # of temporary folders


@dataclass(frozen=True)
class Placed:
    """A source ready to be read.

    Attributes:
        path: a folder that directly holds one DICOM series, or a volume file.
        names: neutral names in that folder -> the files' own, for the screen.
        hidden: paths that errors may name -> what is to stand there in what is written.
    """

    path: Path
    names: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)

    def for_record(self, message: str) -> str:
        """Take every path out of a message that goes into a file."""
        for shown, told in self.hidden.items():
            message = message.replace(shown, told)
        return message

    def for_screen(self, message: str) -> str:
        """Put files' own names where a message has their neutral ones."""
        return re.sub(
            r"(?:[^\s/]+/)?(slice-\d+)", lambda m: self.names.get(m.group(1), m.group()), message
        )


@contextmanager
def placed(source: Source, *, limits: Limits = LIMITS) -> Iterator[Placed]:
    """Lay a source out in a temporary folder, which is removed again.

    Slices on the disk are linked, what lies in a zip is unpacked; a volume file on the disk stays
    where it is. DICOM files are called ``slice-0001``, ``slice-0002`` ... so that an error that
    names one tells nothing of the patient.

    Raises:
        ValueError: for a file in a zip that is damaged.
        OSError: when there is no room for temporary files.
    """
    first = source.files[0].location
    if source.kind != DICOM_SERIES and not first.inside:
        yield Placed(first.path, hidden=_hidden(first.path, source.name))
        return
    with tempfile.TemporaryDirectory(prefix=PREFIX) as base:
        folder = Path(base) / source.name
        try:
            folder.mkdir()
            names = _lay_out(source, folder, limits)
        except OSError as error:
            raise OSError(
                f"temporary files: cannot write into {tempfile.gettempdir()}: "
                f"{error.strerror or error}; set TMPDIR to a folder with room"
            ) from error
        path = folder if source.kind == DICOM_SERIES else folder / names[0]
        shown = {name: file.parts[-1] for name, file in zip(names, source.files, strict=True)}
        yield Placed(path, shown, {f"{folder}": source.name, f"{base}/": ""})


def _hidden(path: Path, name: str) -> dict[str, str]:
    """Say what stands for a volume's path, its folder and its file name, however they are put."""
    forms = dict.fromkeys([path.resolve(), path.absolute(), path])
    folders = {f"{form.parent}/": "" for form in forms if form.parent != Path()}
    return {**{str(form): name for form in forms}, **folders, path.name: name}


def _lay_out(source: Source, folder: Path, limits: Limits) -> list[str]:
    """Link or unpack every file; return the names they got."""
    names = []
    with ArchiveReader(limits) as reader:
        for number, file in enumerate(source.files, start=1):
            name = f"slice-{number:04d}"
            if source.kind != DICOM_SERIES:
                name = f"{source.name}{_suffix(file)}" if number == 1 else file.parts[-1]
            names.append(name)
            if file.location.inside:
                most = limits.file_bytes if source.kind == DICOM_SERIES else limits.archive_bytes
                (folder / name).write_bytes(reader.read(file.location, max_bytes=most))
            else:
                (folder / name).symlink_to(file.location.path.resolve())
    return names


def _suffix(file: File) -> str:
    name = file.parts[-1]
    return ".nii.gz" if name.lower().endswith(".nii.gz") else Path(name).suffix


def digest_of(source: Source) -> str:
    """Return what tells one source's content from another's, 64 hex digits.

    Of a DICOM series the instances' UIDs, which a changed image must not keep (DICOM PS3.3,
    C.12.1); of volumes every byte.

    Raises:
        ValueError, OSError: when a volume cannot be read.
    """
    if source.digest:
        return source.digest
    digest = hashlib.sha256()
    with ArchiveReader(LIMITS) as reader:
        for file in source.files:
            if file.location.inside:
                digest.update(reader.read(file.location, max_bytes=LIMITS.archive_bytes))
                continue
            digest.update(sha256_of(file.location.path).encode())
    return digest.hexdigest()
