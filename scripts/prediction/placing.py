"""A source made ready to be read, under names that say nothing of the patient."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.bundle.record import sha256_of
from scripts.prediction.sources import DICOM_SERIES, LIMITS, Source
from scripts.storage.archive import ArchiveReader, File, Limits
from scripts.volumes.dicom_series import Series
from scripts.volumes.dicom_slice import SliceFile, read_slice

PREFIX = "predict-"  # of temporary folders


@dataclass(frozen=True)
class Placed:
    """A source ready to be read.

    Attributes:
        content: a volume file, or the slices of a DICOM series in no order.
        place: what stands for the series' folder in errors.
        names: neutral names of slices -> the files' own, for the screen.
        hidden: paths that errors may name -> what is to stand there in what is written.
    """

    content: Path | tuple[SliceFile, ...]
    place: str
    names: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)

    def read(self) -> Path | Series:
        """Return what :func:`scripts.prediction.pipeline.predict_volume` takes.

        Raises:
            ValueError: for slices that are no sound CT series.
        """
        if isinstance(self.content, Path):
            return self.content
        return Series.of_ct(self.content, self.place)

    def for_record(self, message: str) -> str:
        """Take every path out of a message that goes into a file."""
        for shown, neutral in self.hidden.items():
            message = message.replace(shown, neutral)
        return message

    def for_screen(self, message: str) -> str:
        """Put files' own names where a message has their neutral ones."""
        return re.sub(
            r"(?:[^\s/]+/)?(slice-\d+)", lambda m: self.names.get(m.group(1), m.group()), message
        )


@contextmanager
def placed(source: Source, *, limits: Limits = LIMITS) -> Iterator[Placed]:
    """Make a source ready to be read.

    The slices of a series are called ``slice-0001``, ``slice-0002`` ... so that an error that names
    one tells nothing of the patient. A volume file on the disk is read where it is; one in a zip is
    unpacked into a temporary folder, which is removed again.

    Raises:
        ValueError: for a file that is damaged.
        OSError: when there is no room for temporary files.
    """
    first = source.files[0].location
    if source.kind == DICOM_SERIES:
        yield _placed_series(source, limits)
    elif not first.inside:
        yield Placed(first.path, source.name, hidden=_hidden(first.path, source.name))
    else:
        with tempfile.TemporaryDirectory(prefix=PREFIX) as base:
            folder = Path(base) / source.name
            try:
                folder.mkdir()
                path = _unpack(source, folder, limits)
            except OSError as error:
                raise OSError(
                    f"temporary files: cannot write into {tempfile.gettempdir()}: "
                    f"{error.strerror or error}; set TMPDIR to a folder with room"
                ) from error
            yield Placed(path, source.name, hidden={f"{folder}": source.name, f"{base}/": ""})


def _placed_series(source: Source, limits: Limits) -> Placed:
    """Name slices neutrally; read their headers where they were not kept."""
    slices: list[SliceFile] = []
    names: dict[str, str] = {}
    hidden: dict[str, str] = {}
    for number, (file, each) in enumerate(_headers(source, limits), start=1):
        name = f"slice-{number:04d}"
        place = f"{source.name}/{name}"
        slices.append(replace(each, place=place))
        names[name] = file.parts[-1]
        hidden |= {str(file.location.path): source.name, str(file.location): place}
    longest = sorted(hidden, key=len, reverse=True)  # image_10 before image_1, members before zips
    return Placed(tuple(slices), source.name, names, {path: hidden[path] for path in longest})


def _headers(source: Source, limits: Limits) -> Iterator[tuple[File, SliceFile]]:
    if source.slices:
        yield from zip(source.files, source.slices, strict=True)
        return
    with ArchiveReader(limits) as reader:
        for file in source.files:
            each = read_slice(reader, file.location)
            if each is None:
                raise ValueError(f"{source.name}: a slice is no DICOM file any more")
            yield file, each


def _hidden(path: Path, name: str) -> dict[str, str]:
    """Say what stands for a volume's path, its folder and its file name, however they are put."""
    forms = dict.fromkeys([path.resolve(), path.absolute(), path])
    folders = {f"{form.parent}/": "" for form in forms if form.parent != Path()}
    return {**{str(form): name for form in forms}, **folders, path.name: name}


def _unpack(source: Source, folder: Path, limits: Limits) -> Path:
    """Unpack a volume file and what lies beside it; return the volume's path."""
    path = folder / f"{source.name}{_suffix(source.files[0])}"
    with ArchiveReader(limits) as reader:
        for number, file in enumerate(source.files):
            content = reader.read(file.location, max_bytes=limits.archive_bytes)
            (folder / file.parts[-1] if number else path).write_bytes(content)
    return path


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
