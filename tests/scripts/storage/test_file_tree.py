import pytest

from scripts.storage.archive import ArchiveReader, Limits
from scripts.storage.file_tree import folder_files, tree_files
from tests.scripts.datasets.ircadb.zips import write_files, zip_bytes


def test_folder_with_stray_files_then_left_out(tmp_path):
    stray = {".DS_Store": b"", "liver/._image_0": b"", "__MACOSX/x": b"", "liver/image_0": b"s"}
    files = list(folder_files(write_files(tmp_path, stray), ("root",)))
    assert [file.parts for file in files] == [("root", "liver", "image_0")]


def test_folder_that_links_to_itself_then_listing_ends(tmp_path):
    write_files(tmp_path, {"liver/image_0": b""})
    (tmp_path / "liver" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert len(list(folder_files(tmp_path, ()))) == 1
    with ArchiveReader() as reader:
        link, file = tree_files(reader, tmp_path)
    assert (link.reason, file.parts) == ("a link to a folder above it", ("liver", "image_0"))


def test_folder_that_cannot_be_read_then_an_error_and_the_rest_is_listed(tmp_path, locked):
    write_files(tmp_path, {"a/image_0": b"s", "b/image_0": b"s"})
    locked(tmp_path / "a")
    error, file = folder_files(tmp_path, ())
    assert str(error) == f"{tmp_path / 'a'}: cannot be read: Permission denied"
    assert file.parts == ("b", "image_0")
    with ArchiveReader() as reader:
        assert [type(item).__name__ for item in tree_files(reader, tmp_path)] == [
            "ListingError",
            "File",
        ]


def test_tree_with_zips_in_it_then_every_file_by_its_parts(tmp_path):
    inner = zip_bytes({"liver/image_0": b"slice", "__MACOSX/liver/._image_0": b""})
    outer = zip_bytes({"p/MASKS_DICOM.zip": inner})
    write_files(tmp_path, {"a/scan.mhd": b"volume", "outer.zip": outer})
    with ArchiveReader() as reader:
        found = {file.parts: file.location for file in tree_files(reader, tmp_path)}
        inside = ("outer.zip", "p", "MASKS_DICOM.zip", "liver", "image_0")
        assert found.keys() == {("a", "scan.mhd"), inside}
        assert reader.read(found[inside]) == b"slice"


def test_tree_with_one_bad_zip_then_the_rest_is_listed(tmp_path):
    write_files(tmp_path, {"a.zip": b"no zip", "b.zip": zip_bytes({"image_0": b"slice"})})
    with ArchiveReader() as reader:
        error, file = tree_files(reader, tmp_path)
    assert "a.zip: is not a complete zip" in str(error)
    assert file.parts == ("b.zip", "image_0")


def bomb(inner_bytes: int) -> bytes:
    return zip_bytes({"image_0": bytes(inner_bytes)})


@pytest.mark.parametrize(
    ("content", "limits", "reason"),
    [
        (
            bomb(1 << 20),
            Limits(archive_bytes=1 << 10, expansion=100),
            "must unpack to at most 100 times its size",
        ),
        (bomb(1 << 20), Limits(total_bytes=1 << 19), "must unpack to at most 524288 bytes"),
        (
            zip_bytes({f"{n}.zip": bomb(1 << 19) for n in range(4)}),
            Limits(total_bytes=1 << 20),
            "with its nested zips",
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
