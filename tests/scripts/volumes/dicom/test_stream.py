"""Bytes for a parser: what begins like DICOM, deflated data sets, lengths beyond the file."""

import io
import struct
import zlib

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from scripts.volumes.dicom.stream import Bounded, data_set_stream, is_dicom
from tests.scripts.volumes.dicom.test_series_volume import slice_dataset


def content_of(**changes):
    buffer = io.BytesIO()
    slice_dataset(0, **changes).save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def deflated():
    data = slice_dataset(0)
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("start", [0, 132], ids=["with preamble", "without"])
def test_dicom_then_recognised(start):
    assert is_dicom(content_of()[start:])


@pytest.mark.parametrize(
    "content",
    [b"", b"\x08", b"\x08\0 a text that goes on", b"\xff\xd8\xff\xe0" + bytes(200), bytes(300)],
    ids=["empty", "one byte", "text", "JPEG", "zeros"],
)  # fmt: skip
def test_other_content_then_not_taken_for_dicom(content):
    assert not is_dicom(content)


def test_read_beyond_the_end_then_only_what_is_there_is_asked_for():
    class Asked(io.BytesIO):
        most = 0

        def read(self, count=-1):
            self.most = max(self.most, count)
            return super().read(count)

    file = Asked(b"12345")
    bounded = Bounded(file)
    bounded.seek(2)
    assert bounded.read(4 << 30) == b"345"
    assert file.most == 3
    assert bounded.tell() == 5


def test_deflated_then_the_inflated_data_set_and_its_meta():
    stream, meta = data_set_stream(io.BytesIO(deflated()))
    assert meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    assert struct.unpack("<H", stream.read(2)) == (8,)
    plain, none = data_set_stream(io.BytesIO(content_of()))
    assert none is None
    assert plain.tell() == 0


def test_deflated_and_cut_then_as_far_as_it_goes_and_damaged_then_refused():
    content = deflated()
    whole = data_set_stream(io.BytesIO(content))[0].read()
    part = data_set_stream(io.BytesIO(content[:-8]))[0].read()
    assert part == whole[: len(part)]
    assert len(part) > len(whole) // 2
    with pytest.raises(zlib.error):
        data_set_stream(io.BytesIO(content[:400] + b"\xff" * 40 + content[440:]))


def test_deflated_bomb_then_refused_at_the_limit(monkeypatch):
    monkeypatch.setattr("scripts.volumes.dicom.stream.MOST_INFLATED", 100)
    with pytest.raises(ValueError, match="inflates to more than 100 bytes"):
        data_set_stream(io.BytesIO(deflated()))
