"""Access to a source under neutral names, so that errors do not reveal the patient."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.prediction.sources.ct_sources import LIMITS, MOST_HELD
from scripts.prediction.sources.inventory import DICOM_SERIES, VOLUME_FILE, Source
from scripts.storage.archive import ArchiveReader, File, Limits, Location, printable
from scripts.storage.files import sha256_of
from scripts.volumes.dicom.series_volume import Series
from scripts.volumes.dicom.slice import SliceFile, read_slice
from scripts.volumes.formats.stored_voxels import HEADER_BYTES
from scripts.volumes.geometry import IrregularGridError
from scripts.volumes.volume_files import data_file_named_by, files_of

PREFIX = "predict-"  # of temporary folders


@dataclass(frozen=True)
class SourceAccess:
    """A source ready to be read.

    Attributes:
        content: a volume file, or the slices of a DICOM series in no order.
        label: name of the series in errors, instead of its folder.
        names: neutral names of slices -> file names, for the screen.
        hidden: paths that may occur in errors -> their replacement in written files.
    """

    content: Path | tuple[SliceFile, ...]
    label: str
    names: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)

    def read(self, *, resample: bool = False) -> Path | Series:
        """Return the source for :func:`scripts.prediction.pipeline.predict_volume`.

        Args:
            resample: accept slices that form no regular grid.

        Raises:
            ValueError: for slices that do not form a valid CT series.
        """
        if isinstance(self.content, Path):
            return self.content
        try:
            return Series.of_ct(self.content, self.label, resample=resample)
        except IrregularGridError as error:
            raise ValueError(
                f"{error} (--geometry resample predicts it on a regular grid)"
            ) from error

    def for_record(self, message: str) -> str:
        """Replace every path in a message that is written to a file."""
        for shown, neutral in self.hidden.items():
            message = message.replace(shown, neutral)
        return message

    def for_screen(self, message: str) -> str:
        """Replace neutral names in a message by the file names."""
        return re.sub(
            r"(?:[^\s/]+/)?(slice-\d+)", lambda m: self.names.get(m.group(1), m.group()), message
        )


@contextmanager
def open_source(
    source: Source, *, limits: Limits = LIMITS, contents: Mapping[Location, bytes] | None = None
) -> Iterator[SourceAccess]:
    """Make a source ready to be read.

    The slices of a series are called ``slice-0001``, ``slice-0002`` ..., so that errors do not
    reveal the patient. A volume file on disk is read in place; one in a zip is unpacked into a
    temporary folder, which is removed afterwards.

    Args:
        source: the CT.
        limits: of what is read from zips.
        contents: files of a series that were read already, see :func:`read_content`.

    Raises:
        ValueError: for a damaged file.
        OSError: when temporary files cannot be written.
    """
    first = source.files[0].location
    if source.kind == DICOM_SERIES:
        yield _series_access(source, limits, contents or {})
    elif not first.inside:
        yield SourceAccess(first.path, source.name, hidden=_hidden(first.path, source.name))
    else:
        with tempfile.TemporaryDirectory(prefix=PREFIX) as base:
            folder = Path(base) / source.name
            try:
                folder.mkdir()
                path = _unpack(source, folder, limits)
            except OSError as error:
                raise OSError(
                    f"temporary files: cannot write into {tempfile.gettempdir()}: "
                    f"{error.strerror or error}; set TMPDIR to a folder with free space"
                ) from error
            yield SourceAccess(path, source.name, hidden={f"{folder}": source.name, f"{base}/": ""})


def _series_access(
    source: Source, limits: Limits, contents: Mapping[Location, bytes]
) -> SourceAccess:
    """Give slices neutral names; read their headers if they were not kept."""
    slices: list[SliceFile] = []
    names: dict[str, str] = {}
    hidden: dict[str, str] = {}
    for number, (file, each) in enumerate(_headers(source, limits), start=1):
        name = f"slice-{number:04d}"
        label = f"{source.name}/{name}"
        slices.append(replace(each, place=label, content=contents.get(file.location)))
        names[name] = printable(file.parts[-1])
        path = str(file.location.path)
        shown = {path: source.name, printable(path): source.name, repr(path)[1:-1]: source.name}
        hidden |= {**shown, str(file.location): label}
    longest = sorted(hidden, key=len, reverse=True)  # image_10 before image_1, members before zips
    return SourceAccess(tuple(slices), source.name, names, {path: hidden[path] for path in longest})


def _headers(source: Source, limits: Limits) -> Iterator[tuple[File, SliceFile]]:
    if source.slices:
        yield from zip(source.files, source.slices, strict=True)
        return
    with ArchiveReader(limits) as reader:
        for file in source.files:
            each = read_slice(reader, file.location)
            if each is None:
                raise ValueError(f"{source.name}: a slice is no longer a DICOM file")
            yield file, each


def _hidden(path: Path, name: str) -> dict[str, str]:
    """Return replacements of a volume's path, folder and file name, absolute or relative."""
    forms = dict.fromkeys([path.resolve(), path.absolute(), path])
    folders = {f"{form.parent}/": "" for form in forms if form.parent != Path()}
    return {**{str(form): name for form in forms}, **folders, path.name: name}


def _unpack(source: Source, folder: Path, limits: Limits) -> Path:
    """Unpack a volume file and its voxel files; return the path of the volume file."""
    path = folder / f"{source.name}{_suffix(source.files[0])}"
    target = path
    with ArchiveReader(limits) as reader:
        for file in source.files:
            content = reader.read(file.location, max_bytes=limits.archive_bytes)
            target.parent.mkdir(exist_ok=True, parents=True)
            target.write_bytes(content)
            if file is source.files[0] and len(source.files) > 1:
                target = folder / data_file_named_by(path.name, content[:HEADER_BYTES])
    return path


def _suffix(file: File) -> str:
    name = file.parts[-1]
    return ".nii.gz" if name.lower().endswith(".nii.gz") else Path(name).suffix


def read_content(source: Source) -> tuple[str, dict[Location, bytes]]:
    """Read the files of a series, each once.

    Returns:
        The hash of :func:`digest_of`, and the content of each file; none for a volume file, which
        is read by its path, or for a series of more than :data:`MOST_HELD` bytes.

    Raises:
        ValueError, OSError: when a file cannot be read.
    """
    if source.kind == VOLUME_FILE or sum(file.size for file in source.files) > MOST_HELD:
        source.contents.clear()
        return digest_of(source), {}
    contents: dict[Location, bytes] = {}
    with ArchiveReader(LIMITS) as reader:
        for file in source.files:
            held = source.contents.pop(file.location, None)
            if held is None:
                held = reader.read(file.location, max_bytes=LIMITS.archive_bytes)
            contents[file.location] = held
    return _joined(hashlib.sha256(content).hexdigest() for content in contents.values()), contents


def _joined(hashes: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()


def digest_of(source: Source) -> str:
    """Return the SHA-256 of a source's content, 64 hex digits.

    It covers every byte of every file, as images are also replaced in place; names and folders do
    not count.

    Raises:
        ValueError, OSError: when a file cannot be read.
    """
    first = source.files[0].location
    if source.kind == VOLUME_FILE and not first.inside:
        hashes = [sha256_of(path) for path in files_of(first.path)]
    else:
        with ArchiveReader(LIMITS) as reader:
            return _joined(_hash_of(file, reader) for file in source.files)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _hash_of(file: File, reader: ArchiveReader) -> str:
    if not file.location.inside:
        return sha256_of(file.location.path)
    content = reader.read(file.location, max_bytes=LIMITS.archive_bytes)
    return hashlib.sha256(content).hexdigest()
