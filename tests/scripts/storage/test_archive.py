import zipfile
from pathlib import Path

import pytest

from scripts.storage.archive import (
    ArchiveReader,
    Limits,
    Location,
    folder_files,
    member_parts,
    tree_files,
)
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
    with pytest.raises(ValueError, match="would land outside its folder; not read"):
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


def test_too_many_zips_in_one_another_then_refused(nested):
    with ArchiveReader(Limits(depth=1)) as reader, pytest.raises(ValueError, match="more than 1"):
        list(reader.members(in_nested(nested), ()))


def test_truncated_zip_then_named(tmp_path):
    whole = zip_bytes({"image_0": bytes(1000)})
    folder = write_files(tmp_path, {"a.zip": whole[:-30]})
    with ArchiveReader() as reader, pytest.raises(ValueError, match=r"a\.zip: is no whole zip"):
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


def test_folder_with_stray_files_then_left_out(tmp_path):
    stray = {".DS_Store": b"", "liver/._image_0": b"", "__MACOSX/x": b"", "liver/image_0": b"s"}
    files = list(folder_files(write_files(tmp_path, stray), ("root",)))
    assert [file.parts for file in files] == [("root", "liver", "image_0")]


def test_folder_that_links_to_itself_then_listing_ends(tmp_path):
    write_files(tmp_path, {"liver/image_0": b""})
    (tmp_path / "liver" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(list(folder_files(tmp_path, ()))) == 1


def test_tree_with_zips_in_it_then_every_file_by_its_parts(nested):
    write_files(nested, {"a/scan.mhd": b"volume"})
    with ArchiveReader() as reader:
        found = {file.parts: file.location for file in tree_files(reader, nested)}
        inside = ("outer.zip", "p", "MASKS_DICOM.zip", "liver", "image_0")
        assert found.keys() == {("a", "scan.mhd"), inside}
        assert reader.read(found[inside]) == b"slice"


def test_tree_with_one_bad_zip_then_the_rest_is_listed(tmp_path):
    write_files(tmp_path, {"a.zip": b"no zip", "b.zip": zip_bytes({"image_0": b"slice"})})
    with ArchiveReader() as reader:
        error, file = tree_files(reader, tmp_path)
    assert "a.zip: is no whole zip" in str(error)
    assert file.parts == ("b.zip", "image_0")


def bomb(inner_bytes: int) -> bytes:
    return zip_bytes({"image_0": bytes(inner_bytes)})


@pytest.mark.parametrize(
    ("content", "limits", "reason"),
    [
        (bomb(1 << 20), Limits(archive_bytes=1 << 10, expansion=100), "times its size, more than"),
        (bomb(1 << 20), Limits(total_bytes=1 << 19), "must unpack to at most 524288 bytes"),
        (
            zip_bytes({f"{n}.zip": bomb(1 << 19) for n in range(4)}),
            Limits(total_bytes=1 << 20),
            "with the zips inside it",
        ),
    ],
    ids=["expands too far", "too large", "too large together"],
)
def test_zip_bomb_then_refused_unread(tmp_path, content, limits, reason):
    write_files(tmp_path, {"a.zip": content})
    with ArchiveReader(limits) as reader:
        errors = [
            found for found in tree_files(reader, tmp_path / "a.zip") if not hasattr(found, "parts")
        ]
    assert len(errors) == 1
    assert reason in str(errors[0])
