"""Folders and zips of bundles, read alike."""

import zipfile

import pytest

from scripts.audit import places
from scripts.audit.places import Archive, Disk, place_of

FILES = {"configs/train.json": b"{}", "models/model.pt": b"12345"}


@pytest.fixture(params=["folder", "zip", "zip without a folder"])
def place(request, tmp_path):
    if request.param == "folder":
        for name, content in FILES.items():
            (tmp_path / "b" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "b" / name).write_bytes(content)
        return place_of(tmp_path / "b")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name if "without" in request.param else f"b/{name}", content)
    return place_of(tmp_path / "b.zip")


def test_files_then_named_below_the_bundle_and_read(place):
    assert place.names() == sorted(FILES)
    for name, content in FILES.items():
        assert place.read(name) == place.read_inside(name) == content
        assert place.size(name) == len(content)
        with place.open(name) as file:
            assert file.read() == content
        assert not place.is_link(name)
    assert place.read("configs/none.json") is None
    assert place.read_inside("none.py") is None


def test_text_that_is_far_too_large_then_refused(place, monkeypatch):
    monkeypatch.setattr(places, "MOST_TEXT", 4)
    assert place.read("configs/train.json") == b"{}"
    with pytest.raises(ValueError, match="larger"):
        place.read("models/model.pt")


def test_far_too_many_files_then_refused(place, monkeypatch, tmp_path):
    monkeypatch.setattr(places, "MOST_FILES", 1)
    with pytest.raises(ValueError, match="more than 1 files; is it a bundle"):
        place_of(tmp_path / ("b" if isinstance(place, Disk) else "b.zip")).names()


def test_link_then_listed_and_known_as_one(tmp_path):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "link.json").symlink_to(tmp_path / "secret")
    assert Disk(tmp_path / "b").is_link("link.json")
    info = zipfile.ZipInfo("link.json")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr(info, str(tmp_path / "secret"))
    assert Archive(tmp_path / "b.zip").is_link("link.json")


def test_disk_of_a_bundle_then_its_own_files_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "a.json").write_text("here")
    disk = Disk(tmp_path / "b")
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
    with pytest.raises(ValueError, match=r"a\.json is damaged"):
        Archive(path).read("a.json")


def test_nothing_and_no_zip_then_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="config: there is no"):
        place_of(tmp_path / "none.zip")
    (tmp_path / "a.zip").write_text("text")
    with pytest.raises(ValueError, match="is no zip that can be read"):
        place_of(tmp_path / "a.zip")
