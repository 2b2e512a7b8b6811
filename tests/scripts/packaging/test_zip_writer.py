import zipfile

import pytest

from scripts.packaging.zip_writer import write_zip


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "bundle"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "model.pt").write_bytes(bytes(5000))
    (folder / "LICENSE").write_text("free " * 1000)
    return folder


def test_zip_then_sorted_below_one_folder_and_weights_stored(folder, tmp_path):
    write_zip(folder, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        infos = archive.infolist()
    assert [info.filename for info in infos] == ["bundle/LICENSE", "bundle/models/model.pt"]
    assert [info.compress_size < info.file_size for info in infos] == [True, False]


def test_same_files_at_another_time_then_equal_bytes(folder, tmp_path):
    write_zip(folder, tmp_path / "a.zip")
    text = (folder / "LICENSE").read_text()
    (folder / "LICENSE").unlink()
    (folder / "LICENSE").write_text(text)
    (folder / "LICENSE").chmod(0o600)
    write_zip(folder, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_zip_when_a_file_cannot_be_read_then_the_older_one_stays(folder, tmp_path, monkeypatch):
    (tmp_path / "a.zip").write_text("older")

    def fail(*_):
        raise OSError("bad disk")

    monkeypatch.setattr("shutil.copyfileobj", fail)
    with pytest.raises(OSError, match="bad disk"):
        write_zip(folder, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_text() == "older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "bundle"]
