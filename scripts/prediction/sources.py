"""What there is to predict at a path: CT series and volume files, in folders and zips.

For the ``predict`` command :func:`find_sources`, which takes files for what they are; for the
bundles' own configs :func:`find_studies`, which goes by folders. A file's or folder's name may hold
a patient's, so names of places are for the screen alone: what ``predict`` writes says
:attr:`Source.name`, made from the series' UID.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pydicom
from monai.utils import ImageMetaKey
from pydicom.misc import is_dicom
from pydicom.uid import SecondaryCaptureImageStorage

from scripts.storage.archive import ArchiveReader, File, Limits, Location
from scripts.storage.file_tree import tree_files
from scripts.volumes.dicom_slice import DAMAGE, DamagedFileError, SliceFile, read_slice
from scripts.volumes.volume_files import VOLUME_SUFFIXES

# one CT has up to 2 GB; slices pack to a half or a quarter, phantoms and blank masks to less
LIMITS = Limits(total_bytes=16 << 30, expansion=200)
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
DICOM_SERIES, VOLUME_FILE = "DICOM series", "volume file"
# Headers that are kept for reading the pixels, about 30 kB each; beyond them a series' headers are
# read again when its turn comes.
MOST_HEADERS = 4096


@dataclass(frozen=True)
class Source:
    """One CT to predict.

    Attributes:
        name: what its results are filed under; nothing of the patient's (see :func:`find_sources`).
        kind: :data:`DICOM_SERIES` or :data:`VOLUME_FILE`.
        place: where it lies, for the screen; never written to a file.
        files: of the series, in no order; of a volume the file, then what lies beside it.
        digest: SHA-256 over the instances' UIDs and sizes; empty for volumes.
        notes: what to know about it, for the manifest.
        slices: the headers of ``files``; empty where they were too many to keep.
    """

    name: str
    kind: str
    place: str
    files: tuple[File, ...]
    digest: str = ""
    notes: tuple[str, ...] = ()
    slices: tuple[SliceFile, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class Remark:
    """Something at a place that is not predicted.

    Attributes:
        place: for the screen; never written to a file.
        reason: why, in words without any name of a file.
        told: why, for the screen, where there is more to say than in ``reason``.
    """

    place: str
    reason: str
    told: str = ""

    def __str__(self) -> str:
        """One line for the screen."""
        return self.told or f"{self.place}: {self.reason}"


@dataclass
class Found:
    """What a path holds: what to predict, what is no CT, and what could not be read."""

    sources: list[Source] = field(default_factory=list)
    skipped: list[Remark] = field(default_factory=list)
    refused: list[Remark] = field(default_factory=list)


@dataclass(frozen=True)
class _Instance:
    """A CT slice: its series, its own UID, its file and, where it is kept, its header."""

    series_uid: str
    uid: str
    file: File
    slice: SliceFile | None


def find_sources(
    source: str | Path, *, limits: Limits = LIMITS, leave_out: Path | None = None
) -> Found:
    """List the CTs at a path.

    Files are taken for what they are, whatever their names: each CT series of a folder, or of a
    folder inside a zip, is a source; localisers, other modalities and secondary captures are
    skipped. A series is named ``ct-`` and 12 hex digits of its SeriesInstanceUID's SHA-256; a
    volume file by its stem, reduced to letters, digits, ``._-``. Two that would share a name get
    8 hex digits of their place's SHA-256 behind it.

    Args:
        source: a folder, a zip, or a volume file.
        limits: of what is read from zips.
        leave_out: a folder below which nothing is looked at: the results of earlier runs.

    Raises:
        FileNotFoundError: when the path does not exist.
    """
    root = Path(source)
    if not root.exists():
        raise FileNotFoundError(f"source: no such file or folder: {root}")
    found = Found()
    with ArchiveReader(limits) as reader:
        files = _files(reader, root, leave_out, found)
        instances: list[_Instance] = []
        for file in files:
            if each := _instance(reader, file, found):
                kept = len(instances) < MOST_HEADERS
                instances.append(each if kept else replace(each, slice=None))
    found.sources = _named([*_series(instances, found), *_volumes(files)])
    if not found.sources and not found.refused and not found.skipped:
        expected = f"DICOM files, a zip of them, or a file ending in {', '.join(VOLUME_SUFFIXES)}"
        found.refused.append(Remark(str(root), f"nothing to read: expected {expected}"))
    elif not found.sources and not found.refused:
        found.refused.append(Remark(str(root), "no CT in it"))
    return found


def is_volume_name(name: str) -> bool:
    """Say whether a name is that of a volume file."""
    return name.lower().endswith(VOLUME_SUFFIXES)


def _files(reader: ArchiveReader, root: Path, leave_out: Path | None, found: Found) -> list[File]:
    """List files in the order of their names; keep what zips hide or refuse as remarks."""
    if root.is_file() and root.suffix.lower() != ".zip":
        own = File((root.name,), Location(root), root.stat().st_size)
        near = [path for path in sorted(root.parent.iterdir()) if path.is_file()]
        beside = [File((path.name,), Location(path), path.stat().st_size) for path in near]
        return [own, *(file for file in beside if _belongs_to(file, own))]
    files = []
    outside = leave_out.resolve() if leave_out is not None else None
    for file in tree_files(reader, root):
        if isinstance(file, ValueError):
            reason = "a zip, or a file in it, that cannot be read or is not safe to read"
            found.refused.append(Remark(str(root), reason, str(file)))
        elif outside is None or outside not in file.location.path.resolve().parents:
            files.append(file)
    return sorted(files, key=lambda file: file.parts)


def _belongs_to(file: File, volume: File) -> bool:
    """Say whether a file holds a volume's voxels: scan.raw beside scan.mhd."""
    *folder, name = file.parts
    *its_folder, its_name = volume.parts
    stem, _, suffix = name.rpartition(".")
    its_stem, _, its_suffix = its_name.rpartition(".")
    pair = suffix.lower() in ("raw", "zraw") and its_suffix.lower() in ("mhd", "nrrd")
    return pair and folder == its_folder and stem == its_stem


# --- DICOM ----------------------------------------------------------------------------------------


def _instance(reader: ArchiveReader, file: File, found: Found) -> _Instance | None:
    """Read one file's header; None for what is no slice of a CT, with a remark where due."""
    name, place = file.parts[-1], str(file.location)
    if is_volume_name(name):
        return None
    try:
        each = read_slice(reader, file.location)
        if each is None:
            if name.lower().endswith(DICOM_SUFFIXES):
                found.refused.append(Remark(place, "named like a DICOM file, but it is none"))
            return None
        reason = _no_ct_slice(each.header)
    except DamagedFileError as error:
        found.refused.append(Remark(place, "a damaged DICOM file", str(error)))
        return None
    except DAMAGE as error:
        told = str(error) if str(error).startswith(place) else f"{place}: {error}"
        found.refused.append(Remark(place, "a file that cannot be read", told))
        return None
    if reason:
        found.skipped.append(Remark(place, reason))
        return None
    uid = str(each.header.get("SOPInstanceUID", ""))
    return _Instance(str(each.header.get("SeriesInstanceUID", "")), uid, file, each)


def _no_ct_slice(header: pydicom.Dataset) -> str:
    """Say why a DICOM file is no slice of a CT; empty when it is one."""
    modality = header.get("Modality")
    if modality != "CT":
        known = re.fullmatch(r"[A-Z]{2,16}", str(modality))
        return f"modality {modality}, not CT" if known else "of no modality, not CT"
    if "LOCALIZER" in (header.get("ImageType") or ()):
        return "localiser, not a slice"
    secondary = header.get("SOPClassUID") == SecondaryCaptureImageStorage
    if secondary and header.get("ImageOrientationPatient") is None:
        return "secondary capture without a position, not a slice"
    return ""


def _series(instances: Iterable[_Instance], found: Found) -> list[Source]:
    """Group slices by folder and series."""
    groups: dict[tuple[tuple[str, ...], str], list[_Instance]] = defaultdict(list)
    for each in instances:
        groups[each.file.parts[:-1], each.series_uid].append(each)
    damaged = Counter(str(PurePosixPath(r.place).parent) for r in found.refused)
    sources = []
    for (_, uid), members in groups.items():
        content = "\n".join(sorted(f"{m.uid} {m.file.size}" for m in members))
        folder = str(PurePosixPath(str(members[0].file.location)).parent)
        beside = damaged[folder]
        slices = tuple(member.slice for member in members if member.slice is not None)
        note = f"{beside} unreadable files lie beside the slices; some may be missing at its ends"
        sources.append(
            Source(
                name=f"ct-{_hash(uid)[:12]}",
                kind=DICOM_SERIES,
                place=f"{folder} ({len(members)} slices, series {uid or 'without UID'})",
                files=tuple(member.file for member in members),
                digest=_hash(content),
                notes=(note,) if beside else (),
                slices=slices if len(slices) == len(members) else (),
            )
        )
    return sources


# --- volumes and names ----------------------------------------------------------------------------


def _volumes(files: Sequence[File]) -> list[Source]:
    """Make a source of every volume file, with the files that may hold its voxels."""
    sources = []
    for file in files:
        name = file.parts[-1]
        if not is_volume_name(name):
            continue
        beside = [other for other in files if _belongs_to(other, file)]
        sources.append(
            Source(
                name=_plain_name(name),
                kind=VOLUME_FILE,
                place=str(file.location),
                files=(file, *beside),
            )
        )
    return sources


def _plain_name(name: str) -> str:
    """Take a volume's suffix away and everything that is no letter, digit or ``._-``."""
    stem = name[: -len(".gz")] if name.lower().endswith(".gz") else name
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem.rpartition(".")[0]).strip(".-")
    return stem or "volume"


def _named(sources: Sequence[Source]) -> list[Source]:
    """Tell sources of one name apart by their places."""
    times = Counter(source.name.casefold() for source in sources)
    return [
        replace(source, name=f"{source.name}-{_hash('/'.join(source.files[0].parts))[:8]}")
        if times[source.name.casefold()] > 1
        else source
        for source in sources
    ]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- studies of a MONAI data set ------------------------------------------------------------------


def _is_volume(path: Path) -> bool:
    return path.is_file() and is_volume_name(path.name)


def _is_dicom_folder(path: Path) -> bool:
    return path.is_dir() and any(is_dicom(f) for f in sorted(path.iterdir()) if f.is_file())


def find_studies(source: str | Path) -> list[dict[str, str]]:
    """List the studies at a path, for a MONAI data set.

    Args:
        source: a volume file, a folder of DICOM files, or a folder that holds either at any depth.

    Returns:
        One ``{"image": path}`` per study, sorted by path.

    Raises:
        FileNotFoundError: when the path does not exist or holds nothing that can be read as a CT.
        ValueError: when two studies are named alike, so that one's mask would replace the other's.

    Example:
        >>> find_studies("nowhere")
        Traceback (most recent call last):
        ...
        FileNotFoundError: dataset_dir: no such file or folder: nowhere
    """
    root = Path(source)
    if not root.exists():
        raise FileNotFoundError(f"dataset_dir: no such file or folder: {root}")
    if _is_volume(root) or _is_dicom_folder(root):
        return [{"image": str(root)}]
    below = sorted(root.rglob("*")) if root.is_dir() else []
    found = [{"image": str(path)} for path in below if _is_volume(path) or _is_dicom_folder(path)]
    if not found:
        raise FileNotFoundError(
            f"dataset_dir: nothing to read at {root}: expected a file ending in "
            f"{', '.join(VOLUME_SUFFIXES)}, a folder of DICOM files, or a folder of these"
        )
    _refuse_same_names([study["image"] for study in found])
    return found


def root_of(source: str | Path) -> str:
    """Give the folder below which results repeat the folders of a path's studies.

    That is what ``SaveImaged`` takes as ``data_root_dir``: the path itself, or the folder that a
    single study lies in. Patients whose series are all called PATIENT_DICOM stay apart.
    """
    root = Path(source)
    return str(root.parent if _is_volume(root) or _is_dicom_folder(root) else root)


def name_result(metadata: Mapping[Any, Any], saver: object) -> dict[str, Any]:
    """Name a result after its study, for ``SaveImaged`` as ``output_name_formatter``.

    MONAI cuts a name at its last dot, folders' too: of folders named by DICOM UID only the part
    that all of them share would be left.

    Args:
        metadata: of the image, with its path.
        saver: not needed; part of MONAI's interface.

    Example:
        >>> name_result({"filename_or_obj": "studies/scan.nii.gz"}, None)["subject"]
        'studies/scan.nii.gz'
    """
    path = Path(str(metadata[ImageMetaKey.FILENAME_OR_OBJ]))
    return {"subject": _with_suffix(path), "idx": metadata.get(ImageMetaKey.PATCH_INDEX)}


def _with_suffix(path: Path) -> str:
    """Give a folder the suffix that MONAI is going to cut off."""
    return f"{path}.dcm" if path.is_dir() else str(path)


def _without_suffix(path: str) -> str:
    """Cut as MONAI does when it names a result."""
    return str(Path(path.removesuffix(".gz")).with_suffix(""))


def _refuse_same_names(paths: list[str]) -> None:
    results = {path: _without_suffix(_with_suffix(Path(path))) for path in paths}
    times = Counter(results.values())
    alike = [path for path in paths if times[results[path]] > 1]
    if alike:
        raise ValueError(
            f"dataset_dir: results are named after studies, and {', '.join(alike[:4])} "
            "would share one; rename them, or give one of them at a time"
        )
