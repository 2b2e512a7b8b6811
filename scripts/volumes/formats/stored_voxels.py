"""Voxels of a volume file: read as its header describes them, after a check of the bytes there.

Headers are read by this project and by nibabel, never by ITK: a damaged or hostile header can end
the process inside ITK, and ITK returns noise for a truncated NIfTI file or a damaged zlib stream.
"""

from __future__ import annotations

import bz2
import gzip
import os
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from scripts.volumes.geometry import Floats

HEADER_BYTES = 1 << 20  # a longer text header is refused
_CHUNK = 1 << 16  # bytes; a hostile stream inflates them at most a thousandfold
# times its size: the limit of each format
_MOST_INFLATED = {"zlib": 1032, "gzip": 1032, "gzip file": 1032, "bzip2": 1 << 17}


@dataclass(frozen=True)
class StoredVolume:
    """What a header states: where and how the voxels are stored, and their geometry.

    Attributes:
        path: the volume file, for errors.
        data: the file with the voxels.
        start: offset in it; negative if the voxels are its last bytes.
        shape: (Z, Y, X).
        kind: number type with byte order.
        affine_lps: (4, 4), 0-based index (i, j, k) to LPS mm.
        coding: raw, zlib (or gzip), gzip, bzip2, text, hex, or "gzip file": header and voxels in
            one gzip stream, in which ``start`` counts unpacked bytes.
        slope, intercept: value = stored value * slope + intercept.
        values: number of values per voxel, stored side by side.
    """

    path: Path
    data: Path
    start: int
    shape: tuple[int, int, int]
    kind: np.dtype[Any]
    affine_lps: Floats
    coding: str = "raw"
    slope: float = 1.0
    intercept: float = 0.0
    values: int = 1

    @property
    def voxel_bytes(self) -> int:
        """Bytes of all voxels, uncompressed."""
        z, y, x = self.shape
        return z * y * x * self.values * self.kind.itemsize


def read_voxels(stored: StoredVolume) -> NDArray[Any]:
    """Read the voxels.

    Returns:
        (Z, Y, X), or (Z, Y, X, values) for several values per voxel, in the machine's byte order:
        the stored number type, or float32 if a slope or an intercept applies (float64 if stored as
        such).

    Raises:
        ValueError: naming the file: truncated, damaged, or with more bytes than its header states.
            Nothing is allocated for bytes that are not there.
        OSError: when the file cannot be read.
    """
    read = {"text": _read_text, "hex": _read_hex}.get(stored.coding, _read_binary)
    several = (stored.values,) if stored.values > 1 else ()
    values = read(stored).reshape(*stored.shape, *several)
    values = values.astype(stored.kind.newbyteorder("="), copy=False)
    if (stored.slope, stored.intercept) == (1.0, 0.0):
        return values
    scaled = np.empty(values.shape, np.float64 if values.dtype == np.float64 else np.float32)
    for plane, of_file in zip(scaled, values, strict=True):  # one by one, for memory
        plane[:] = of_file.astype(np.float64) * stored.slope + stored.intercept
    return scaled


def _read_binary(stored: StoredVolume) -> NDArray[Any]:
    there = stored.data.stat().st_size
    if stored.coding == "raw":
        start = stored.start if stored.start >= 0 else max(0, there - stored.voxel_bytes)
        check_size(stored.data, there - start, stored.voxel_bytes)
        return np.fromfile(stored.data, stored.kind, offset=start)
    most = there * _MOST_INFLATED[stored.coding]
    if most < stored.voxel_bytes:
        raise _damaged(stored, f"at most {most}", "too few compressed bytes")
    with stored.data.open("rb") as file:
        return _inflated(file, stored).view(stored.kind)


def _inflated(file: IO[bytes], stored: StoredVolume) -> NDArray[np.uint8]:
    """Decompress a stream to its end, checksum included."""
    voxels, filled = np.empty(stored.voxel_bytes, np.uint8), 0
    try:
        for piece in _pieces(file, stored):
            if filled + len(piece) > len(voxels):
                check_size(stored.data, filled + len(piece), len(voxels), "at least ")
            voxels[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
    except (EOFError, OSError, zlib.error) as error:
        raise _damaged(stored, str(filled), str(error)) from error
    check_size(stored.data, filled, len(voxels))
    return voxels


def _damaged(stored: StoredVolume, read: str, why: str) -> ValueError:
    return ValueError(
        f"{stored.data}: the compressed data are damaged or truncated ({why}) after {read} of "
        f"{stored.voxel_bytes} bytes; copy or download the file again"
    )


def _pieces(file: IO[bytes], stored: StoredVolume) -> Iterator[bytes]:
    """Yield the voxels' bytes of a compressed file in pieces."""
    if stored.coding.startswith("gzip"):
        yield from _gzip_pieces(file, stored)
        return
    file.seek(stored.start)
    inflate: Any = (
        bz2.BZ2Decompressor()
        if stored.coding == "bzip2"
        else zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    )
    while chunk := file.read(_CHUNK):
        yield inflate.decompress(chunk)
        if inflate.eof:
            return
    raise EOFError("no end-of-stream mark")


def _gzip_pieces(file: IO[bytes], stored: StoredVolume) -> Iterator[bytes]:
    """Yield the voxels of gzip data, of which there may be several members in a row."""
    whole_file = stored.coding == "gzip file"
    file.seek(0 if whole_file else stored.start)
    with gzip.GzipFile(fileobj=file) as stream:
        left = stored.start if whole_file else 0
        while left > 0:
            if not (skipped := stream.read(min(left, _CHUNK))):
                return
            left -= len(skipped)
        while piece := stream.read(_CHUNK):
            yield piece


def _read_text(stored: StoredVolume) -> NDArray[Any]:
    count = stored.voxel_bytes // stored.kind.itemsize
    there = stored.data.stat().st_size - stored.start
    if there < 2 * count - 1:  # a digit and a space for each
        raise ValueError(f"{stored.data}: truncated: must hold {count} numbers, has {there} bytes")
    with stored.data.open("rb") as file:
        file.seek(stored.start)
        words = file.read().split()
    if len(words) != count:
        raise ValueError(f"{stored.data}: must hold {count} numbers, has {len(words)}")
    try:
        return np.array([float(word) for word in words]).astype(stored.kind)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{stored.data}: must hold numbers: {error}") from error


def _read_hex(stored: StoredVolume) -> NDArray[Any]:
    with stored.data.open("rb") as file:
        file.seek(stored.start)
        text = file.read()
    try:
        content = bytes.fromhex(text.decode("ascii"))
    except ValueError as error:
        raise ValueError(f"{stored.data}: must hold hexadecimal digits: {error}") from error
    check_size(stored.data, len(content), stored.voxel_bytes)
    return np.frombuffer(content, stored.kind)


def check_size(path: Path, actual: int, wanted: int, least: str = "") -> None:
    """Refuse a file with a number of bytes other than its header states.

    Raises:
        ValueError: with the file's name, and the expected and actual number of bytes.
    """
    if actual < wanted:
        raise ValueError(
            f"{path}: truncated: the header states {wanted} bytes of voxels, the file has "
            f"{max(0, actual)}; copy or download it again"
        )
    if actual > wanted:
        raise ValueError(
            f"{path}: does not match its header, which states {wanted} bytes of voxels; the file "
            f"has {least}{actual}"
        )


# --- headers --------------------------------------------------------------------------------------


def numbers_of(path: Path, name: str, text: str, count: int) -> list[float]:
    """Read an entry of a header that has several numbers.

    Raises:
        ValueError: naming file and entry, for another count or a number that is not finite.
    """
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"{path}: {name} must be {count} finite numbers, got {shown(text)}")
    return values


def whole_number(path: Path, name: str, text: str) -> int:
    """Read an entry of a header that has one whole number.

    Raises:
        ValueError: naming file and entry.
    """
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"{path}: {name} must be a whole number, got {shown(text)}") from error


def shown(text: str) -> str:
    """Shorten a piece of a header for an error."""
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def data_file(path: Path, name: str, entry: str) -> Path:
    """Return the voxel file that a header names, in the header's folder or below it.

    Args:
        path: the header.
        name: the entry's value, decoded like a file name (``os.fsdecode``).
        entry: its name, for errors.

    Raises:
        ValueError: for a name that points outside the folder of the header.
        FileNotFoundError: when there is no such file.
    """
    inside = relative_name(path, name, entry)
    for spelling in spellings(inside):
        with suppress(OSError):  # longer than a file's name may be
            if (path.parent / spelling).is_file():
                return path.parent / spelling
    raise FileNotFoundError(
        f"{path}: its data file {shown(name)[1:-1]} is not in the same folder; copy it there, or "
        f"correct {entry}"
    )


def relative_name(path: Path, name: str, entry: str) -> str:
    """Return a voxel file's name relative to the folder of its header.

    Raises:
        ValueError: see :func:`data_file`.
    """
    plain = name.replace("\\", "/")
    if plain.startswith("/") and PurePosixPath(plain).parent == PurePosixPath(path.parent):
        plain = PurePosixPath(plain).name
    parts = PurePosixPath(plain).parts
    if not parts or ".." in parts or plain.startswith("/") or ":" in parts[0] or "\0" in plain:
        raise ValueError(
            f"{path}: {entry} must name a file in the header's folder, got {shown(name)}; copy the "
            "file there and correct the header"
        )
    return "/".join(parts)


def spellings(name: str) -> list[str]:
    """Return the ways to spell a name: composed or decomposed accents, latin-1, a zip's cp437."""
    raw = os.fsencode(name)
    readings: list[Callable[[], str]] = [
        lambda: name,
        lambda: unicodedata.normalize("NFC", name),
        lambda: unicodedata.normalize("NFD", name),
        lambda: raw.decode("latin-1"),
        lambda: raw.decode("cp437"),
        lambda: raw.decode("utf-8"),
    ]
    spelled = []
    for reading in readings:
        try:
            spelled.append(reading())
        except UnicodeError:
            continue
    return list(dict.fromkeys(spelled))
