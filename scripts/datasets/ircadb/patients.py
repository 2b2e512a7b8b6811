"""The patients of 3D-IRCADb-01 in an unchanged download, and the files of one patient."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from scripts.storage.archive import ArchiveReader, File, Limits, Location
from scripts.storage.file_tree import folder_files

PATIENT = re.compile(r"3d-?ircadb-?0?1[._-](\d+)", re.IGNORECASE)
ARCHIVE = re.compile(r"3d-?ircadb.*", re.IGNORECASE)
SECTIONS = {"patient_dicom": "ct", "masks_dicom": "masks"}


@dataclass(frozen=True)
class Copy:
    """One section of one patient in one place: its files, or the zip that holds them."""

    place: str
    files: tuple[File, ...]


@dataclass(frozen=True)
class Patient:
    """One patient of the download; what its section zips hold is not yet listed.

    Args:
        name: ``3Dircadb1.N``, or the folder's own name.
        places: the folders it was found in, as they would be named unpacked.
        ct: where its PATIENT_DICOM lies; twice where it is there both packed and unpacked.
        masks: where its MASKS_DICOM lies.
    """

    name: str
    places: tuple[str, ...]
    ct: tuple[Copy, ...]
    masks: tuple[Copy, ...]


@dataclass
class Download:
    """What a source holds: patients, and what was refused (place and reason in one line)."""

    patients: list[Patient] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PatientFiles:
    """The images of one patient.

    Args:
        ct: images of the CT, in no order.
        masks: structure name -> its images, in no order.
        unread: files in a place where no image belongs.
    """

    ct: tuple[File, ...]
    masks: dict[str, tuple[File, ...]]
    unread: tuple[str, ...]


def find_patients(source: str | Path, *, limits: Limits | None = None) -> Download:
    """Find the patients in a folder or zip: the data set, some patients, or one.

    Raises:
        FileNotFoundError: when there is no such path, or no patient in it.
        ValueError: when the source is a file but no whole zip.
    """
    root = Path(source)
    if not root.exists():
        raise FileNotFoundError(f"source: no such file or folder: {root}")
    if root.is_file() and root.suffix.lower() != ".zip":
        raise ValueError(f"source: must be a folder or a zip, got the file {root}")
    download = Download()
    start = (root.absolute().parent.name, _without_zip(root.absolute().name))
    with ArchiveReader(limits) as reader:
        found = _walk(reader, _children(reader, Location(root), start), download)
        images = [(where, file) for file in found if (where := _section_of(file)) is not None]
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
    """Sort key that puts image_10 after image_2.

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
) -> Iterable[File | ValueError]:
    if location.is_zip:
        return list(reader.members(location, parts))
    return folder_files(location.path, parts)


def _walk(
    reader: ArchiveReader, files: Iterable[File | ValueError], download: Download
) -> Iterator[File]:
    """List the files of a tree, entering the zips that hold patients but not their sections."""
    for file in files:
        if isinstance(file, ValueError):
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
    return file.location.is_zip and named and _section_of(file) is None


@dataclass(frozen=True, order=True)
class _Address:
    """Where an image belongs.

    Args:
        patient: name of the patient.
        section: a value of :data:`SECTIONS`.
        folder: where the section would lie if all were unpacked, doubled folders counted once.
        copy: what tells two copies of that apart: how deep in zips it lies, and its own place.
    """

    patient: str
    section: str
    folder: tuple[str, ...]
    copy: tuple[int, str]


def _section_of(file: File) -> _Address | None:
    plain = [_without_zip(part).casefold() for part in file.parts]
    at = next((i for i, part in enumerate(plain) if part in SECTIONS), None)
    if at is None or at == 0:
        return None
    above = tuple(_undoubled(file.parts[:at]))
    number = PATIENT.fullmatch(above[-1])
    patient = f"3Dircadb1.{int(number[1])}" if number else above[-1]
    packed = f" in {file.location.path}" if file.location.inside else ""
    place = "/".join(file.parts[: at + 1]) + packed
    return _Address(patient, SECTIONS[plain[at]], above, (len(file.location.inside), place))


def _undoubled(parts: Iterable[str]) -> list[str]:
    return [part for part, _ in groupby(parts)]


def _gather(name: str, images: Sequence[tuple[_Address, File]]) -> Patient:
    copies: dict[str, list[Copy]] = {"ct": [], "masks": []}
    for (section, copy), group in groupby(images, key=lambda i: (i[0].section, i[0].copy)):
        copies[section].append(Copy(copy[1], tuple(file for _, file in group)))
    places = sorted({"/".join(where.folder) for where, _ in images})
    return Patient(name, tuple(places), tuple(copies["ct"]), tuple(copies["masks"]))


def list_files(reader: ArchiveReader, patient: Patient) -> PatientFiles:
    """List a patient's images, those in its section zips included.

    A section that is there both packed and unpacked is read unpacked, provided that it is whole:
    that it has as many files as the zip.

    Raises:
        ValueError: when the patient is in two places, a section is missing, its copies
            differ, a member is refused, a structure has folders inside, or there is too much.
    """
    if len(patient.places) > 1:
        raise ValueError(f"found in several places, keep one: {', '.join(patient.places)}")
    ct = _one_copy(reader, patient.ct, "PATIENT_DICOM")
    masks: dict[str, list[File]] = {}
    unread = []
    for file in _one_copy(reader, patient.masks, "MASKS_DICOM"):
        below = _below_section(file)
        if len(below) == 1:
            unread.append(f"{file.location}: lies in no structure's folder")
        elif len(set(below[:-1])) > 1:
            raise ValueError(f"{file.location}: a folder inside the structure {below[0]}")
        else:
            masks.setdefault(below[0], []).append(file)
    total = sum(file.size for file in [*ct, *(f for files in masks.values() for f in files)])
    if total > reader.limits.total_bytes:
        raise ValueError(f"images: at most {reader.limits.total_bytes} bytes, has {total}")
    return PatientFiles(
        tuple(ct), {name: tuple(files) for name, files in masks.items()}, (*unread,)
    )


def _below_section(file: File) -> tuple[str, ...]:
    plain = [part.casefold() for part in file.parts]
    at = max(i for i, part in enumerate(plain) if part in SECTIONS)
    return file.parts[at + 1 :]


def _one_copy(reader: ArchiveReader, copies: Sequence[Copy], section: str) -> list[File]:
    if not copies:
        raise ValueError(f"{section}: missing; every patient has PATIENT_DICOM and MASKS_DICOM")
    listed = [(copy, list(_images(reader, copy.files))) for copy in copies]
    counts = {len(files) for _, files in listed}
    if len(counts) > 1:
        found = ", ".join(f"{copy.place} ({len(files)} files)" for copy, files in listed)
        raise ValueError(f"{section}: there more than once and not the same, keep one: {found}")
    if counts == {0}:
        raise ValueError(f"{section}: holds no file: {copies[0].place}")
    return min(listed, key=lambda pair: len(pair[1][0].location.inside))[1]


def _images(reader: ArchiveReader, files: Iterable[File]) -> Iterator[File]:
    for file in files:
        if not file.location.is_zip:
            yield file
            continue
        parts = (*file.parts[:-1], _without_zip(file.parts[-1]))
        for member in reader.members(file.location, parts):
            if isinstance(member, ValueError):
                raise member
            yield member
