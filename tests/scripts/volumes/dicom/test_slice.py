import io
import zipfile

import pytest

from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.dicom.slice import DamagedFileError, read_slice
from tests.scripts.volumes.dicom.test_series_volume import slice_dataset, write

PIXEL_BYTES = 6 * 8 * 2


def header_of(tmp_path, **changes):
    with ArchiveReader() as reader:
        path = write(tmp_path / "ct", [slice_dataset(0, **changes)]) / "file90"
        return read_slice(reader, Location(path))


def test_header_then_name_size_and_number_of_pixel_bytes(tmp_path):
    slice_file = header_of(tmp_path)
    assert (slice_file.name, slice_file.shape) == ("file90", (6, 8))
    assert slice_file.pixels.length == PIXEL_BYTES
    assert slice_file.content is None
    assert "PixelData" not in slice_file.header


def test_private_elements_then_left_out_of_the_header(tmp_path):
    data = slice_dataset(0)
    data.private_block(0x0009, "VENDOR", create=True).add_new(0x10, "LO", "secret")
    path = write(tmp_path / "ct", [data]) / "file90"
    with ArchiveReader() as reader:
        header = read_slice(reader, Location(path)).header
    assert not [tag for tag in header.keys() if tag.is_private]  # noqa: SIM118


def test_slice_in_a_zip_then_read_and_its_content_kept_when_asked_for(tmp_path):
    content = io.BytesIO()
    slice_dataset(0).save_as(content, enforce_file_format=True)
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        archive.writestr("ct/image", content.getvalue())
    with ArchiveReader() as reader:
        (member,) = reader.members(Location(tmp_path / "ct.zip"), ())
        slice_file = read_slice(reader, member.location, keep=True)
    assert slice_file.content == content.getvalue()
    assert slice_file.pixels.length == PIXEL_BYTES


def test_header_damaged_then_refused_by_name_and_no_dicom_is_none(tmp_path):
    path = write(tmp_path / "ct", [slice_dataset(0, Rows=0)]) / "file90"
    other = tmp_path / "notes.txt"
    other.write_text("not DICOM")
    with ArchiveReader() as reader:
        with pytest.raises(DamagedFileError, match="ct/file90: damaged DICOM file: Rows must be 1"):
            read_slice(reader, Location(path))
        assert read_slice(reader, Location(other)) is None


def test_element_missing_then_none_default_or_refused_with_the_reason(tmp_path):
    slice_file = header_of(tmp_path, PixelSpacing=None, RescaleSlope=None)
    assert slice_file.numbers("PixelSpacing") is None
    assert slice_file.number("RescaleSlope", 1.0) == 1.0
    with pytest.raises(ValueError, match="file90: PixelSpacing is missing; without it sizes in mm"):
        slice_file.required("PixelSpacing")


def test_element_with_other_values_than_it_has_then_refused_by_file(tmp_path):
    slice_file = header_of(tmp_path, SliceLocation=7.5, PatientID="A7")
    assert slice_file.required("SliceLocation") == (7.5,)
    with pytest.raises(ValueError, match="file90: PatientID must be numbers"):
        slice_file.numbers("PatientID")
    slice_file.header.PixelSpacing = [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="PixelSpacing must be 2 finite numbers, got"):
        slice_file.numbers("PixelSpacing")


def nested(depth):
    """A sequence in a sequence ..., of undefined length as explicit VR writes it."""
    start, stop = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff", b"\xfe\xff\xdd\xe0\0\0\0\0"
    item, end = b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0"
    return (start + item) * depth + (end + stop) * depth


@pytest.mark.parametrize("depth", [40, 250, 5000])
def test_sequences_nested_deep_then_refused_by_name(tmp_path, depth):
    path = write(tmp_path / "ct", [slice_dataset(0)]) / "file90"
    content = path.read_bytes()
    at = content.index(b"\x20\0\x0e\0UI")
    path.write_bytes(content[:at] + nested(depth) + content[at:])
    message = "file90: damaged DICOM.*nested"
    with ArchiveReader() as reader, pytest.raises(DamagedFileError, match=message):
        read_slice(reader, Location(path))


def test_few_sequences_then_read(tmp_path):
    path = write(tmp_path / "ct", [slice_dataset(0)]) / "file90"
    content = path.read_bytes()
    at = content.index(b"\x20\0\x0e\0UI")
    path.write_bytes(content[:at] + nested(5) + content[at:])
    with ArchiveReader() as reader:
        assert not read_slice(reader, Location(path)).pixels.damage
