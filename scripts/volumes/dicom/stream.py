"""The bytes of a DICOM file for a parser: recognised, inflated, and no more than the file has.

Parsers read as many bytes as a length in the file states; Python reserves that memory before it
reads. A damaged length would cost up to 4 GB, so reads end at the end of the file here.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import BinaryIO

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

HEAD = 144  # bytes: preamble of 128, DICM, and the element with the length of the file meta group
MOST_INFLATED = 256 << 20  # bytes of one inflated data set; a slice has 0.5 MB
_PREAMBLE = 132
_FIRST_GROUPS = (0x0002, 0x0008)  # a data set without preamble begins with one of these
_FIRST_ELEMENTS = range(0x0061)
_VRS = (b"UL", b"UI", b"CS", b"OB", b"DA", b"SH", b"LO", b"RT", b"TM", b"DT", b"SQ", b"UN")


class Bounded:
    """A binary file whose reads end at its last byte, however many bytes are asked for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        file.seek(0)

    def read(self, count: int = -1) -> bytes:
        """Read at most ``count`` bytes; all that are left for -1."""
        left = max(0, self.size - self._file.tell())
        return self._file.read(left if count < 0 else min(count, left))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()


def is_dicom(head: bytes) -> bool:
    """Whether a file begins like DICOM, with or without the preamble of PS3.10, 7.1.

    Files of old archives and of some networks have no preamble and begin with the data set.

    Args:
        head: the first :data:`HEAD` bytes, or all of a shorter file.

    Example:
        >>> is_dicom(bytes(128) + b"DICM"), is_dicom(b"plain text"), is_dicom(b"")
        (True, False, False)
    """
    if head[128:_PREAMBLE] == b"DICM":
        return True
    if len(head) < 16:
        return False
    group, element, vr, length = struct.unpack("<HH2sH", head[:8])
    if group not in _FIRST_GROUPS or element not in _FIRST_ELEMENTS:
        return False
    implicit_length = int(struct.unpack("<L", head[4:8])[0])
    return (vr in _VRS and length <= HEAD) or (implicit_length <= HEAD and not implicit_length % 2)


def data_set_stream(file: BinaryIO) -> tuple[BinaryIO, FileMetaDataset | None]:
    """Return the stream that holds the data set, at its start.

    Returns:
        The file itself and None; or, of a deflated file (PS3.5, A.5), the inflated data set and the
        file meta information, which is not part of it.

    Raises:
        ValueError: for a deflated data set that is damaged or of absurd size. One that ends too
            early is returned as far as it goes.
    """
    stream = Bounded(file)
    head = stream.read(4096)
    stream.seek(0)
    deflated = str(DeflatedExplicitVRLittleEndian).encode()
    if head[128:_PREAMBLE] != b"DICM" or deflated not in head:
        return stream, None  # type: ignore[return-value]  # all that pydicom asks of a file
    tag, length = head[_PREAMBLE : _PREAMBLE + 4], head[HEAD - 4 : HEAD]
    if tag != b"\2\0\0\0":
        raise ValueError("the file meta information of a deflated file has no length")
    start = HEAD + int(struct.unpack("<L", length)[0])
    meta = pydicom.dcmread(io.BytesIO(stream.read(start))).file_meta
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        stream.seek(0)
        return stream, None  # type: ignore[return-value]
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflate.decompress(stream.read(), MOST_INFLATED)
    if inflate.unconsumed_tail:
        raise ValueError(f"its data set inflates to more than {MOST_INFLATED} bytes")
    return io.BytesIO(content), meta
