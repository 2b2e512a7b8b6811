"""The CTs at a path: DICOM series and volume files, in folders and zips.

A path may contain a patient's name, so paths are shown on the screen only. Written results use
:attr:`Source.name`, which is derived from the series' UID or the file name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.datasets.study_names import file_study_name, hash_of_path
from scripts.prediction.sources.inventory import VOLUME_FILE, Inventory, Remark, Source
from scripts.prediction.sources.series_sources import Hints, Instance, series_sources
from scripts.storage.archive import ArchiveReader, File, Limits, ListingError, Location, is_stray
from scripts.storage.file_tree import Unlisted, tree_files
from scripts.volumes.dicom.kind import DIRECTORY, images_listed, why_not_dicom, why_not_slice
from scripts.volumes.dicom.parts import SliceFacts
from scripts.volumes.dicom.slice import DamagedFileError, SliceFile, read_slice
from scripts.volumes.formats.stored_voxels import HEADER_BYTES, spellings
from scripts.volumes.volume_files import VOLUME_SUFFIXES, data_file_named_by, files_of

# one CT has up to 2 GB; slices pack to a half or a quarter, phantoms and blank masks to less
LIMITS = Limits(total_bytes=16 << 30, expansion=200)
# Headers kept for reading the pixels, about 30 kB each; further ones are read again when their
# series is predicted.
MOST_HEADERS = 4096
# Files in zips kept for reading the pixels, in all; further ones are unpacked again.
MOST_HELD = 256 << 20
UNSAFE = "a folder, link, zip or file in a zip that cannot be read or is not safe to read"
_HEAD = 512  # bytes that show what a file is


def find_sources(
    source: str | Path, *, limits: Limits = LIMITS, leave_out: Path | None = None
) -> Inventory:
    """List the CTs at a path.

    DICOM files are recognised by content, not by name. Slices are grouped by SeriesInstanceUID over
    all folders and zips, each instance once, and each volume of a series is a source. Every other
    file is skipped or refused, with the reason. A series is named ``ct-`` and 12 hex digits of the
    SHA-256 of its UID, and a number if it has several volumes; a volume file by its stem, reduced
    to letters, digits and ``._-``. If names coincide, 8 hex digits of the SHA-256 of the path are
    appended.

    Args:
        source: a folder, a zip, or a volume file.
        limits: of what is read from zips.
        leave_out: a folder to ignore: the results of earlier runs.

    Raises:
        FileNotFoundError: when the path does not exist.
    """
    root = Path(source)
    if not root.exists():
        raise FileNotFoundError(f"source: no such file or folder: {root}")
    inventory, sorted_files = Inventory(), _Files()
    with ArchiveReader(limits) as reader:
        files = _files(reader, root, leave_out, inventory)
        volumes = _volumes(reader, files)
        taken = {file.location for volume in volumes for file in volume.files}
        for file in files:
            if file.location not in taken:
                _sort(reader, file, inventory, sorted_files)
        _remark_others(sorted_files, inventory)
        series = series_sources(reader, sorted_files.instances, inventory, sorted_files.hints)
    series = [_with_contents(source, sorted_files.held) for source in series]
    inventory.sources = _with_distinct_names([*series, *volumes])
    if not inventory.sources and not inventory.refused:
        expected = f"DICOM files, a zip of them, or a file ending in {', '.join(VOLUME_SUFFIXES)}"
        reason = "no CT in it" if inventory.skipped else f"nothing to read: expected {expected}"
        if [remark.reason for remark in inventory.skipped] == [DIRECTORY]:
            reason = f"{DIRECTORY}; give the folder that it lies in"
        inventory.refused.append(Remark(str(root), reason))
    return inventory


def is_volume_name(name: str) -> bool:
    """Whether a file name has the suffix of a volume file."""
    return name.lower().endswith(VOLUME_SUFFIXES)


def _files(
    reader: ArchiveReader, root: Path, leave_out: Path | None, inventory: Inventory
) -> list[File]:
    """List files in the order of their names; unsafe or damaged zip members become remarks."""
    if root.is_file() and root.suffix.lower() != ".zip":
        own = File((root.name,), Location(root), root.stat().st_size)
        voxels = files_of(root)[1:] if is_volume_name(root.name) else ()
        parts = [path.relative_to(root.parent).parts for path in voxels]
        sizes = [path.stat().st_size for path in voxels]
        return [own, *map(File, parts, map(Location, voxels), sizes)]
    files = []
    outside = leave_out.resolve() if leave_out is not None else None
    for file in tree_files(reader, root, stray=True):
        if isinstance(file, ListingError):
            inventory.refused.append(Remark(str(file.location), UNSAFE, str(file)))
        elif outside is not None and outside in file.location.path.resolve().parents:
            continue
        elif isinstance(file, Unlisted):
            inventory.skipped.append(Remark(str(file.location), file.reason))
        else:
            files.append(file)
    return sorted(files, key=lambda file: file.parts)


def _voxel_files(reader: ArchiveReader, volume: File, files: Sequence[File]) -> list[File]:
    """Return the separate voxel file that a volume's header names, if it is among the files."""
    try:
        head = reader.head(volume.location, HEADER_BYTES)
        named = data_file_named_by(volume.parts[-1], head)
    except (ValueError, OSError):
        return []  # reported when the volume is read
    wanted = {(*volume.parts[:-1], *name.split("/")) for name in spellings(named)}
    return [file for file in files if named and file.parts in wanted][:1]


# --- DICOM ----------------------------------------------------------------------------------------


@dataclass
class _Files:
    """Files by what they are, while a path is read.

    Attributes:
        instances: the CT slices.
        hints: what DICOM files that are no slices tell of a series.
        others: files that are neither DICOM nor a volume, and their first bytes.
        held: contents of slices in zips, at most :data:`MOST_HELD` bytes.
    """

    instances: list[Instance] = field(default_factory=list)
    hints: Hints = field(default_factory=Hints)
    others: list[tuple[File, bytes]] = field(default_factory=list)
    held: dict[Location, bytes] = field(default_factory=dict)
    held_bytes: int = 0

    def add(self, file: File, each: SliceFile) -> None:
        """Take a slice, with its content if that was kept."""
        if each.content is not None:
            self.held[file.location] = each.content
            self.held_bytes += len(each.content)
            each = replace(each, content=None)
        kept = len(self.instances) < MOST_HEADERS
        self.instances.append(Instance.of(file, each, kept=kept))


def _sort(reader: ArchiveReader, file: File, inventory: Inventory, sorted_files: _Files) -> None:
    """Read one file's header; add a remark if it is DICOM but no slice."""
    path = str(file.location)
    try:
        hold = bool(file.location.inside) and sorted_files.held_bytes + file.size <= MOST_HELD
        each = read_slice(reader, file.location, keep=hold)
        if each is None:
            sorted_files.others.append((file, reader.head(file.location, _HEAD)))
            return
        reason = why_not_slice(each)
        if not reason:
            sorted_files.add(file, each)
            return
    except DamagedFileError as error:
        inventory.refused.append(Remark(path, "a damaged DICOM file", str(error)))
        return
    except (ValueError, OSError) as error:
        text = str(error) if isinstance(error, ValueError) else error.strerror or str(error)
        message = text if text.startswith(path) else f"{path}: {text}"
        inventory.refused.append(Remark(path, "a file that cannot be read", message))
        return
    inventory.skipped.append(Remark(path, reason))
    if (number := SliceFacts.of(each).number) is not None:
        uid = str(each.header.get("SeriesInstanceUID", ""))
        sorted_files.hints.numbers[uid].append(number)
    for uid, count in images_listed(each.header).items():
        sorted_files.hints.listed[uid] = max(count, sorted_files.hints.listed.get(uid, 0))


def _with_contents(source: Source, held: dict[Location, bytes]) -> Source:
    """Hand the contents of its files to a source."""
    own = [file.location for file in source.files if file.location in held]
    return replace(source, contents={location: held.pop(location) for location in own})


def _remark_others(sorted_files: _Files, inventory: Inventory) -> None:
    """Skip the files that are neither DICOM nor a volume, or refuse those like slices."""
    folders = {each.folder for each in sorted_files.instances}
    for file, head in sorted_files.others:
        remark = Remark(str(file.location), "")
        reason, refused = why_not_dicom(file.parts, head, among_slices=remark.folder in folders)
        target = inventory.refused if refused else inventory.skipped
        target.append(replace(remark, reason=reason))


# --- volumes and names ----------------------------------------------------------------------------


def _volumes(reader: ArchiveReader, files: Sequence[File]) -> list[Source]:
    """Make a source of each volume file, with its separate voxel files."""
    sources = []
    for file in files:
        name = file.parts[-1]
        if not is_volume_name(name) or is_stray(file.parts):
            continue
        voxel_files = _voxel_files(reader, file, files)
        sources.append(
            Source(
                name=file_study_name(name),
                kind=VOLUME_FILE,
                location=str(file.location),
                files=(file, *voxel_files),
            )
        )
    return sources


def _with_distinct_names(sources: Sequence[Source]) -> list[Source]:
    """Append a hash of the path to names that several sources share."""
    times = Counter(source.name.casefold() for source in sources)
    return [
        replace(source, name=f"{source.name}{hash_of_path(source.files[0].parts)}")
        if times[source.name.casefold()] > 1
        else source
        for source in sources
    ]
