"""Headers of NRRD files (.nrrd; .nhdr with a voxel file), as 3D Slicer writes them.

Format: https://teem.sourceforge.net/nrrd/format.html
"""

from __future__ import annotations

import os
import re
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
from scripts.volumes.geometry import Floats

_NAMES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        *("longlong", "long long", "long long int", "signed long long"),
        *("signed long long int", "int64", "int64_t"),
    ),
    "u8": (*("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),),
    "f4": ("float",),
    "f8": ("double",),
}
TYPES = {name: kind for kind, names in _NAMES.items() for name in names}
ENCODINGS = {
    **{"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"},
    **{"hex": "hex", "txt": "text", "text": "text", "ascii": "text"},
}
# signs that turn the axes of a space to LPS
SPACES = {
    **dict.fromkeys(("left-posterior-superior", "lps"), (1.0, 1.0, 1.0)),
    **dict.fromkeys(("right-anterior-superior", "ras"), (-1.0, -1.0, 1.0)),
    **dict.fromkeys(("left-anterior-superior", "las"), (1.0, -1.0, 1.0)),
}
UNITS_MM = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1.0),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers"), 1e-3),
    **dict.fromkeys(("cm", "centimeter", "centimeters"), 10.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1e3),
}
SPATIAL_KINDS = ("domain", "space", "???", "none")
_LINE = 1 << 16  # bytes; longer lines are refused, except those of key:=value

Fields = dict[str, str]
"""Fields of a header by their names in lower case, without spaces."""


def read_nrrd_header(path: Path, *, layered: bool = False) -> StoredVolume:
    """Read the header of a .nrrd or .nhdr.

    Args:
        path: the file.
        layered: accept several values per voxel on the first axis, as 3D Slicer writes segments
            that overlap.

    Raises:
        ValueError: naming file and field: not a NRRD header, a field that is missing or cannot be
            read (sizes and positions in mm are never made up), several data files, more than one
            value per voxel, or a data file outside the header's folder.
        FileNotFoundError: for a header whose data file does not exist.
    """
    with path.open("rb") as file:
        fields, length = parse_nrrd_header(path, file.read(HEADER_BYTES))
    axes, shape, values = _axes(path, fields, layered=layered)
    named = named_data_file(path, fields)
    data = data_file(path, named, "data file") if named else path
    coding = _one_of(path, fields, "encoding", ENCODINGS)
    kind = _number_type(path, fields, coding)
    return StoredVolume(
        path,
        data,
        start=_start(path, data, fields, length if data == path else 0, coding),
        shape=shape,
        kind=kind,
        affine_lps=_affine(path, fields, axes),
        coding=coding,
        values=values,
    )


def parse_nrrd_header(path: Path, head: bytes) -> tuple[Fields, int]:
    """Return the fields of a header, and its length in bytes, the blank line included.

    Args:
        path: the file, for errors.
        head: its first bytes, at most :data:`~scripts.volumes.formats.stored_voxels.HEADER_BYTES`.

    Raises:
        ValueError: for another first line, a line that is no field, a field given twice, or
            attached voxels without a blank line before them.
    """
    if not re.match(rb"NRRD000[1-5]\r?\n", head):
        raise ValueError(f"{path}: not a NRRD file: must begin with NRRD0001 to NRRD0005")
    fields: Fields = {}
    length = 0
    for number, line in enumerate(head.splitlines(keepends=True), start=1):
        length += len(line)
        text = os.fsdecode(line).strip()
        if not text:
            return fields, length
        if number == 1 or text.startswith("#"):
            continue
        name, colon, value = text.partition(":")
        if colon and value.startswith("="):  # a key with a value of any meaning
            continue
        if not colon or len(line) > _LINE:
            raise ValueError(
                f"{path}: line {number} of the header must be 'field: value', got {shown(text)}"
            )
        key = name.replace(" ", "").lower()
        if fields.setdefault(key, value.strip()) != value.strip():
            raise ValueError(f"{path}: the header gives {name} twice, with different values")
    if "datafile" in fields and len(head) < HEADER_BYTES:
        return fields, length
    raise ValueError(f"{path}: truncated: no blank line after the header, and no data file")


def keys_of(path: Path) -> Fields:
    """Return the keys and values of a header (``key:=value``), as programs add them.

    Raises:
        OSError: for a file that cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    keys: Fields = {}
    for line in head.splitlines()[1:]:
        if not line.strip():
            break
        name, sign, value = line.decode("utf-8", "replace").partition(":=")
        if sign and not name.startswith("#"):
            keys[name.strip()] = value.replace("\\n", "\n").replace("\\\\", "\\").strip()
    return keys


def named_data_file(path: Path, fields: Fields) -> str:
    """Return the name of the voxel file; empty if the voxels follow the header.

    Raises:
        ValueError: for several data files.
    """
    named = fields.get("datafile", "")
    if named.split()[:1] == ["LIST"] or re.search(r"%\d*d", named):
        raise ValueError(
            f"{path}: has several data files ({shown(named)}); join them into one volume"
        )
    return named


def _axes(
    path: Path, fields: Fields, *, layered: bool
) -> tuple[list[int], tuple[int, int, int], int]:
    """Return the numbers of the three spatial axes, shape (Z, Y, X), and values per voxel."""
    text = fields.get("sizes", "")
    sizes = [whole_number(path, "sizes", word) for word in text.split()]
    dimension = whole_number(path, "dimension", fields.get("dimension", ""))
    if len(sizes) != dimension or not sizes or min(sizes) < 1:
        raise ValueError(
            f"{path}: sizes must be {dimension} numbers above 0 (dimension), got {shown(text)}"
        )
    kinds = fields.get("kinds", " ".join(["domain"] * dimension)).lower().split()
    if len(kinds) != dimension:
        raise ValueError(f"{path}: kinds must be {dimension} words, got {shown(fields['kinds'])}")
    axes = list(range(dimension))
    other = [axis for axis in axes if kinds[axis] not in SPATIAL_KINDS]
    if dimension == 4 and not other:
        other = [axis for axis in (0, 3) if _directions(fields)[axis : axis + 1] == ["none"]]
    values = 1
    if dimension == 4 and len(other) == 1 and sizes[other[0]] == 1:
        axes.remove(other[0])  # one value or one volume
    elif layered and other == [0]:
        axes, values = axes[1:], sizes[0]
    elif other:
        count = int(np.prod([sizes[axis] for axis in other], dtype=object))
        raise ValueError(
            f"{path}: must have one value per voxel, got {count} "
            f"({shown(', '.join(kinds[axis] for axis in other))[1:-1]})"
        )
    if len(axes) != 3:
        raise ValueError(f"{path}: must be one 3D volume, got sizes {shown(text)}")
    x, y, z = (sizes[axis] for axis in axes)
    return axes, (z, y, x), values


def _number_type(path: Path, fields: Fields, coding: str) -> np.dtype[np.generic]:
    kind = _one_of(path, fields, "type", TYPES)
    if kind.endswith("1") or coding == "text":
        return np.dtype(kind)
    return np.dtype(_one_of(path, fields, "endian", {"little": "<", "big": ">"}) + kind)


def _one_of(path: Path, fields: Fields, name: str, known: dict[str, str]) -> str:
    value = fields.get(name, "").lower()
    if value not in known:
        given = shown(fields[name]) if name in fields else "none"
        raise ValueError(f"{path}: {name} must be {', '.join(known)}, got {given}")
    return known[value]


def _start(path: Path, data: Path, fields: Fields, header: int, coding: str) -> int:
    """Return where the voxels begin: after ``line skip`` lines and ``byte skip`` bytes."""
    lines = whole_number(path, "line skip", fields.get("lineskip", "0"))
    skipped = whole_number(path, "byte skip", fields.get("byteskip", "0"))
    if lines < 0 or skipped < -1 or (skipped == -1 and coding != "raw"):
        raise ValueError(
            f"{path}: line skip and byte skip must be 0 or more (raw data: byte skip or -1), got "
            f"{lines} and {skipped}"
        )
    if skipped == -1:
        return -1
    if skipped and coding != "raw":
        raise ValueError(f"{path}: byte skip in compressed data is not read, got {skipped}")
    with data.open("rb") as file:
        file.seek(header)
        for _ in range(lines):
            if not file.readline(HEADER_BYTES):
                break
        return file.tell() + skipped


# --- geometry -------------------------------------------------------------------------------------


def _affine(path: Path, fields: Fields, axes: list[int]) -> Floats:
    """Return (4, 4), index to LPS mm."""
    space = fields.get("space", "").lower().removesuffix("-time")
    if space not in SPACES:
        given = shown(fields["space"]) if "space" in fields else "none"
        raise ValueError(
            f"{path}: space must be left-posterior-superior, right-anterior-superior or "
            f"left-anterior-superior, got {given}; without it positions in mm would be made up"
        )
    directions = _directions(fields)
    if len(directions) <= max(axes):
        raise ValueError(f"{path}: the header lacks space directions; sizes in mm would be made up")
    if "spaceorigin" not in fields:
        raise ValueError(f"{path}: the header lacks space origin; positions in mm would be made up")
    affine = np.eye(4)
    for column, axis in enumerate(axes):
        affine[:3, column] = _vector(path, "space directions", directions[axis])
    affine[:3, 3] = _vector(path, "space origin", fields["spaceorigin"])
    affine[:3] *= np.array(SPACES[space])[:, None] * _unit_mm(path, fields)
    return affine + 0.0  # no negative zeros


def _directions(fields: Fields) -> list[str]:
    return re.findall(r"\([^)]*\)|none", fields.get("spacedirections", "").lower())


def _vector(path: Path, name: str, text: str) -> list[float]:
    """Read (x,y,z)."""
    inner = re.fullmatch(r"\s*\((.*)\)\s*", text)
    return numbers_of(path, name, inner.group(1).replace(",", " ") if inner else text, 3)


def _unit_mm(path: Path, fields: Fields) -> float:
    """Return the unit of positions in mm; without ``space units`` they are mm, as in 3D Slicer."""
    text = fields.get("spaceunits", fields.get("units", ""))
    words = {word.strip().lower() for word in re.findall(r'"([^"]*)"', text) or text.split()}
    words -= {"", "none", "???"}
    if not words:
        return 1.0
    if len(words) > 1 or not words <= UNITS_MM.keys():
        raise ValueError(
            f"{path}: space units must be one of mm, cm, m, microns for all axes, got {shown(text)}"
        )
    return UNITS_MM[words.pop()]
