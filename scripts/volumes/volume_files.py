"""Are the bytes of a volume file all there? SimpleITK does not always ask.

SimpleITK 2.5 reads a NIfTI file cut short, or a zlib stream damaged in the middle, and returns
noise or whatever lay in memory as Hounsfield units. These checks run before it.
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
# entries of a MetaImage header by their names in use, how many numbers they are, and the harm
GEOMETRY_ENTRIES = (
    (("ElementSpacing",), 3, "sizes in mm would be made up"),
    (("Offset", "Position", "Origin"), 3, "positions in mm would be made up"),
    (("TransformMatrix", "Rotation", "Orientation"), 9, "its axes would be made up"),
)
_CHUNK = 1 << 16  # a hostile stream inflates this at most a thousandfold at a time
_HEADER_LIMIT = 1 << 16


def check_bytes(path: Path) -> None:
    """Refuse a volume file whose voxels are not all there or whose compression is damaged.

    Args:
        path: .mhd, .mha, .nrrd, .nii or .nii.gz.

    Raises:
        FileNotFoundError: when a header names a data file that is not there.
        ValueError: with the file's name and expected and found byte counts.
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
    """Return the header of an .mhd or .mha file as text, and the header's length in bytes.

    Raises:
        ValueError: when it does not end in ElementDataFile, MetaImage's last entry.
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
    """Check that the data file of an .mhd, or the rest of an .mha, holds every voxel."""
    header, header_bytes = read_metaimage_header(path)
    wanted = _metaimage_bytes(path, header)
    _check_metaimage_geometry(path, header)
    named = header["ElementDataFile"]
    data = path if named == "LOCAL" else path.parent / named
    if named.startswith("LIST") or "%" in named:
        raise ValueError(f"{path}: has several data files ({named}); join them into one volume")
    if not data.is_file():
        raise FileNotFoundError(
            f"{path}: its data file {named} is not beside it; copy it there, "
            "or correct ElementDataFile"
        )
    if header.get("CompressedData", "False").lower() == "true":
        with data.open("rb") as file:
            file.seek(header_bytes if data == path else 0)
            _check_stream(data, _inflated_sizes(file), wanted)
        return
    skipped = header_bytes if data == path else _skipped_bytes(path, header)
    if skipped < 0:  # MetaImage: the voxels are the last bytes, whatever comes before
        skipped = max(0, data.stat().st_size - wanted)
    _check_size(data, data.stat().st_size - skipped, wanted)


def _check_metaimage_geometry(path: Path, header: dict[str, str]) -> None:
    """Refuse geometry that MetaIO would read as 0 (what is no number) or make up (what is absent).

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
    """Return HeaderSize: how many bytes of the data file come before the voxels."""
    try:
        return int(header.get("HeaderSize", "0"))
    except ValueError as error:
        raise ValueError(
            f"{path}: HeaderSize must be a whole number, got {header['HeaderSize']!r}"
        ) from error


def _metaimage_bytes(path: Path, header: dict[str, str]) -> int:
    """Return how many bytes the voxels of a MetaImage take uncompressed."""
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
    """Check that a .nii or .nii.gz holds every voxel and that its compression is sound."""
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
    """Check the compression of a .nrrd with its data attached; ITK checks the byte counts."""
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
    """Yield the sizes of the pieces a zlib or gzip stream inflates to; its checksum is checked."""
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    while piece := file.read(_CHUNK):
        yield len(inflate.decompress(piece))
        if inflate.eof:
            return
    raise EOFError("compressed data end before their end-of-stream mark")


def _read_sizes(stream: gzip.GzipFile) -> Iterator[int]:
    """Yield the sizes of the pieces read from a stream."""
    while piece := stream.read(_CHUNK):
        yield len(piece)


def _check_stream(path: Path, sizes: Iterator[int], wanted: int | None) -> None:
    """Drain a decompressing stream; refuse damage, and another number of bytes than wanted."""
    found = 0
    try:
        for size in sizes:
            found += size
            if wanted is not None and found > wanted:
                break
    except (EOFError, OSError, zlib.error) as error:
        told = f" of {wanted}" if wanted is not None else ""
        raise ValueError(
            f"{path}: the compressed data are damaged or cut short ({error}) after {found}{told} "
            "bytes; copy or download the file again"
        ) from error
    if wanted is not None:
        _check_size(path, found, wanted)


def _check_size(path: Path, found: int, wanted: int) -> None:
    """Refuse a file that holds another number of bytes than its header says."""
    if found < wanted:
        raise ValueError(
            f"{path}: cut short: the header asks for {wanted} bytes of voxels, the file holds "
            f"{found}; copy or download it again"
        )
    if found > wanted:
        raise ValueError(
            f"{path}: does not belong to its header: {wanted} bytes asked for, {found} found"
        )
