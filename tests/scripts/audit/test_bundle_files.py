"""Files of bundles in folders and zips."""

import zipfile

import pytest

from scripts.audit import bundle_files
from scripts.audit.bundle_files import FolderFiles, ZipFiles, open_bundle

FILES = {"configs/train.json": b"{}", "models/model.pt": b"12345"}


@pytest.fixture(params=["folder", "zip", "zip without a folder"])
def files(request, tmp_path):
    if request.param == "folder":
        for name, content in FILES.items():
            (tmp_path / "b" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "b" / name).write_bytes(content)
        return open_bundle(tmp_path / "b")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name if "without" in request.param else f"b/{name}", content)
    return open_bundle(tmp_path / "b.zip")


def test_files_then_named_below_the_bundle_and_read(files):
    assert files.names() == sorted(FILES)
    for name, content in FILES.items():
        assert files.read(name) == files.read_inside(name) == content
        assert files.size(name) == len(content)
        with files.open(name) as file:
            assert file.read() == content
        assert not files.is_link(name)
    assert files.read("configs/none.json") is None
    assert files.read_inside("none.py") is None


def test_text_that_is_far_too_large_then_refused(files, monkeypatch):
    monkeypatch.setattr(bundle_files, "MOST_TEXT", 4)
    assert files.read("configs/train.json") == b"{}"
    with pytest.raises(ValueError, match="must have at most"):
        files.read("models/model.pt")


def test_far_too_many_files_then_refused(files, monkeypatch, tmp_path):
    monkeypatch.setattr(bundle_files, "MOST_FILES", 1)
    with pytest.raises(ValueError, match="must be a bundle, has more than 1 files"):
        open_bundle(tmp_path / ("b" if isinstance(files, FolderFiles) else "b.zip")).names()


def test_link_then_listed_and_known_as_one(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "link.json").symlink_to(tmp_path / "secret")
    assert FolderFiles(tmp_path / "b").is_link("link.json")
    info = zipfile.ZipInfo("link.json")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr(info, str(tmp_path / "secret"))
    assert ZipFiles(tmp_path / "b.zip").is_link("link.json")


def test_disk_of_a_bundle_then_its_own_files_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "a.json").write_text("here")
    disk = FolderFiles(tmp_path / "b")
    assert (disk.read("a.json"), disk.read_inside("a.json")) == (b"here", None)
    (tmp_path / "b" / "a.json").write_text("of the bundle")
    assert disk.read("a.json") == disk.read_inside("a.json") == b"of the bundle"
    assert disk.read("a\0b") is None


def test_damaged_member_then_refused_by_name(tmp_path):
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", b"abcdefgh" * 9)
    content = bytearray(path.read_bytes())
    content[40] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json: cannot be unpacked"):
        ZipFiles(path).read("a.json")


def test_nothing_and_no_zip_then_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="config: must be a folder, a zip or"):
        open_bundle(tmp_path / "none.zip")
    (tmp_path / "a.zip").write_text("text")
    with pytest.raises(ValueError, match="is not a complete zip"):
        open_bundle(tmp_path / "a.zip")
