"""Checks that a volume file is complete and undamaged, run before SimpleITK reads it.

SimpleITK 2.5 reads a truncated NIfTI file, or a zlib stream damaged in the middle, and returns
noise or uninitialised memory as Hounsfield units.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import nibabel
import numpy as np

VOLUME_SUFFIXES = (".mhd", ".mha", ".nrrd", ".nii", ".nii.gz")
ELEMENT_BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}
# entries of a MetaImage header by their synonyms, their number of values, and the harm without them
GEOMETRY_ENTRIES = (
    (("ElementSpacing",), 3, "sizes in mm would be made up"),
    (("Offset", "Position", "Origin"), 3, "positions in mm would be made up"),
    (("TransformMatrix", "Rotation", "Orientation"), 9, "its axes would be made up"),
)
_CHUNK = 1 << 16  # bytes; a hostile stream inflates them at most a thousandfold
_HEADER_LIMIT = 1 << 16


def check_bytes(path: Path) -> None:
    """Refuse a volume file with missing voxels or damaged compression.

    Args:
        path: .mhd, .mha, .nrrd, .nii or .nii.gz.

    Raises:
        FileNotFoundError: for a header whose data file does not exist.
        ValueError: with the file's name, and the expected and actual number of bytes.
    """
    name = path.name.lower()
    if name.endswith((".mhd", ".mha")):
        check_metaimage(path)
    elif name.endswith((".nii", ".nii.gz")):
        check_nifti(path)
    elif name.endswith((".nrrd", ".nhdr")):
        check_nrrd(path)


# --- MetaImage ------------------------------------------------------------------------------------


def read_metaimage_header(path: Path) -> tuple[dict[str, str], int]:
    """Return the entries of an .mhd or .mha header, and its length in bytes.

    Raises:
        ValueError: for a header without ElementDataFile, MetaImage's last entry.
    """
    header: dict[str, str] = {}
    with path.open("rb") as file:
        while file.tell() < _HEADER_LIMIT:
            line = file.readline(_HEADER_LIMIT)
            key, equals, value = line.decode("latin-1").partition("=")
            if not equals:
                break
            header[key.strip()] = value.strip()
            if key.strip() == "ElementDataFile":
                return header, file.tell()
    raise ValueError(f"{path}: not a MetaImage header: no line 'ElementDataFile = ...'")


def check_metaimage(path: Path) -> None:
    """Check that the data file of an .mhd, or the rest of an .mha, holds every voxel.

    Raises:
        FileNotFoundError, ValueError: see :func:`check_bytes`.
    """
    header, header_bytes = read_metaimage_header(path)
    wanted = _metaimage_bytes(path, header)
    _check_metaimage_geometry(path, header)
    named = header["ElementDataFile"]
    data = path if named == "LOCAL" else path.parent / named
    if named.startswith("LIST") or "%" in named:
        raise ValueError(f"{path}: has several data files ({named}); join them into one volume")
    if not data.is_file():
        raise FileNotFoundError(
            f"{path}: its data file {named} is not in the same folder; copy it there, "
            "or correct ElementDataFile"
        )
    if header.get("CompressedData", "False").lower() == "true":
        with data.open("rb") as file:
            file.seek(header_bytes if data == path else 0)
            _check_stream(data, _inflated_sizes(file), wanted)
        return
    skipped = header_bytes if data == path else _skipped_bytes(path, header)
    if skipped < 0:  # MetaImage: the voxels are the last bytes of the file
        skipped = max(0, data.stat().st_size - wanted)
    _check_size(data, data.stat().st_size - skipped, wanted)


def _check_metaimage_geometry(path: Path, header: dict[str, str]) -> None:
    """Refuse entries that MetaIO would read as 0 (not a number) or invent (missing).

    TransformMatrix may be absent: the format's default is the identity.
    """
    for names, count, harm in GEOMETRY_ENTRIES:
        text = next((header[name] for name in names if name in header), None)
        if text is None and names[0] != "TransformMatrix":
            raise ValueError(f"{path}: the header lacks {names[0]}; {harm}")
        try:
            values = [float(word) for word in text.split()] if text is not None else [0.0] * count
        except ValueError:
            values = []
        if len(values) != count or not np.isfinite(values).all():
            raise ValueError(f"{path}: {names[0]} must be {count} finite numbers, got {text!r}")
        if names[0] == "ElementSpacing" and min(values) <= 0:
            raise ValueError(f"{path}: ElementSpacing must be above 0 mm, got {text!r}")


def _skipped_bytes(path: Path, header: dict[str, str]) -> int:
    """Return HeaderSize: the number of bytes before the voxels in the data file."""
    try:
        return int(header.get("HeaderSize", "0"))
    except ValueError as error:
        raise ValueError(
            f"{path}: HeaderSize must be a whole number, got {header['HeaderSize']!r}"
        ) from error


def _metaimage_bytes(path: Path, header: dict[str, str]) -> int:
    """Return the number of bytes of a MetaImage's uncompressed voxels."""
    if header.get("BinaryData", "True").lower() != "true":
        raise ValueError(f"{path}: BinaryData must be True, got {header['BinaryData']!r}")
    try:
        sizes = [int(word) for word in header["DimSize"].split()]
        element = ELEMENT_BYTES[header["ElementType"]]
        channels = int(header.get("ElementNumberOfChannels", "1"))
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path}: the header must give DimSize in whole numbers and a known ElementType, got "
            f"DimSize {header.get('DimSize')!r}, ElementType {header.get('ElementType')!r}"
        ) from error
    if len(sizes) != 3 or min(sizes) < 1:
        raise ValueError(f"{path}: DimSize must be three numbers above 0, got {header['DimSize']}")
    return int(np.prod(sizes, dtype=np.int64)) * element * channels


# --- NIfTI and NRRD -------------------------------------------------------------------------------


def check_nifti(path: Path) -> None:
    """Check that a .nii or .nii.gz holds every voxel and that its compression is undamaged.

    Raises:
        ValueError: see :func:`check_bytes`.
    """
    try:
        header = nibabel.Nifti1Image.from_filename(path).header
    except Exception as error:
        raise ValueError(f"{path}: not a readable NIfTI file: {error}") from error
    voxels = int(np.prod(header.get_data_shape(), dtype=np.int64)) * header["bitpix"].item() // 8
    wanted = max(352, int(header["vox_offset"])) + voxels
    if path.name.lower().endswith(".gz"):
        with gzip.GzipFile(path) as file:
            _check_stream(path, _read_sizes(file), wanted)
        return
    _check_size(path, path.stat().st_size, wanted)


def check_nrrd(path: Path) -> None:
    """Check the compression of a .nrrd with attached data; ITK checks the number of bytes.

    Raises:
        ValueError: see :func:`check_bytes`.
    """
    with path.open("rb") as file:
        encoding = ""
        for line in iter(file.readline, b""):
            key, _, value = line.decode("latin-1").strip().partition(":")
            if key.lower() in ("data file", "datafile") or file.tell() > _HEADER_LIMIT:
                return
            if key.lower() == "encoding":
                encoding = value.strip().lower()
            if not key:
                break
        if encoding in ("gzip", "gz"):
            with gzip.GzipFile(fileobj=file) as stream:
                _check_stream(path, _read_sizes(stream), None)


# --- counting -------------------------------------------------------------------------------------


def _inflated_sizes(file: IO[bytes]) -> Iterator[int]:
    """Yield the sizes of the chunks a zlib or gzip stream inflates to, and check its checksum."""
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    while chunk := file.read(_CHUNK):
        yield len(inflate.decompress(chunk))
        if inflate.eof:
            return
    raise EOFError("compressed data end before their end-of-stream mark")


def _read_sizes(stream: gzip.GzipFile) -> Iterator[int]:
    """Yield the sizes of the chunks read from a stream."""
    while chunk := stream.read(_CHUNK):
        yield len(chunk)


def _check_stream(path: Path, sizes: Iterator[int], wanted: int | None) -> None:
    """Decompress a stream to its end; refuse damage, and a number of bytes other than wanted."""
    read = 0
    try:
        for size in sizes:
            read += size
            if wanted is not None and read > wanted:
                break
    except (EOFError, OSError, zlib.error) as error:
        total = f" of {wanted}" if wanted is not None else ""
        raise ValueError(
            f"{path}: the compressed data are damaged or truncated ({error}) after {read}{total} "
            "bytes; copy or download the file again"
        ) from error
    if wanted is not None:
        _check_size(path, read, wanted)


def _check_size(path: Path, actual: int, wanted: int) -> None:
    """Refuse a file with a number of bytes other than its header states."""
    if actual < wanted:
        raise ValueError(
            f"{path}: truncated: the header states {wanted} bytes of voxels, the file has "
            f"{actual}; copy or download it again"
        )
    if actual > wanted:
        raise ValueError(
            f"{path}: does not match its header, which states {wanted} bytes of voxels; the file "
            f"has {actual}"
        )
