"""Image and labels of a case: found, chosen by a pattern, or listed."""

from __future__ import annotations

import pytest

from scripts.datasets.folder.case_files import case_paths, has_names, pair_paths
from tests.scripts.datasets.folders import organs, write
from tests.scripts.datasets.segments.written import (
    GRID,
    ct,
    nodule,
    write_rtstruct,
    write_seg,
    write_slicer,
)

SERIES = "1.2.826.0.1.3680043.8.498.13.1.1"


def find(folder, images=(), labels=(), pattern=None):
    found = case_paths(folder, list(images), list(labels), pattern)
    return found.image, found.label, found.series_uid


@pytest.mark.parametrize("place", ["ct", "seg", "."], ids=["beside the CT", "elsewhere", "above"])
def test_segmentation_anywhere_in_the_case_then_with_the_series_that_it_names(case, place):
    folder, images = case
    (folder / place).mkdir(exist_ok=True)
    path = write_seg(folder / place / "x.dcm", images, [nodule()])
    assert find(folder) == (folder / "ct", path, SERIES)


def test_two_series_in_one_folder_then_that_which_was_drawn_on(case):
    folder, images = case
    ct(folder / "ct2", GRID, series="2")
    for path in list((folder / "ct2").iterdir()):
        path.rename(folder / "ct" / f"second-{path.name}")
    path = write_rtstruct(folder / "plan.dcm", images, {"GTV": []})
    assert find(folder, [folder / "ct"]) == (folder / "ct", path, SERIES)


def test_label_of_another_series_then_refused_with_both(case):
    folder, images = case
    ct(folder / "other", GRID, series="2")

    def change(data):
        data.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"

    write_seg(folder / "x.dcm", images, [nodule()], change=change)
    with pytest.raises(ValueError, match=r"which was drawn on 1\.2\.3: .*it has .*1\.1, .*1\.2"):
        find(folder)


def test_several_labels_then_listed_and_chosen_by_a_pattern(case):
    folder, images = case
    paths = [folder / f"reader{n}.dcm" for n in (1, 2)]
    for path in paths:
        write_seg(path, images, [nodule()])
    with pytest.raises(
        ValueError, match=r"it has reader1\.dcm \(DICOM SEG .*, reader2\.dcm \(.*--l"
    ):
        find(folder)
    assert find(folder, pattern="*READER2*")[1] == paths[1]
    for pattern, fits in (
        ("*.dcm", r"fits reader1\.dcm"),
        ("reader3", "fits none; there are: rea"),
    ):
        with pytest.raises(ValueError, match=rf"must fit one file of the case, it {fits}"):
            find(folder, pattern=pattern)


def test_label_named_as_such_then_taken_before_others(case):
    folder, images = case
    (folder / "label").mkdir()
    path = write_seg(folder / "label" / "1.dcm", images, [nodule()])
    write_seg(folder / "second.dcm", images, [nodule()])
    assert find(folder, labels=[folder / "label"])[1] == path


def test_pattern_beside_label_maps_then_chooses_one_of_them(tmp_path):
    image = write(tmp_path / "image.nii.gz", organs())
    label = write(tmp_path / "label.nii.gz", organs())
    second = write(tmp_path / "second_reader.nii.gz", organs())
    assert find(tmp_path, [image], [label]) == (image, label, None)
    assert find(tmp_path, [image], [label], "second*") == (image, second, None)


def test_folder_with_masks_as_a_series_then_as_before(tmp_path):
    (tmp_path / "label").mkdir()
    image = write(tmp_path / "image.nii.gz", organs())
    assert find(tmp_path, [image], [tmp_path / "label"]) == (image, tmp_path / "label", None)


def test_series_in_two_folders_then_refused_with_both(case):
    folder, images = case
    (folder / "more").mkdir()
    one = next((folder / "ct").iterdir())
    one.rename(folder / "more" / one.name)
    write_seg(folder / "x.dcm", images, [nodule()])
    with pytest.raises(ValueError, match=r"must lie in one folder, it lies in .*ct, .*more"):
        find(folder)


def test_segments_of_3d_slicer_beside_the_only_series_then_found(case):
    folder, _ = case
    path = write_slicer(folder / "s.seg.nrrd", nodule() * 1, GRID.affine, {"Segment0_ID": "a"})
    assert find(folder) == (folder / "ct", path, SERIES)


def test_pair_of_a_table_then_the_series_by_reference(case):
    folder, images = case
    (folder / "seg").mkdir()
    path = write_seg(folder / "seg" / "x.dcm", images, [nodule()])
    for label in (path, folder / "seg"):
        found = pair_paths(folder / "ct", label)
        assert (found.label, found.series_uid) == (path, SERIES)
    write_seg(folder / "seg" / "y.dcm", images, [nodule()])
    with pytest.raises(ValueError, match=r"must have one file of labels, it has x\.dcm .*y\.dcm"):
        pair_paths(folder / "ct", folder / "seg")


def test_names_then_expected_of_all_but_plain_volumes(tmp_path):
    for name, named in (("a.nii.gz", False), ("a.nrrd", False), ("a.seg.nrrd", True), ("a", True)):
        (tmp_path / name).write_bytes(b"")
        assert has_names(tmp_path / name) is named
    assert has_names(tmp_path)  # of masks
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "im1").write_bytes(b"")
    assert not has_names(tmp_path / "series")
