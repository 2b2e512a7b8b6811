"""Search for the patients of 3D-IRCADb-01 in an unchanged download, and for a patient's files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from scripts.storage.archive import ArchiveReader, File, Limits, ListingError, Location
from scripts.storage.file_tree import folder_files

PATIENT = re.compile(r"3d-?ircadb-?0?1[._-](\d+)", re.IGNORECASE)
ARCHIVE = re.compile(r"3d-?ircadb.*", re.IGNORECASE)
FOLDERS = {"patient_dicom": "ct", "masks_dicom": "masks"}  # folder or zip -> part of a patient


@dataclass(frozen=True)
class Copy:
    """One copy of the CT or the masks of a patient: its path, and its files or their zip."""

    path: str
    files: tuple[File, ...]


@dataclass(frozen=True)
class Patient:
    """One patient of the download; the contents of its zips are not yet listed.

    Args:
        name: ``3Dircadb1.N``, or the name of the folder.
        folders: the folders with files of this patient, by their unpacked names.
        ct: its copies of PATIENT_DICOM; two if it exists both as folder and as zip.
        masks: its copies of MASKS_DICOM.
    """

    name: str
    folders: tuple[str, ...]
    ct: tuple[Copy, ...]
    masks: tuple[Copy, ...]


@dataclass
class Download:
    """Contents of a source: patients, and refused files (file and reason in one line each)."""

    patients: list[Patient] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PatientFiles:
    """The images of one patient.

    Args:
        ct: images of the CT, unsorted.
        masks: structure name -> its images, unsorted.
        unread: files directly in MASKS_DICOM, outside the folders of the structures.
    """

    ct: tuple[File, ...]
    masks: dict[str, tuple[File, ...]]
    unread: tuple[str, ...]


def find_patients(source: str | Path, *, limits: Limits | None = None) -> Download:
    """Find the patients in a folder or zip of all patients, of some, or of one.

    Raises:
        FileNotFoundError: for a path that does not exist, or without patients.
        ValueError: for a file that is not a complete zip.
    """
    root = Path(source)
    if not root.exists():
        raise FileNotFoundError(f"source: no such file or folder: {root}")
    if root.is_file() and root.suffix.lower() != ".zip":
        raise ValueError(f"source: must be a folder or a zip, got the file {root}")
    download = Download()
    start = (root.absolute().parent.name, _without_zip(root.absolute().name))
    with ArchiveReader(limits) as reader:
        files = _walk(reader, _children(reader, Location(root), start), download)
        images = [(address, file) for file in files if (address := _address(file)) is not None]
    images.sort(key=lambda image: image[0])
    for name, group in groupby(images, key=lambda image: image[0].patient):
        download.patients.append(_gather(name, list(group)))
    download.patients.sort(key=lambda patient: natural_key(patient.name))
    if not download.patients and not download.refused:
        raise FileNotFoundError(
            f"source: no patient in {root}: expected folders or zips 3Dircadb1.N with "
            "PATIENT_DICOM and MASKS_DICOM (folders or zips) in them"
        )
    return download


def natural_key(name: str) -> tuple[int | str, ...]:
    """Return a sort key that orders image_10 after image_2.

    Example:
        >>> sorted(["image_10", "image_2"], key=natural_key)
        ['image_2', 'image_10']
    """
    pieces = re.split(
        r"(\d+)", name
    )  # text and numbers in turn, so that each is compared with its kind
    return tuple(int(text) if odd % 2 else text.casefold() for odd, text in enumerate(pieces))


def _without_zip(name: str) -> str:
    return name[:-4] if name.lower().endswith(".zip") else name


def _children(
    reader: ArchiveReader, location: Location, parts: tuple[str, ...]
) -> Iterable[File | ListingError]:
    if location.is_zip:
        return list(reader.members(location, parts))
    return folder_files(location.path, parts)


def _walk(
    reader: ArchiveReader,
    files: Iterable[File | ListingError],
    download: Download,
) -> Iterator[File]:
    """List the files of a tree and of the zips of patients; zips of CT or masks stay closed."""
    for file in files:
        if isinstance(file, ListingError):
            download.refused.append(str(file))
        elif _is_outer_zip(file):
            parts = (*file.parts[:-1], _without_zip(file.parts[-1]))
            try:
                inside = list(reader.members(file.location, parts))
                yield from _walk(reader, inside, download)
            except ValueError as error:
                download.refused.append(str(error))
            finally:
                reader.close(file.location)
        else:
            yield file


def _is_outer_zip(file: File) -> bool:
    named = ARCHIVE.fullmatch(file.parts[-1]) is not None
    return file.location.is_zip and named and _address(file) is None


@dataclass(frozen=True, order=True)
class _Address:
    """The patient and the copy that an image belongs to.

    Args:
        patient: name of the patient.
        part: a value of :data:`FOLDERS`.
        folder: the folder of the patient if everything were unpacked, doubled folders counted once.
        copy: identifies one of several copies: its nesting depth in zips, and its path.
    """

    patient: str
    part: str
    folder: tuple[str, ...]
    copy: tuple[int, str]


def _address(file: File) -> _Address | None:
    plain = [_without_zip(part).casefold() for part in file.parts]
    at = next((i for i, part in enumerate(plain) if part in FOLDERS), None)
    if at is None or at == 0:
        return None
    above = tuple(_undoubled(file.parts[:at]))
    number = PATIENT.fullmatch(above[-1])
    patient = f"3Dircadb1.{int(number[1])}" if number else above[-1]
    packed = f" in {file.location.path}" if file.location.inside else ""
    path = "/".join(file.parts[: at + 1]) + packed
    return _Address(patient, FOLDERS[plain[at]], above, (len(file.location.inside), path))


def _undoubled(parts: Iterable[str]) -> list[str]:
    return [part for part, _ in groupby(parts)]


def _gather(name: str, images: Sequence[tuple[_Address, File]]) -> Patient:
    copies: dict[str, list[Copy]] = {"ct": [], "masks": []}
    for (part, copy), group in groupby(images, key=lambda i: (i[0].part, i[0].copy)):
        copies[part].append(Copy(copy[1], tuple(file for _, file in group)))
    folders = sorted({"/".join(address.folder) for address, _ in images})
    return Patient(name, tuple(folders), tuple(copies["ct"]), tuple(copies["masks"]))


def list_files(reader: ArchiveReader, patient: Patient) -> PatientFiles:
    """List a patient's images, including those in its zips.

    If PATIENT_DICOM or MASKS_DICOM exists both as folder and as zip, the folder is used, provided
    that both have the same number of files.

    Raises:
        ValueError: for a patient in several folders; CT or masks that are missing, or of which two
            copies differ; a refused member of a zip; a structure with folders inside; or too many
            bytes.
    """
    if len(patient.folders) > 1:
        raise ValueError(f"found in several folders, keep one: {', '.join(patient.folders)}")
    ct = _one_copy(reader, patient.ct, "PATIENT_DICOM")
    masks: dict[str, list[File]] = {}
    unread = []
    for file in _one_copy(reader, patient.masks, "MASKS_DICOM"):
        below = _below_masks(file)
        if len(below) == 1:
            unread.append(f"{file.location}: is not in the folder of a structure")
        elif len(set(below[:-1])) > 1:
            raise ValueError(f"{file.location}: a folder inside the structure {below[0]}")
        else:
            masks.setdefault(below[0], []).append(file)
    total = sum(file.size for file in [*ct, *(f for files in masks.values() for f in files)])
    if total > reader.limits.total_bytes:
        raise ValueError(f"images: at most {reader.limits.total_bytes} bytes, got {total}")
    return PatientFiles(
        tuple(ct), {name: tuple(files) for name, files in masks.items()}, (*unread,)
    )


def _below_masks(file: File) -> tuple[str, ...]:
    """Return the part of a mask's path below MASKS_DICOM."""
    plain = [part.casefold() for part in file.parts]
    at = max(i for i, part in enumerate(plain) if part in FOLDERS)
    return file.parts[at + 1 :]


def _one_copy(reader: ArchiveReader, copies: Sequence[Copy], name: str) -> list[File]:
    if not copies:
        raise ValueError(f"{name}: missing; every patient has PATIENT_DICOM and MASKS_DICOM")
    listed = [(copy, list(_images(reader, copy.files))) for copy in copies]
    counts = {len(files) for _, files in listed}
    if len(counts) > 1:
        differing = ", ".join(f"{copy.path} ({len(files)} files)" for copy, files in listed)
        raise ValueError(f"{name}: has several copies that differ, keep one: {differing}")
    if counts == {0}:
        raise ValueError(f"{name}: holds no file: {copies[0].path}")
    return min(listed, key=lambda pair: len(pair[1][0].location.inside))[1]


def _images(reader: ArchiveReader, files: Iterable[File]) -> Iterator[File]:
    for file in files:
        if not file.location.is_zip:
            yield file
            continue
        parts = (*file.parts[:-1], _without_zip(file.parts[-1]))
        for member in reader.members(file.location, parts):
            if isinstance(member, ListingError):
                raise member
            yield member
