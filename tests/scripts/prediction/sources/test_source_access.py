"""Sources made ready to be read: neutral names, and nothing of the patient's in errors."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.sources.source_access import digest_of, open_source
from scripts.volumes.dicom.pixels import read_volume_of
from tests.scripts.datasets.ircadb.zips import write_files, zip_bytes
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import write_nifti, write_series


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    write_series(folder, abdomen())
    return folder


def source_of(series, tmp_path, *, zipped):
    """The series' source; in a zip it lies in a folder with a patient's name."""
    if not zipped:
        return find_sources(series).sources[0]
    content = {f"Quixotic/{file.name}": file.read_bytes() for file in series.iterdir()}
    return find_sources(write_files(tmp_path, {"x.zip": zip_bytes(content)}) / "x.zip").sources[0]


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_series_then_neutral_names_and_the_ct_read(series, tmp_path, zipped):
    source = source_of(series, tmp_path, zipped=zipped)
    with open_source(source) as access:
        read = access.read()
        assert sorted(each.place for each in read.slices) == [
            f"{source.name}/slice-{number + 1:04d}" for number in range(24)
        ]
        np.testing.assert_array_equal(read_volume_of(read).hu, abdomen().hu)
        message = access.for_record(f"{source.files[1].location}: cannot be unpacked")
        assert message == f"{source.name}/slice-0002: cannot be unpacked"
        assert access.for_screen(message) == f"{source.files[1].parts[-1]}: cannot be unpacked"


def test_series_whose_headers_were_not_kept_then_read_again(series, tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.prediction.sources.ct_sources.MOST_HEADERS", 0)
    source = source_of(series, tmp_path, zipped=True)
    assert not source.slices
    with open_source(source) as access:
        np.testing.assert_array_equal(read_volume_of(access.read()).hu, abdomen().hu)


def test_file_replaced_after_listing_then_refused_without_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr("scripts.prediction.sources.ct_sources.MOST_HEADERS", 0)
    files = write_series(tmp_path / "Quixotic", abdomen())
    source = find_sources(tmp_path).sources[0]
    files[3].write_text("no longer DICOM")
    with pytest.raises(ValueError, match=r"^ct-[0-9a-f]+: a slice is no longer a DICOM file$"):
        open_source(source).__enter__()


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_slice_damaged_after_listing_then_its_neutral_name_in_the_record(tmp_path, zipped):
    files = write_series(tmp_path / "Quixotic", abdomen())
    source = source_of(tmp_path / "Quixotic", tmp_path / "z", zipped=zipped)
    with open_source(source) as access:
        if zipped:
            with zipfile.ZipFile(tmp_path / "z" / "x.zip", "w") as archive:
                archive.writestr("else", b"")
        else:
            files[3].unlink()
        with pytest.raises(ValueError, match="its pixels cannot be read") as caught:
            read_volume_of(access.read())
    record = access.for_record(str(caught.value))
    assert record.startswith(f"{source.name}/slice-00")
    assert "Quixotic" not in record
    assert str(tmp_path) not in record


def test_volume_in_a_zip_then_unpacked_with_its_voxels_and_removed_again(tmp_path):
    header = b"ElementDataFile = sub/other.raw"
    members = {"p/scan.mhd": header, "p/sub/other.raw": b"voxels", "p/scan.raw": b""}
    write_files(tmp_path, {"x.zip": zip_bytes(members)})
    (source,) = find_sources(tmp_path / "x.zip").sources
    with open_source(source) as access:
        path = access.read()
        assert path.read_bytes() == header
        assert (path.parent / "sub" / "other.raw").read_bytes() == b"voxels"
        assert access.for_record(f"{path}: cut short") == "scan/scan.mhd: cut short"
    assert not path.parent.parent.exists()


def test_volume_on_the_disk_then_read_where_it_is(tmp_path):
    path = write_nifti(tmp_path / "Quixotic.nii", abdomen())
    with open_source(find_sources(path).sources[0]) as access:
        assert access.read() == path
        assert "tmp" not in access.for_record(f"{path}: cut short")


def test_digest_then_changes_with_the_content(tmp_path):
    path = write_nifti(tmp_path / "a.nii", abdomen())
    before = digest_of(find_sources(path).sources[0])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    Path(path).write_bytes(bytes(content))
    assert digest_of(find_sources(path).sources[0]) != before


def test_digest_of_a_series_then_that_of_its_instances(series, tmp_path):
    in_zip = source_of(series, tmp_path, zipped=True)
    assert digest_of(in_zip) == digest_of(source_of(series, tmp_path, zipped=False))
