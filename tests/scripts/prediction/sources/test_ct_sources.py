import os
import resource
from pathlib import Path

import numpy as np
import pydicom
import pytest

from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.sources.inventory import DICOM_SERIES, VOLUME_FILE
from scripts.prediction.sources.source_access import digest_of, open_source
from scripts.storage.archive import Limits
from scripts.volumes.dicom.pixels import read_volume_of
from scripts.volumes.volume_files import data_file_named_by
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
    assert digest_of(in_zip.sources[0]) == digest_of(in_folder.sources[0])
    assert "omebody" not in names_of(in_zip)[0]


def test_volumes_then_named_by_their_stems_cleaned(tmp_path):
    header = b"ElementDataFile = x.raw"
    content = {"a/CT scan (1).nii.gz": b"", "b/x.mhd": header, "b/x.raw": b"", "notes.txt": b""}
    found = find_sources(write_files(tmp_path, content))
    assert names_of(found) == ["CT-scan-1", "x"]
    assert {source.kind for source in found.sources} == {VOLUME_FILE}
    assert [file.parts[-1] for file in found.sources[1].files] == ["x.mhd", "x.raw"]


HEADERS = {
    "scan.mhd": b"ObjectType = Image\nElementDataFile = %s\n",
    "scan.mha": b"ObjectType = Image\nElementDataFile = %s\n",
    "scan.nrrd": b"NRRD0004\ntype: short\ndata file: %s\n",
    "scan.nhdr": b"NRRD0004\ntype: short\ndata file: %s\n",
}


@pytest.mark.parametrize("zipped", [False, True], ids=["in a folder", "in a zip"])
@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("data", ["voxels.bin", "other/voxels.dat", "\u60a3\u8005.raw"])
def test_volume_when_its_header_names_a_voxel_file_then_part_of_it(tmp_path, name, data, zipped):
    content = {f"p/{name}": HEADERS[name] % data.encode(), f"p/{data}": b"12", "p/scan.raw": b""}
    if zipped:
        content = {"x.zip": zip_bytes(content)}
    (source,) = find_sources(write_files(tmp_path, content)).sources
    assert ["/".join(file.parts[1 + zipped :]) for file in source.files] == [name, data]


@pytest.mark.parametrize("named", [b"/etc/passwd", b"../secret.raw", b"p/../../a.raw", b"LIST"])
@pytest.mark.parametrize("name", HEADERS)
def test_volume_in_a_zip_when_its_header_points_outside_then_refused(tmp_path, name, named):
    content = {f"p/{name}": HEADERS[name] % named, "secret.raw": b"12", "passwd": b"12"}
    write_files(tmp_path, {"x.zip": zip_bytes(content), "secret.raw": b"12"})
    (source,) = find_sources(tmp_path / "x.zip").sources
    assert len(source.files) == 1
    with open_source(source) as access, pytest.raises(ValueError, match="folder|several data"):
        data_file_named_by(access.read().name, access.read().read_bytes())


def test_dicomdir_as_the_source_then_its_folder_asked_for(tmp_path):
    (remark,) = find_sources(write_files(tmp_path, {"DICOMDIR": b"x"}) / "DICOMDIR").refused
    assert remark.reason.endswith("an index of DICOM files; give the folder that it lies in")


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
    assert "1 unreadable files beside the slices" in found.sources[0].notes[-1]


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
    for name in ("ct", "thin"):
        write_series(tmp_path / name, abdomen(), series=name)
    monkeypatch.setattr("scripts.prediction.sources.ct_sources.MOST_HEADERS", 30)
    first, second = find_sources(tmp_path).sources
    assert [len(first.slices), len(second.slices)] == [24, 0]
    assert len(second.files) == 24


def accounted(found):
    """How many files are used, skipped and refused."""
    used = sum(len(source.files) for source in found.sources)
    return used, len(found.skipped), len(found.refused)


def test_every_file_then_used_skipped_or_refused(tmp_path):
    slices = write_series(tmp_path / "ct", abdomen())
    whole = slices[3].read_bytes()
    strange = {
        "ct/notes.txt": b"text", "ct/LICENSE": b"text too", "ct/.DS_Store": b"\0\1",
        "ct/a.jpg": b"\xff",
        "ct/Thumbs.db": b"\1\2", "DICOMDIR": b"x", "__MACOSX/ct/._image_0": b"\0\5\x16\7",
        "ct/empty.txt": b"",
    }  # fmt: skip
    suspect = {
        "ct/IM0001": b"", "ct/IM0002": b"\0\1\2\3" * 99, "ct/x.dcm": b"text", "ct/y.ima": b"",
        "ct/1.2.840.7": b"", "ct/IM0003": whole[:300], "ct/z.zip": b"PK",
    }  # fmt: skip
    write_files(tmp_path, {**strange, **suspect})
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "ring").symlink_to(tmp_path / "ring")
    found = find_sources(tmp_path)
    assert accounted(found) == (24, len(strange) + 1, len(suspect) + 2)
    assert {remark.reason for remark in found.skipped} == {
        "neither DICOM nor a volume", "hidden, or left by the operating system", "an empty file",
        "DICOMDIR, an index of DICOM files", "a hidden folder", "a link to a folder above it",
    }  # fmt: skip
    assert found.sources[0].left_out["an empty file"] == 4


def test_files_without_preamble_then_read_like_the_others(tmp_path):
    for number, file in enumerate(write_series(tmp_path, abdomen())):
        content = file.read_bytes()
        file.unlink()
        kept = content[132:] if number % 2 else content[content.index(b"\x08\0\x08\0CS") :]
        (tmp_path / f"IM{number:04d}").write_bytes(kept if number % 3 else content)
    found = find_sources(tmp_path)
    assert accounted(found) == (24, 0, 0)
    with open_source(found.sources[0]) as access:
        np.testing.assert_array_equal(read_volume_of(access.read()).hu, abdomen().hu)


@pytest.mark.parametrize("kind", ["CT", "none"])
def test_header_cut_before_its_modality_then_refused_by_name(tmp_path, kind):
    files = write_series(tmp_path, abdomen())
    content = files[5].read_bytes()
    files[5].write_bytes(
        content[: content.index(b"\x08\0\x60\0CS")] if kind == "CT" else content[:150]
    )
    found = find_sources(tmp_path)
    assert accounted(found) == (23, 0, 1)
    assert str(found.refused[0]).startswith(str(files[5]))


def test_folder_that_cannot_be_listed_then_refused_by_name_and_the_rest_found(
    series, tmp_path, monkeypatch
):
    content = {f"{n}/{f.name}": f.read_bytes() for n in ("ct", "closed") for f in series.iterdir()}
    write_files(tmp_path, content)
    listing = Path.iterdir

    def denied(path):
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", denied)
    found = find_sources(tmp_path)
    assert accounted(found) == (24, 0, 1)
    assert str(found.refused[0]) == f"{tmp_path}/closed: cannot be read: Permission denied"


def test_names_that_are_not_utf_8_then_printable(series, tmp_path):
    folder = tmp_path / os.fsdecode("患者".encode("gbk"))
    folder.mkdir()
    for file in series.iterdir():
        (folder / os.fsdecode(b"\xd6" + file.name.encode())).write_bytes(file.read_bytes())
    (folder / "x.dcm").write_text("text")
    found = find_sources(tmp_path)
    assert accounted(found) == (24, 0, 1)
    for text in (str(found.refused[0]), found.sources[0].location):
        assert "\\xbb\xbc" in text.encode("unicode_escape").decode() or "\\xbb" in text
        text.encode("utf-8")
    with open_source(found.sources[0]) as access:
        assert len(access.read().slices) == 24
        access.for_screen("slice-0001").encode("utf-8")


def test_many_zips_then_few_open_at_a_time(series, tmp_path):
    files = sorted(series.iterdir())
    for number in range(300):
        content = {f"ct/{files[number % 24].name}": files[number % 24].read_bytes()}
        write_files(tmp_path, {f"{number:03d}.zip": zip_bytes(content)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, hard))
    try:
        found = find_sources(tmp_path)
        with open_source(found.sources[0]) as access:
            np.testing.assert_array_equal(read_volume_of(access.read()).hu, abdomen().hu)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert accounted(found) == (24, 276, 0)
