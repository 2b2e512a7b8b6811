"""The CTs at a path: DICOM series and volume files, in folders and zips.

A path may contain a patient's name, so paths are shown on the screen only. Written results use
:attr:`Source.name`, which is derived from the series' UID or the file name.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import pydicom
from pydicom.uid import SecondaryCaptureImageStorage

from scripts.storage.archive import ArchiveReader, File, Limits, Location
from scripts.storage.file_tree import tree_files
from scripts.volumes.dicom_slice import DAMAGE, DamagedFileError, SliceFile, read_slice
from scripts.volumes.volume_files import VOLUME_SUFFIXES

# one CT has up to 2 GB; slices pack to a half or a quarter, phantoms and blank masks to less
LIMITS = Limits(total_bytes=16 << 30, expansion=200)
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
DICOM_SERIES, VOLUME_FILE = "DICOM series", "volume file"
# Headers kept for reading the pixels, about 30 kB each; further ones are read again when their
# series is predicted.
MOST_HEADERS = 4096


@dataclass(frozen=True)
class Source:
    """One CT to predict.

    Attributes:
        name: name of its results, without patient data of the headers (see :func:`find_sources`).
        kind: :data:`DICOM_SERIES` or :data:`VOLUME_FILE`.
        location: path and size, for the screen; never written to a file.
        files: of a series the slices, unordered; of a volume the file, then its separate voxel
            files.
        digest: SHA-256 of the instances' UIDs and sizes; empty for volumes.
        notes: warnings for the manifest.
        slices: the headers of ``files``; empty if they were too many to keep.
    """

    name: str
    kind: str
    location: str
    files: tuple[File, ...]
    digest: str = ""
    notes: tuple[str, ...] = ()
    slices: tuple[SliceFile, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class Remark:
    """A file or folder that is not predicted.

    Attributes:
        location: its path, for the screen; never written to a file.
        reason: why, without file names.
        message: line for the screen, if there is more to report than location and reason.
    """

    location: str
    reason: str
    message: str = ""

    def __str__(self) -> str:
        """One line for the screen."""
        return self.message or f"{self.location}: {self.reason}"


@dataclass
class Inventory:
    """Contents of a path: CTs to predict, files that are not CTs, and unreadable files."""

    sources: list[Source] = field(default_factory=list)
    skipped: list[Remark] = field(default_factory=list)
    refused: list[Remark] = field(default_factory=list)


@dataclass(frozen=True)
class _Instance:
    """A CT slice: UIDs of series and instance, the file and, if it is kept, the header."""

    series_uid: str
    uid: str
    file: File
    slice: SliceFile | None


def find_sources(
    source: str | Path, *, limits: Limits = LIMITS, leave_out: Path | None = None
) -> Inventory:
    """List the CTs at a path.

    DICOM files are recognised by content, not by name: each CT series of a folder, or of a folder
    inside a zip, is a source; localisers, other modalities and secondary captures are skipped. A
    series is named ``ct-`` and 12 hex digits of the SHA-256 of its SeriesInstanceUID; a volume
    file by its stem, reduced to letters, digits and ``._-``. If names coincide, 8 hex digits of the
    SHA-256 of the path are appended.

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
    inventory = Inventory()
    with ArchiveReader(limits) as reader:
        files = _files(reader, root, leave_out, inventory)
        instances: list[_Instance] = []
        for file in files:
            if each := _instance(reader, file, inventory):
                kept = len(instances) < MOST_HEADERS
                instances.append(each if kept else replace(each, slice=None))
    inventory.sources = _with_distinct_names([*_series(instances, inventory), *_volumes(files)])
    if not inventory.sources and not inventory.refused:
        expected = f"DICOM files, a zip of them, or a file ending in {', '.join(VOLUME_SUFFIXES)}"
        reason = "no CT in it" if inventory.skipped else f"nothing to read: expected {expected}"
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
        paths = [path for path in sorted(root.parent.iterdir()) if path.is_file()]
        others = [File((path.name,), Location(path), path.stat().st_size) for path in paths]
        return [own, *(file for file in others if _belongs_to(file, own))]
    files = []
    outside = leave_out.resolve() if leave_out is not None else None
    for file in tree_files(reader, root):
        if isinstance(file, ValueError):
            reason = "a zip, or a file in it, that cannot be read or is not safe to read"
            inventory.refused.append(Remark(str(root), reason, str(file)))
        elif outside is None or outside not in file.location.path.resolve().parents:
            files.append(file)
    return sorted(files, key=lambda file: file.parts)


def _belongs_to(file: File, volume: File) -> bool:
    """Whether a file holds the voxels of a volume's header: scan.raw of scan.mhd."""
    *folder, name = file.parts
    *its_folder, its_name = volume.parts
    stem, _, suffix = name.rpartition(".")
    its_stem, _, its_suffix = its_name.rpartition(".")
    pair = suffix.lower() in ("raw", "zraw") and its_suffix.lower() in ("mhd", "nrrd")
    return pair and folder == its_folder and stem == its_stem


# --- DICOM ----------------------------------------------------------------------------------------


def _instance(reader: ArchiveReader, file: File, inventory: Inventory) -> _Instance | None:
    """Read one file's header; None if it is not a CT slice, with a remark if it is DICOM."""
    name, path = file.parts[-1], str(file.location)
    if is_volume_name(name):
        return None
    try:
        each = read_slice(reader, file.location)
        if each is None:
            if name.lower().endswith(DICOM_SUFFIXES):
                inventory.refused.append(
                    Remark(path, "has the suffix of a DICOM file but is not one")
                )
            return None
        reason = _why_not_ct_slice(each.header)
    except DamagedFileError as error:
        inventory.refused.append(Remark(path, "a damaged DICOM file", str(error)))
        return None
    except DAMAGE as error:
        message = str(error) if str(error).startswith(path) else f"{path}: {error}"
        inventory.refused.append(Remark(path, "a file that cannot be read", message))
        return None
    if reason:
        inventory.skipped.append(Remark(path, reason))
        return None
    uid = str(each.header.get("SOPInstanceUID", ""))
    return _Instance(str(each.header.get("SeriesInstanceUID", "")), uid, file, each)


def _why_not_ct_slice(header: pydicom.Dataset) -> str:
    """Return why a DICOM file is not a CT slice; empty if it is one."""
    modality = header.get("Modality")
    if modality != "CT":
        known = re.fullmatch(r"[A-Z]{2,16}", str(modality))
        return f"modality {modality}, not CT" if known else "without a modality, not CT"
    if "LOCALIZER" in (header.get("ImageType") or ()):
        return "localiser, not a slice"
    secondary = header.get("SOPClassUID") == SecondaryCaptureImageStorage
    if secondary and header.get("ImageOrientationPatient") is None:
        return "secondary capture without a position, not a slice"
    return ""


def _series(instances: Iterable[_Instance], inventory: Inventory) -> list[Source]:
    """Group slices by folder and series."""
    groups: dict[tuple[tuple[str, ...], str], list[_Instance]] = defaultdict(list)
    for each in instances:
        groups[each.file.parts[:-1], each.series_uid].append(each)
    damaged = Counter(str(PurePosixPath(r.location).parent) for r in inventory.refused)
    sources = []
    for (_, uid), members in groups.items():
        content = "\n".join(sorted(f"{m.uid} {m.file.size}" for m in members))
        folder = str(PurePosixPath(str(members[0].file.location)).parent)
        unreadable = damaged[folder]
        slices = tuple(member.slice for member in members if member.slice is not None)
        note = f"{unreadable} unreadable files in the folder; slices may be missing at its ends"
        sources.append(
            Source(
                name=f"ct-{_hash(uid)[:12]}",
                kind=DICOM_SERIES,
                location=f"{folder} ({len(members)} slices, series {uid or 'without UID'})",
                files=tuple(member.file for member in members),
                digest=_hash(content),
                notes=(note,) if unreadable else (),
                slices=slices if len(slices) == len(members) else (),
            )
        )
    return sources


# --- volumes and names ----------------------------------------------------------------------------


def _volumes(files: Sequence[File]) -> list[Source]:
    """Make a source of each volume file, with its separate voxel files."""
    sources = []
    for file in files:
        name = file.parts[-1]
        if not is_volume_name(name):
            continue
        voxel_files = [other for other in files if _belongs_to(other, file)]
        sources.append(
            Source(
                name=_plain_name(name),
                kind=VOLUME_FILE,
                location=str(file.location),
                files=(file, *voxel_files),
            )
        )
    return sources


def _plain_name(name: str) -> str:
    """Remove the suffix of a volume file; replace all but letters, digits and ``._-`` by ``-``."""
    stem = name[: -len(".gz")] if name.lower().endswith(".gz") else name
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem.rpartition(".")[0]).strip(".-")
    return stem or "volume"


def _with_distinct_names(sources: Sequence[Source]) -> list[Source]:
    """Append a hash of the path to names that several sources share."""
    times = Counter(source.name.casefold() for source in sources)
    return [
        replace(source, name=f"{source.name}-{_hash('/'.join(source.files[0].parts))[:8]}")
        if times[source.name.casefold()] > 1
        else source
        for source in sources
    ]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
