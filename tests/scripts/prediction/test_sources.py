import pydicom
import pytest

from scripts.prediction.source_access import open_source
from scripts.prediction.sources import (
    DICOM_SERIES,
    VOLUME_FILE,
    find_sources,
)
from scripts.storage.archive import Limits
from tests.scripts.datasets.ircadb.zips import write_files, zip_bytes
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import write_series


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    write_series(folder, abdomen())
    return folder


def names_of(found):
    return [source.name for source in found.sources]


def test_two_series_in_one_folder_then_two_sources(tmp_path):
    for name in ("thick", "thin"):
        write_series(tmp_path / "ct", abdomen(), series=name)
    found = find_sources(tmp_path)
    assert [(source.kind, len(source.files)) for source in found.sources] == [
        (DICOM_SERIES, 24)
    ] * 2
    assert len(set(names_of(found))) == 2


def test_series_then_named_alike_wherever_it_lies_and_by_nothing_of_its_path(series, tmp_path):
    content = {f"Somebody/{file.name}": file.read_bytes() for file in series.iterdir()}
    write_files(tmp_path, {"somebody.zip": zip_bytes(content)})
    in_zip, in_folder = find_sources(tmp_path / "somebody.zip"), find_sources(series)
    assert names_of(in_zip) == names_of(in_folder)
    assert in_zip.sources[0].digest == in_folder.sources[0].digest
    assert "omebody" not in names_of(in_zip)[0]


def test_same_series_in_two_folders_then_names_differ_by_path(series, tmp_path):
    content = {f"{n}/{f.name}": f.read_bytes() for n in "ab" for f in series.iterdir()}
    names = names_of(find_sources(write_files(tmp_path, content)))
    assert len(set(names)) == 2
    assert names[0][:15] == names[1][:15]


def test_volumes_then_named_by_their_stems_cleaned(tmp_path):
    content = {"a/CT scan (1).nii.gz": b"", "b/x.mhd": b"", "b/x.raw": b"", "notes.txt": b""}
    found = find_sources(write_files(tmp_path, content))
    assert names_of(found) == ["CT-scan-1", "x"]
    assert {source.kind for source in found.sources} == {VOLUME_FILE}
    assert [file.parts[-1] for file in found.sources[1].files] == ["x.mhd", "x.raw"]


def test_volumes_of_one_stem_then_names_differ(tmp_path):
    names = names_of(find_sources(write_files(tmp_path, {"1/ct.nii": b"", "2/ct.nii.gz": b""})))
    assert len(set(names)) == 2
    assert all(name.startswith("ct-") for name in names)


def test_results_of_an_earlier_run_then_left_out(tmp_path):
    write_files(tmp_path, {"scan.nii": b"", "out/scan/mask.nii.gz": b""})
    assert names_of(find_sources(tmp_path, leave_out=tmp_path / "out")) == ["scan"]


def test_localiser_in_a_series_then_skipped_with_a_reason_and_the_slices_taken(tmp_path):
    files = write_series(tmp_path, abdomen())
    data = pydicom.dcmread(files[0])
    data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    data.save_as(files[0])
    found = find_sources(tmp_path)
    assert len(found.sources[0].files) == 23
    assert [remark.reason for remark in found.skipped] == ["localiser, not a slice"]
    assert not found.refused


def test_unreadable_file_among_slices_then_refused_and_noted(tmp_path):
    write_series(tmp_path, abdomen())
    (tmp_path / "bad.dcm").write_text("text")
    found = find_sources(tmp_path)
    assert str(found.refused[0]).endswith("bad.dcm: has the suffix of a DICOM file but is not one")
    assert "1 unreadable files in the folder" in found.sources[0].notes[0]


def test_member_outside_its_zip_then_refused_and_nothing_written(series, tmp_path):
    content = {f"ct/{file.name}": file.read_bytes() for file in series.iterdir()}
    write_files(tmp_path, {"a/x.zip": zip_bytes({"../evil": b"x", **content})})
    found = find_sources(tmp_path / "a")
    assert "member '../evil' would be unpacked outside its folder" in str(found.refused[0])
    assert "evil" not in found.refused[0].reason
    with open_source(found.sources[0]) as access:
        assert len(access.read().slices) == 24
    assert {path.name for path in tmp_path.rglob("*")} == {"a", "x.zip"}


def test_large_member_then_refused_unread(series, tmp_path):
    content = {f"ct/{file.name}": file.read_bytes() for file in series.iterdir()}
    write_files(tmp_path, {"x.zip": zip_bytes(content)})
    found = find_sources(tmp_path / "x.zip", limits=Limits(file_bytes=100))
    assert not found.sources
    assert "must have at most 100 bytes" in str(found.refused[0])


def test_damaged_member_then_its_path_given_once_and_the_others_taken(series, tmp_path):
    content = {f"ct/{file.name}": file.read_bytes() for file in series.iterdir()}
    packed = bytearray(zip_bytes(content))
    packed[len(packed) // 2] ^= 0xFF  # within a slice: its checksum no longer fits
    write_files(tmp_path, {"x.zip": bytes(packed)})
    found = find_sources(tmp_path / "x.zip")
    (refused,) = found.refused
    assert str(refused).count("x.zip") == 1
    assert "cannot be unpacked: Bad CRC-32" in str(refused)
    assert len(found.sources[0].files) == 23
    assert found.sources[0].notes


def test_nothing_at_the_path_then_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="source: no such file or folder"):
        find_sources(tmp_path / "none")


def test_series_beyond_the_most_headers_then_listed_without_them(series, tmp_path, monkeypatch):
    content = {f"{n}/{f.name}": f.read_bytes() for n in "ab" for f in series.iterdir()}
    monkeypatch.setattr("scripts.prediction.sources.MOST_HEADERS", 30)
    first, second = find_sources(write_files(tmp_path, content)).sources
    assert [len(first.slices), len(second.slices)] == [24, 0]
    assert len(second.files) == 24
