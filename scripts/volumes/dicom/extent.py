"""Where the pixels of a DICOM file begin and end, and whether all of them are there.

Only sizes are read, nothing is decoded: a file that was cut short, or into which bytes were
inserted, is recognised when its header is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

NATIVE = (
    *(ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian),
    DeflatedExplicitVRLittleEndian,
)
PIXEL_DATA = 0x7FE00010
ITEM, DELIMITER = 0xFFFEE000, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
_LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UN", b"SQ", b"UT", b"UC", b"UR")
_CUT = "copy or download it again"


@dataclass(frozen=True)
class PixelExtent:
    """The value of the pixel data element in a file.

    Args:
        start: offset of its first byte; of a deflated file, in the inflated data set.
        length: number of bytes; of compressed pixels with the headers of their items.
        damage: why the pixels are not whole; empty if they are.
    """

    start: int
    length: int
    damage: str = ""


def find_pixels(file: BinaryIO, header: Dataset) -> PixelExtent:
    """Find the pixels behind a header.

    Args:
        file: positioned where the header ended.
        header: the elements before the pixels.
    """
    at = file.tell()
    size = file.seek(0, 2)
    implicit, little = (bool(value) for value in header.original_encoding)
    walk = _Walk(file, size, implicit, little)
    element = walk.element(at)
    if element is None or element[0] != PIXEL_DATA:
        return PixelExtent(at, 0, "holds no image: PixelData missing")
    _, length, start = element
    syntax = header.file_meta.TransferSyntaxUID
    if syntax in NATIVE:
        return _native(walk, header, start, length)
    if length != UNDEFINED:
        return PixelExtent(start, 0, "damaged: its compressed pixels are not in items")
    return _compressed(walk, start, is_rle=syntax == RLELossless)


def pixel_bytes_of(header: Dataset) -> int:
    """Return the number of bytes that uncompressed pixels have by their header.

    Raises:
        ValueError: for an element that is missing or not a whole number.
    """
    rows, columns, bits = (int(header[k].value) for k in ("Rows", "Columns", "BitsAllocated"))
    samples = int(header.get("SamplesPerPixel") or 1)
    frames = int(header.get("NumberOfFrames") or 1)
    return (rows * columns * samples * frames * bits + 7) // 8


def _native(walk: _Walk, header: Dataset, start: int, length: int) -> PixelExtent:
    """Check the size of uncompressed pixels (PS3.5, 8.1.1), and that nothing was inserted."""
    try:
        wanted = pixel_bytes_of(header)
    except (KeyError, ValueError, TypeError):
        return PixelExtent(start, 0, "holds no image: Rows, Columns or BitsAllocated missing")
    there = min(length, walk.size - start)
    if there < wanted:
        damage = f"truncated: the header states {wanted} bytes of pixels, the file has {there}"
        return PixelExtent(start, there, f"{damage}; {_CUT}")
    if length == UNDEFINED or start + length > walk.size:
        damage = f"damaged: its pixels should have {length} bytes, the file ends after {there}"
        return PixelExtent(start, there, f"{damage}; {_CUT}")
    if there > wanted + 1 and any(walk.read(start + wanted, there - wanted)):
        damage = f"the header states {wanted} bytes of pixels, the file has {there}"
        return PixelExtent(start, there, f"does not match its header: {damage}")
    return PixelExtent(start, wanted, walk.damage_after(start + length))


def _compressed(walk: _Walk, start: int, *, is_rle: bool) -> PixelExtent:
    """Check the items of compressed pixels (PS3.5, A.4); only the last delimiter may be missing."""
    at, items, last = start, 0, (0, 0)
    while (item := walk.item(at)) is not None:
        tag, length = item
        if tag == DELIMITER:
            if items < 2:
                break
            damage = _end_of_frame(walk, *last, is_rle=is_rle) or walk.damage_after(at + 8)
            return PixelExtent(start, at - start, damage)
        if tag != ITEM or length > walk.size - at - 8:
            damage = f"truncated: an item of its compressed pixels needs {length} bytes"
            if tag != ITEM:
                damage = f"damaged: between its compressed pixels stands {tag:08X}"
            return PixelExtent(start, at - start, f"{damage}; {_CUT}")
        last, items, at = (at + 8, length), items + 1, at + 8 + length
    if items < 2:  # the first item is the offset table
        return PixelExtent(start, at - start, f"truncated: no compressed pixels; {_CUT}")
    damage = _end_of_frame(walk, *last, is_rle=is_rle) or _end_of_file(walk, at)
    return PixelExtent(start, at - start, damage)


def _end_of_file(walk: _Walk, at: int) -> str:
    """Return why items without a delimiter behind them are damaged.

    If bytes are missing in the last item, its length reaches over the delimiter. Otherwise it ends
    before the delimiter, of which a cut leaves the beginning.
    """
    delimiter = walk.packed_delimiter()
    if walk.read(at - 8, 8) != delimiter and delimiter.startswith(walk.read(at, 8)):
        return ""
    return f"damaged: bytes are missing in its compressed pixels; {_CUT}"


def _end_of_frame(walk: _Walk, start: int, length: int, *, is_rle: bool) -> str:
    """Return why a frame ends too early: JPEG, JPEG-LS and JPEG 2000 end with FF D9."""
    if is_rle:
        return ""  # its decoder counts the bytes
    tail = walk.read(start + max(0, length - 64), min(64, length)).rstrip(b"\0")
    return "" if tail.endswith(b"\xff\xd9") else f"truncated: its compressed pixels stop; {_CUT}"


def coded_size(pixels: bytes) -> tuple[int, int] | None:
    """Return rows and columns that compressed pixels state; None if they state none.

    Read from the frame header of JPEG and JPEG-LS (ITU-T T.81, B.2.2; T.87, C.2.2) and the SIZ
    marker of JPEG 2000 (T.800, A.5.1). Decoders allocate by it.

    Args:
        pixels: the items of one frame, the offset table first.
    """
    table = struct.unpack("<L", pixels[4:8])[0] if len(pixels) > 8 else 0
    code = pixels[16 + table :]
    if code[:4] == b"\xff\x4f\xff\x51" and len(code) >= 24:
        right, low, left, top = struct.unpack(">4L", code[8:24])
        return low - top, right - left
    at = 2
    while code[:2] == b"\xff\xd8" and at + 9 <= len(code) and code[at] == 0xFF:
        marker, length = code[at + 1], int.from_bytes(code[at + 2 : at + 4], "big")
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            rows, columns = struct.unpack(">HH", code[at + 5 : at + 9])
            return (rows, columns) if rows else None
        at += 2 + length
    return None


class _Walk:
    """Reads headers of elements and items at positions of a file."""

    def __init__(self, file: BinaryIO, size: int, implicit: bool, little: bool) -> None:
        self.file, self.size, self.implicit = file, size, implicit
        self.order = "<" if little else ">"

    def read(self, at: int, count: int) -> bytes:
        self.file.seek(at)
        return self.file.read(min(count, max(0, self.size - at)))

    def packed_delimiter(self) -> bytes:
        """Return the bytes of the item that ends compressed pixels."""
        return struct.pack(f"{self.order}HHL", DELIMITER >> 16, DELIMITER & 0xFFFF, 0)

    def item(self, at: int) -> tuple[int, int] | None:
        """Return tag and length of an item; None at the end of the file."""
        head = self.read(at, 8)
        if len(head) < 8:
            return None
        group, element, length = struct.unpack(f"{self.order}HHL", head)
        return group << 16 | element, length

    def element(self, at: int) -> tuple[int, int, int] | None:
        """Return tag, length and start of the value of an element; None at the end."""
        head = self.read(at, 12)
        if len(head) < 8:
            return None
        group, number, vr, short = struct.unpack(f"{self.order}HH2sH", head[:8])
        tag = group << 16 | number
        if self.implicit or not vr.isalpha():
            return tag, struct.unpack(f"{self.order}L", head[4:8])[0], at + 8
        if vr not in _LONG:
            return tag, short, at + 8
        if len(head) < 12:
            return None
        return tag, struct.unpack(f"{self.order}L", head[8:12])[0], at + 12

    def _after(self, at: int) -> Iterator[int]:
        """Yield the end of each element behind the pixels that can be one."""
        above = PIXEL_DATA
        while (element := self.element(at)) is not None:
            tag, length, start = element
            if tag <= above:
                return
            at = self.size if length == UNDEFINED else start + length
            above = tag
            yield at

    def damage_after(self, at: int) -> str:
        """Return what is wrong with the bytes behind the pixels; a padding byte is no fault."""
        end = at
        for end in self._after(at):  # noqa: B007
            pass
        if end in (self.size, self.size - 1):
            return ""
        return (
            f"damaged: {self.size - at} bytes behind its pixels are no DICOM elements, as when "
            f"bytes were inserted; {_CUT}"
        )
