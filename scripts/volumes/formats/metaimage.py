"""Headers of MetaImage files (.mhd with a voxel file, .mha), as LUNA16 is distributed.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from scripts.volumes.formats.stored_voxels import (
    HEADER_BYTES,
    StoredVolume,
    data_file,
    numbers_of,
    shown,
    whole_number,
)
from scripts.volumes.geometry import ORTHOGONAL_TOLERANCE, Floats

ELEMENT_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
DISTANCE_UNITS_MM = {"mm": 1.0, "um": 1e-3, "cm": 10.0, "?": 1.0}
DATA_FILE, LOCAL = "elementdatafile", "LOCAL"

Entries = dict[str, str]
"""Entries of a header by their keys in lower case."""


def read_metaimage_header(path: Path) -> StoredVolume:
    """Read the header of an .mhd or .mha.

    Raises:
        ValueError: naming file and entry: not a MetaImage header, an entry that is missing or
            cannot be read, several data files, more than one value per voxel, or a data file
            outside the header's folder.
        FileNotFoundError: for a header whose data file does not exist.
    """
    with path.open("rb") as file:
        entries, length = parse_metaimage_header(path, file.read(HEADER_BYTES))
    shape, kind = _grid(path, entries)
    named = named_data_file(path, entries)
    data = path if named == "" else data_file(path, named, "ElementDataFile")
    compressed = _flag(path, entries, "CompressedData", default=False)
    return StoredVolume(
        path,
        data,
        start=length if data == path else _skipped(path, entries, compressed=compressed),
        shape=shape,
        kind=kind,
        affine_lps=_affine(path, entries),
        coding="zlib" if compressed else "raw",
        slope=_number(path, entries, "ElementToIntensityFunctionSlope", 1.0),
        intercept=_number(path, entries, "ElementToIntensityFunctionOffset", 0.0),
    )


def parse_metaimage_header(path: Path, head: bytes) -> tuple[Entries, int]:
    """Return the entries of a header, and its length in bytes.

    Keys are read in any case; blank lines, comments (#) and line ends of any system are accepted.

    Args:
        path: the file, for errors.
        head: its first bytes, at most :data:`~scripts.volumes.formats.stored_voxels.HEADER_BYTES`.

    Raises:
        ValueError: for a header without ElementDataFile, MetaImage's last entry; an entry that is
            given twice with different values; a line that is no entry.
    """
    entries: Entries = {}
    length = 0
    for number, line in enumerate(head.splitlines(keepends=True), start=1):
        length += len(line)
        text = os.fsdecode(line).strip().removeprefix("\ufeff")
        if not text or text.startswith("#"):
            continue
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise ValueError(
                f"{path}: not a MetaImage header: line {number} must be 'key = value', got "
                f"{shown(text)}"
            )
        if entries.setdefault(key.lower(), value) != value and key.lower() != "comment":
            raise ValueError(f"{path}: the header gives {key} twice, with different values")
        if key.lower() == DATA_FILE:
            return entries, length
    raise ValueError(f"{path}: not a MetaImage header: no line 'ElementDataFile = ...'")


def named_data_file(path: Path, entries: Entries) -> str:
    """Return the name of the voxel file; empty if the voxels follow the header.

    Raises:
        ValueError: for several data files.
    """
    named = entries[DATA_FILE]
    if named.upper() == LOCAL:
        return ""
    if named.split()[:1] == ["LIST"] or ("%" in named and len(named.split()) > 1):
        raise ValueError(
            f"{path}: has several data files ({shown(named)}); join them into one volume"
        )
    if not named:
        raise ValueError(f"{path}: ElementDataFile must name a file in the header's folder, got ''")
    return named


def _grid(path: Path, entries: Entries) -> tuple[tuple[int, int, int], np.dtype[np.generic]]:
    """Return shape (Z, Y, X) and number type."""
    if not _flag(path, entries, "BinaryData", default=True):
        raise ValueError(f"{path}: BinaryData must be True, got {shown(entries['binarydata'])}")
    sizes_text, element = entries.get("dimsize"), entries.get("elementtype")
    try:
        sizes = [int(word) for word in (sizes_text or "").split()]
        kind = ELEMENT_TYPES[str(element).upper()]
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path}: the header must give DimSize in whole numbers and a known ElementType, got "
            f"DimSize {shown(str(sizes_text))}, ElementType {shown(str(element))}"
        ) from error
    if len(sizes) != 3 or min(sizes) < 1 or entries.get("ndims", "3") != "3":
        raise ValueError(
            f"{path}: must be one 3D volume: DimSize must be three numbers above 0, got "
            f"{shown(str(sizes_text))} (NDims {shown(entries.get('ndims', '3'))})"
        )
    values = whole_number(
        path, "ElementNumberOfChannels", entries.get("elementnumberofchannels", "1")
    )
    if values != 1:
        raise ValueError(f"{path}: must have one value per voxel, got {values}")
    return (sizes[2], sizes[1], sizes[0]), np.dtype(_byte_order(path, entries) + kind)


def _byte_order(path: Path, entries: Entries) -> str:
    names = ("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    return ">" if any(_flag(path, entries, name, default=False) for name in names) else "<"


def _flag(path: Path, entries: Entries, name: str, *, default: bool) -> bool:
    text = entries.get(name.lower(), str(default))
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError(f"{path}: {name} must be True or False, got {shown(text)}")
    return text.lower() in ("true", "1")


def _number(path: Path, entries: Entries, name: str, default: float) -> float:
    text = entries.get(name.lower())
    return default if text is None else numbers_of(path, name, text, 1)[0]


def _skipped(path: Path, entries: Entries, *, compressed: bool) -> int:
    """Return HeaderSize, the bytes before the voxels in the data file; -1: they are its last."""
    size = whole_number(path, "HeaderSize", entries.get("headersize", "0"))
    return 0 if compressed and size < 0 else size


def _affine(path: Path, entries: Entries) -> Floats:
    """Return index to LPS mm; TransformMatrix may be absent: the format's default is identity."""
    unit = entries.get("distanceunits", "mm")
    if unit.lower() not in DISTANCE_UNITS_MM:
        raise ValueError(
            f"{path}: DistanceUnits must be {', '.join(DISTANCE_UNITS_MM)}, got {shown(unit)}"
        )
    spacing = _vector(path, entries, ("ElementSpacing",), "sizes in mm would be made up")
    if min(spacing) <= 0:
        raise ValueError(
            f"{path}: ElementSpacing must be above 0 mm, got {entries['elementspacing']!r}"
        )
    origin = _vector(
        path, entries, ("Offset", "Position", "Origin"), "positions in mm would be made up"
    )
    affine = np.eye(4)
    affine[:3, :3] = _direction(path, entries) * np.array(spacing)
    affine[:3, 3] = origin
    affine[:3] *= DISTANCE_UNITS_MM[unit.lower()]
    return affine + 0.0  # no negative zeros


def _vector(path: Path, entries: Entries, names: tuple[str, ...], harm: str) -> list[float]:
    """Return three numbers of an entry that has synonyms."""
    given = [name for name in names if name.lower() in entries]
    if not given:
        raise ValueError(f"{path}: the header lacks {names[0]}; {harm}")
    values = [numbers_of(path, names[0], entries[name.lower()], 3) for name in given]
    if any(value != values[0] for value in values):
        raise ValueError(f"{path}: {' and '.join(given)} must be equal, got {values}")
    return values[0]


def _direction(path: Path, entries: Entries) -> Floats:
    """Return (3, 3); the file lists the axes one after the other."""
    names = ("TransformMatrix", "Rotation", "Orientation")
    text = next((entries[n.lower()] for n in names if n.lower() in entries), "1 0 0 0 1 0 0 0 1")
    direction = np.array(numbers_of(path, names[0], text, 9)).reshape(3, 3).T
    lengths = np.linalg.norm(direction, axis=0)
    if np.abs(lengths - 1).max() > ORTHOGONAL_TOLERANCE:
        raise ValueError(
            f"{path}: the direction's columns (TransformMatrix) must have length 1, got lengths "
            f"{lengths.tolist()}"
        )
    return np.asarray(direction, np.float64)
