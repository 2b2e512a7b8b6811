"""Series scattered over folders and zips: joined, freed of copies, divided into volumes."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.uid import MediaStorageDirectoryStorage

from scripts.prediction.sources.ct_sources import find_sources
from scripts.prediction.sources.series_sources import COPY, SINGLE, SPOILT_COPY
from scripts.prediction.sources.source_access import open_source
from scripts.volumes.dicom.pixels import read_volume_of
from tests.scripts.datasets.ircadb.zips import write_files, zip_bytes
from tests.scripts.prediction.shapes import abdomen
from tests.scripts.prediction.studies import write_series


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Name -> content of a series of 24 slices, by position."""
    paths = write_series(tmp_path_factory.mktemp("series"), abdomen())
    return {path.name: path.read_bytes() for path in paths}


def shared_out(files, folders, *, interleaved=False):
    """Path -> content, the slices shared out among folders."""
    names = list(files)
    count = len(folders)
    share = -(-len(names) // count)
    where = {n: folders[i % count if interleaved else i // share] for i, n in enumerate(names)}
    return {f"{where[name]}/{name}": content for name, content in files.items()}


def scattered(files):
    three = shared_out(files, ["1", "2", "3"])
    odd_even = shared_out(files, ["odd", "even"], interleaved=True)
    alone = {f"{number}/image": content for number, content in enumerate(files.values())}
    zips = {f"{k}.zip": zip_bytes({"i": c}) for k, c in enumerate(files.values())}
    halves = [dict(list(files.items())[k::2]) for k in range(2)]
    nested = zip_bytes({"inner.zip": zip_bytes(halves[0])})
    return {
        "three folders": three,
        "odd and even": odd_even,
        "a folder for each file": alone,
        "a zip for each file": zips,
        "zip in a zip, and a folder": {
            "outer.zip": nested, **{f"rest/{name}": content for name, content in halves[1].items()}
        },
    }  # fmt: skip


LAYOUTS = ("three folders", "odd and even", "a folder for each file", "a zip for each file")


@pytest.mark.parametrize("layout", [*LAYOUTS, "zip in a zip, and a folder"])
def test_series_scattered_then_one_source_with_the_hu_of_the_whole(files, tmp_path, layout):
    found = find_sources(write_files(tmp_path, scattered(files)[layout]))
    (source,) = found.sources
    assert not found.skipped
    assert not found.refused
    with open_source(source) as access:
        np.testing.assert_array_equal(read_volume_of(access.read()).hu, abdomen().hu)


def test_copies_then_skipped_and_the_series_whole(files, tmp_path):
    twice = {**shared_out(files, ["a"]), "b.zip": zip_bytes(files)}
    found = find_sources(write_files(tmp_path, twice))
    (source,) = found.sources
    assert len(source.files) == 24
    assert [remark.reason for remark in found.skipped] == [COPY] * 24
    assert source.left_out == {}
    assert not source.notes


def changed(content, folder, **elements):
    """A slice with other values of some elements."""
    path = folder / "changed.dcm"
    path.write_bytes(content)
    data = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    data.save_as(path)
    content = path.read_bytes()
    path.unlink()
    return content


def test_one_uid_with_other_pixels_then_no_copy_but_refused(files, tmp_path):
    other = changed(files["ct-image_4.dcm"], tmp_path, RescaleIntercept=-1000)
    found = find_sources(write_files(tmp_path, {**shared_out(files, ["a"]), "b/x": other}))
    with (
        open_source(found.sources[0]) as access,
        pytest.raises(ValueError, match="have the same position"),
    ):
        access.read()


@pytest.mark.parametrize("number", ["1", "same"], ids=["by number", "by time alone"])
def test_two_phases_then_two_sources_with_a_note(files, tmp_path, number):
    content = {}
    for phase, (seconds, intercept) in enumerate([(0, -1024), (30, -924)], start=1):
        for k, (name, slice_) in enumerate(files.items()):
            content[f"{phase}-{name}"] = changed(
                slice_, tmp_path, SOPInstanceUID=f"1.2.{phase}.{k}", RescaleIntercept=intercept,
                AcquisitionNumber=phase if number == "1" else 1,
                AcquisitionTime=f"1010{seconds + k / 10:04.1f}",
            )  # fmt: skip
    found = find_sources(write_files(tmp_path, content))
    first, second = found.sources
    told_by = "AcquisitionNumber" if number == "1" else "AcquisitionTime"
    assert first.name[:-2] == second.name[:-2]
    assert second.notes == (f"volume 2 of 2 in its series, told apart by {told_by}",)
    for source, more in ((first, 0), (second, 100)):
        with open_source(source) as access:
            np.testing.assert_array_equal(read_volume_of(access.read()).hu, abdomen().hu + more)


@pytest.mark.parametrize("count", [1, 5], ids=["one slice", "five in one place"])
def test_bolus_series_beside_a_good_one_then_skipped_and_alone_refused(files, tmp_path, count):
    slice_ = files["ct-image_4.dcm"]
    bolus = {
        f"bolus/{k}": changed(slice_, tmp_path, SeriesInstanceUID="1.9", SOPInstanceUID=f"1.9.{k}")
        for k in range(count)
    }
    found = find_sources(write_files(tmp_path / "one", bolus))
    assert [remark.reason for remark in found.refused] == [SINGLE] * count
    found = find_sources(write_files(tmp_path / "two", {**bolus, **shared_out(files, ["ct"])}))
    assert len(found.sources) == 1
    assert not found.refused
    assert [remark.reason for remark in found.skipped] == [SINGLE] * count


def test_end_slices_missing_then_noted_from_numbers_or_counts(files, tmp_path):
    content = dict(list(files.items())[3:])
    numbered = {name: changed(c, tmp_path, ImagesInAcquisition=24) for name, c in content.items()}
    (by_number,) = find_sources(write_files(tmp_path / "a", content)).sources
    assert "numbered 3 to 23, 2 numbers are missing (1, 2)" in by_number.notes[0]
    last = dict(list(numbered.items())[:-3])
    (by_count,) = find_sources(write_files(tmp_path / "b", last)).sources
    assert "state 24 images in the series, 18 are there" in by_count.notes[1]
    (whole,) = find_sources(write_files(tmp_path / "c", files)).sources
    assert whole.notes == ()


def test_damaged_slice_then_its_series_refused_by_its_name(files, tmp_path):
    cut = {**files, "ct-image_0.dcm": files["ct-image_0.dcm"][:-3000]}
    (source,) = find_sources(write_files(tmp_path, cut)).sources
    with (
        open_source(source) as access,
        pytest.raises(ValueError, match="slice-.*: truncated: the header states") as caught,
    ):
        access.read()
    assert access.for_screen(str(caught.value)).startswith("ct-image_0.dcm: truncated")


def test_dicomdir_that_lists_more_images_then_noted(files, tmp_path):
    write_files(tmp_path, dict(list(files.items())[:-2]))
    write_dicomdir(tmp_path / "DICOMDIR", pydicom.dcmread(tmp_path / "ct-image_0.dcm"), 24)
    found = find_sources(tmp_path)
    assert found.sources[0].notes == ("DICOMDIR lists 24 images of the series, 22 are there",)
    assert [remark.reason for remark in found.skipped] == ["DICOMDIR, an index of DICOM files"]


def write_dicomdir(path, image, count):
    directory = pydicom.Dataset()
    directory.file_meta = image.file_meta
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.DirectoryRecordSequence = []
    for kind in ["SERIES", *["IMAGE"] * count]:
        record = pydicom.Dataset()
        record.DirectoryRecordType = kind
        if kind == "SERIES":
            record.SeriesInstanceUID = image.SeriesInstanceUID
        directory.DirectoryRecordSequence.append(record)
    directory.save_as(path, enforce_file_format=True)


def test_damaged_copy_of_a_whole_slice_then_refused_and_the_series_read(files, tmp_path):
    content = {**shared_out(files, ["a"]), **shared_out(files, ["b"])}
    content["a/ct-image_4.dcm"] = content["a/ct-image_4.dcm"][:-3000]
    found = find_sources(write_files(tmp_path, content))
    assert [str(remark) for remark in found.refused] == [
        f"{tmp_path}/a/ct-image_4.dcm: {SPOILT_COPY}"
    ]
    assert len(found.skipped) == 23
    with open_source(found.sources[0]) as access:
        np.testing.assert_array_equal(read_volume_of(access.read()).hu, abdomen().hu)
