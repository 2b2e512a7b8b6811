"""Pixels that are whole, and every way in which they are not; nothing is decoded for it."""

import tracemalloc

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.dicom.extent import coded_size
from scripts.volumes.dicom.pixels import stored_values
from scripts.volumes.dicom.slice import read_slice
from tests.analytic.dicom_files import Encoding, save, slice_dataset
from tests.analytic.phantom import grid_of

GRID = grid_of(spacing=(7, 6, 60))
COMPRESSED = {
    "RLE": RLELossless,
    "JPEG-LS": JPEGLSLossless,
    "JPEG 2000": JPEG2000Lossless,
    "JPEG lossless": JPEGLosslessSV1,
}
NATIVE = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
}
SYNTAXES = {**COMPRESSED, **NATIVE, "deflated": DeflatedExplicitVRLittleEndian}


def written(folder, syntax):
    """One slice of the chest in the middle of the body, unsigned."""
    encoding = Encoding(syntax, signed=False, intercept=-1024)
    return save(slice_dataset(GRID, 1, GRID.hu()[1], encoding), folder, "slice.dcm")


def damage_of(path):
    with ArchiveReader() as reader:
        return read_slice(reader, Location(path)).pixels.damage


def values_of(path):
    with ArchiveReader() as reader:
        return stored_values(read_slice(reader, Location(path)), reader)


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES)
def test_whole_then_no_damage_and_cut_by_thirty_percent_then_refused_by_name(tmp_path, syntax):
    path = written(tmp_path, syntax)
    np.testing.assert_array_equal(values_of(path), GRID.hu()[1] + 1024)
    content = path.read_bytes()
    path.write_bytes(content[: -3 * len(content) // 10])
    assert "truncated" in damage_of(path) or "holds no image" in damage_of(path)
    with pytest.raises(ValueError, match=r"slice\.dcm: "):
        values_of(path)


@pytest.mark.parametrize("cut", [1, 7, 8], ids=["a byte", "but a byte", "whole"])
@pytest.mark.parametrize("syntax", COMPRESSED.values(), ids=COMPRESSED)
def test_only_the_last_delimiter_cut_then_read(tmp_path, syntax, cut):
    path = written(tmp_path, syntax)
    path.write_bytes(path.read_bytes()[:-cut])
    np.testing.assert_array_equal(values_of(path), GRID.hu()[1] + 1024)


@pytest.mark.parametrize("cut", [9, 12, 100])
@pytest.mark.parametrize("syntax", COMPRESSED.values(), ids=COMPRESSED)
def test_more_than_the_delimiter_cut_then_refused(tmp_path, syntax, cut):
    path = written(tmp_path, syntax)
    path.write_bytes(path.read_bytes()[:-cut])
    assert damage_of(path).startswith("truncated: an item of its compressed pixels needs")


@pytest.mark.parametrize("syntax", NATIVE.values(), ids=NATIVE)
def test_bytes_missing_inserted_or_appended_then_refused(tmp_path, syntax):
    path = written(tmp_path, syntax)
    content = path.read_bytes()
    for changed, told in (
        (content[:-2], "truncated: the header states"),
        (content[:-900] + b"\x5a" * 512 + content[-900:], "512 bytes behind its pixels"),
        (content + bytes(64), "64 bytes behind its pixels are no DICOM elements"),
    ):
        path.write_bytes(changed)
        assert told in damage_of(path)
    path.write_bytes(content + b"\0")  # padding to an even number of bytes
    assert not damage_of(path)


@pytest.mark.parametrize("syntax", COMPRESSED.values(), ids=COMPRESSED)
def test_bytes_inserted_into_compressed_pixels_then_refused_in_little_memory(tmp_path, syntax):
    path = written(tmp_path, syntax)
    content = path.read_bytes()
    path.write_bytes(content[:-300] + b"\xff" * 512 + content[-300:])
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"slice\.dcm: "):
            values_of(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("missing", [*range(1, 10), 100])
@pytest.mark.parametrize("syntax", COMPRESSED.values(), ids=COMPRESSED)
def test_bytes_missing_in_compressed_pixels_then_refused(tmp_path, syntax, missing):
    path = written(tmp_path, syntax)
    content = path.read_bytes()
    path.write_bytes(content[: -120 - missing] + content[-120:])
    assert damage_of(path)


def test_elements_behind_the_pixels_then_no_damage(tmp_path):
    data = slice_dataset(GRID, 1, GRID.hu()[1], Encoding())
    data.add_new(0xFFFCFFFC, "OB", bytes(30))  # Data Set Trailing Padding
    assert not damage_of(save(data, tmp_path, "slice.dcm"))


def test_more_pixels_than_the_header_states_then_refused_unless_zeros(tmp_path):
    data = slice_dataset(GRID, 1, GRID.hu()[1], Encoding())
    pixels = data.PixelData
    data.PixelData = pixels + bytes(100)
    path = save(data, tmp_path, "slice.dcm")
    assert not damage_of(path)
    np.testing.assert_array_equal(values_of(path), GRID.hu()[1])
    data.PixelData = pixels + b"\1" * 100
    assert "does not match its header" in damage_of(save(data, tmp_path, "slice.dcm"))


@pytest.mark.parametrize("keyword", ["Rows", "Columns"])
def test_absurd_size_then_refused_before_anything_is_allocated(tmp_path, keyword):
    data = slice_dataset(
        GRID, 1, GRID.hu()[1], Encoding(RLELossless, signed=False, intercept=-1024)
    )
    setattr(data, keyword, 16000)
    with pytest.raises(ValueError, match="its pixels cannot be read"):
        values_of(save(data, tmp_path, "slice.dcm"))
    setattr(data, keyword, 65535)
    with pytest.raises(ValueError, match=f"{keyword} must be 1 to 16384, got 65535"):
        damage_of(save(data, tmp_path, "slice.dcm"))


@pytest.mark.parametrize("name", ["JPEG-LS", "JPEG 2000", "JPEG lossless"])
def test_compressed_pixels_of_other_size_than_the_header_then_refused_undecoded(tmp_path, name):
    encoding = Encoding(COMPRESSED[name], signed=False, intercept=-1024)
    data = slice_dataset(GRID, 1, GRID.hu()[1], encoding)
    shape = GRID.hu()[1].shape
    assert coded_size(data.PixelData) == shape
    data.Rows, data.Columns = data.Columns, data.Rows
    with pytest.raises(ValueError, match=rf"they have \({shape[0]}, {shape[1]}\) rows and columns"):
        values_of(save(data, tmp_path, "slice.dcm"))


def test_pixels_that_state_no_size_then_none(tmp_path):
    encoding = Encoding(RLELossless, signed=False, intercept=-1024)
    assert coded_size(slice_dataset(GRID, 1, GRID.hu()[1], encoding).PixelData) is None
    assert coded_size(b"") is None
