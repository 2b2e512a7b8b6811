import os
import random
import zipfile
from pathlib import Path

import pytest

from scripts.storage import archive as archive_module
from scripts.storage.archive import ArchiveReader, Limits, Location, member_parts, printable
from tests.scripts.datasets.ircadb.zips import write_files, zip_bytes


@pytest.fixture
def nested(tmp_path):
    inner = zip_bytes(
        {"liver/image_0": b"slice", "__MACOSX/liver/._image_0": b"", "Thumbs.db": b""}
    )
    return write_files(tmp_path, {"outer.zip": zip_bytes({"p/MASKS_DICOM.zip": inner})})


def in_nested(folder: Path) -> Location:
    return Location(folder / "outer.zip", ("p/MASKS_DICOM.zip",))


def test_zip_in_zip_then_members_read_and_nothing_on_disk(nested):
    with ArchiveReader() as reader:
        (file,) = reader.members(in_nested(nested), ("p", "MASKS_DICOM"))
        assert file.parts == ("p", "MASKS_DICOM", "liver", "image_0")
        assert reader.read(file.location) == b"slice"
    assert [path.name for path in nested.iterdir()] == ["outer.zip"]


@pytest.mark.parametrize(
    "name",
    ["../x", "liver/../../x", "/etc/x", "\\x", "C:/x", "c:x", "liver\\..\\..\\x", "//host/x"],
)
def test_member_outside_its_folder_then_refused_by_name(name):
    with pytest.raises(ValueError, match="would be unpacked outside its folder; not read"):
        member_parts(zipfile.ZipInfo(name))


def test_member_that_is_a_link_then_refused():
    link = zipfile.ZipInfo("liver/image_0")
    link.external_attr = 0o120777 << 16
    with pytest.raises(ValueError, match="is a link"):
        member_parts(link)


def test_encrypted_member_then_refused():
    info = zipfile.ZipInfo("liver/image_0")
    info.flag_bits |= 0x1
    with pytest.raises(ValueError, match="is encrypted"):
        member_parts(info)


def test_one_refused_member_then_the_others_are_listed(tmp_path):
    folder = write_files(tmp_path, {"a.zip": zip_bytes({"../evil": b"x", "liver/image_0": b"y"})})
    with ArchiveReader() as reader:
        refused, file = reader.members(Location(folder / "a.zip"), ())
    assert isinstance(refused, ValueError)
    assert "a.zip: member '../evil'" in str(refused)
    assert file.parts == ("liver", "image_0")


@pytest.mark.parametrize("limits", [Limits(file_bytes=4), Limits(archive_bytes=50)], ids=str)
def test_larger_than_the_limit_then_refused_unread(nested, limits):
    with ArchiveReader(limits) as reader, pytest.raises(ValueError, match="must have at most"):
        reader.read(in_nested(nested).member("liver/image_0"))


def test_file_on_disk_larger_than_the_limit_then_refused(tmp_path):
    folder = write_files(tmp_path, {"image_0": b"12345"})
    with ArchiveReader(Limits(file_bytes=4)) as reader, pytest.raises(ValueError, match="has 5"):
        reader.read(Location(folder / "image_0"))


def test_too_many_members_then_refused(tmp_path):
    folder = write_files(tmp_path, {"a.zip": zip_bytes({"1": b"", "2": b"", "3": b""})})
    with ArchiveReader(Limits(members=2)) as reader, pytest.raises(ValueError, match="has 3"):
        list(reader.members(Location(folder / "a.zip"), ()))


def test_zips_nested_too_deep_then_refused(nested):
    with (
        ArchiveReader(Limits(depth=1)) as reader,
        pytest.raises(ValueError, match="nested more than 1 deep"),
    ):
        list(reader.members(in_nested(nested), ()))


def test_truncated_zip_then_named(tmp_path):
    whole = zip_bytes({"image_0": bytes(1000)})
    folder = write_files(tmp_path, {"a.zip": whole[:-30]})
    with (
        ArchiveReader() as reader,
        pytest.raises(ValueError, match=r"a\.zip: is not a complete zip"),
    ):
        list(reader.members(Location(folder / "a.zip"), ()))


def test_damaged_member_then_named(tmp_path):
    whole = bytearray(zip_bytes({"image_0": b"abcdefgh" * 100}))
    whole[40] ^= 0xFF
    folder = write_files(tmp_path, {"a.zip": bytes(whole)})
    with ArchiveReader() as reader, pytest.raises(ValueError, match="a.zip/image_0: cannot be"):
        reader.read(Location(folder / "a.zip", ("image_0",)))


def test_missing_member_then_named(nested):
    with ArchiveReader() as reader, pytest.raises(ValueError, match="no such member"):
        reader.read(in_nested(nested).member("spleen/image_0"))


def test_directory_of_a_zip_then_refused_members_are_in_it_too(tmp_path):
    folder = write_files(tmp_path, {"a.zip": zip_bytes({"../evil": b"x", "liver/image_0": b"y"})})
    with ArchiveReader() as reader:
        entries = reader.directory(Location(folder / "a.zip"))
    assert [entry.filename for entry in entries] == ["../evil", "liver/image_0"]


def test_member_opened_then_read_in_pieces_past_the_limit(nested):
    with ArchiveReader(Limits(file_bytes=1)) as reader:
        with reader.open(in_nested(nested).member("liver/image_0")) as member:
            assert (member.read(2), member.read()) == (b"sl", b"ice")
        with pytest.raises(ValueError, match="no such member"):
            reader.open(in_nested(nested).member("liver/image_1"))


def test_encrypted_member_then_neither_opened_nor_read(tmp_path):
    content = bytearray(zip_bytes({"image_0": b"slice"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    folder = write_files(tmp_path, {"a.zip": bytes(content)})
    member = Location(folder / "a.zip", ("image_0",))
    with ArchiveReader() as reader:
        for read in (reader.open, reader.read):
            with pytest.raises(ValueError, match=r"a\.zip/image_0: cannot be unpacked.*encrypted"):
                read(member)


METHODS = {"deflate": zipfile.ZIP_DEFLATED, "bzip2": zipfile.ZIP_BZIP2, "LZMA": zipfile.ZIP_LZMA}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_member_damaged_in_any_compression_then_named(tmp_path, method):
    content = random.Random(0).randbytes(4000)
    for at in range(40, 140, 10):
        with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
            archive.writestr("image_0", content)
        packed = bytearray((tmp_path / "a.zip").read_bytes())
        packed[at] ^= 0x5A
        (tmp_path / "a.zip").write_bytes(bytes(packed))
        told = pytest.raises(ValueError, match=r"a\.zip/image_0: cannot be unpacked")
        with ArchiveReader() as reader, told:
            reader.read(Location(tmp_path / "a.zip", ("image_0",)))


def test_name_that_is_in_a_zip_twice_then_one_read_and_the_other_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("image_0", b"first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("image_0", b"second")
    with ArchiveReader() as reader:
        refused, file = reader.members(Location(tmp_path / "a.zip"), ())
        assert "member 'image_0' is in it twice" in str(refused)
        assert reader.read(file.location) == b"second"


def test_many_zips_then_only_the_last_few_open_and_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "MOST_IN_MEMORY", 400)
    inner = {f"{k}.zip": zip_bytes({"image_0": bytes([k])}) for k in range(12)}
    write_files(tmp_path, {"outer.zip": zip_bytes(inner)})
    write_files(tmp_path, {f"{k}.zip": zip_bytes({"image_0": bytes([k])}) for k in range(12)})
    with ArchiveReader() as reader:
        for k in range(12):
            nested_one = Location(tmp_path / "outer.zip", (f"{k}.zip", "image_0"))
            assert reader.read(nested_one) == bytes([k])
            assert reader.read(Location(tmp_path / f"{k}.zip", ("image_0",))) == bytes([k])
            assert len(reader._open) <= archive_module.MOST_OPEN
            assert sum(reader._in_memory.values()) <= 400


def test_names_of_other_systems_then_printable():
    assert printable(os.fsdecode(b"\xd6\xd0")) == "\\xd6\\xd0"
    assert printable("患者\n.dcm") == "患者\\n.dcm"
