"""A CT with labels by name: the whole way of ``prepare folder``, from source to label map."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from scripts.datasets.folder.dataset import FolderDataSet
from scripts.datasets.folder.labels import NameRules, read_label
from tests.scripts.datasets.folders import csv_cases
from tests.scripts.datasets.segments.written import (
    GRID,
    box,
    nodule,
    nodule_contours,
    write_rtstruct,
    write_seg,
    write_slicer,
)

KEYS = {"Segment0_ID": "a", "Segment0_Name": "Tumour", "Segment0_LabelValue": "1"}


def read(source, **options):
    """The label maps of a source, and the data set."""
    data_set = FolderDataSet(**options).at(source)
    listing = data_set.find(source)
    assert listing.problems == []
    return [data_set.read(scan) for scan in listing.scans], data_set


def reasons(source, **options):
    data_set = FolderDataSet(**options).at(source)
    listing = data_set.find(source)
    return "; ".join(map(str, listing.problems))


def test_classes_by_name_then_their_values_and_hu_in_place(case):
    folder, images = case
    write_seg(folder / "x.dcm", images, [nodule(), box()], labels=("Nodule", "Box"))
    (labelled,), data_set = read(folder.parent, class_names="1:box,2:nodule")
    np.testing.assert_array_equal(labelled.label, nodule() * 2 + box() * 1)
    np.testing.assert_array_equal(labelled.volume.hu, GRID.hu())
    np.testing.assert_allclose(labelled.volume.affine_lps, GRID.affine, atol=1e-4)
    assert (labelled.known, labelled.notes) == ((0, 1, 2), ())
    assert data_set.record()["layout"].startswith("a folder for each case: a DICOM CT with its SEG")


def test_names_of_an_option_then_used_left_out_and_recorded(case):
    folder, images = case
    contours = nodule_contours(GRID)
    write_rtstruct(folder / "x.dcm", images, {"BODY": contours, "Leber": contours})
    options = {"class_names": "1:liver,2:spleen", "segments": "liver=Leber,spleen=Milz|BODY2"}
    with pytest.raises(ValueError, match="no case has a segment for spleen; their .* 'BODY', 'Leb"):
        read(folder.parent, **options)
    options = {"class_names": "1:liver", "segments": "liver=Leber"}
    (labelled,), data_set = read(folder.parent, **options)
    np.testing.assert_array_equal(labelled.label, nodule())
    assert labelled.notes == ("x.dcm: segments of no class: 'BODY'",)
    assert data_set.record()["segments"] == {"liver": ["Leber"]}
    (scan,) = data_set.find(folder.parent).scans
    assert data_set.depends_on(scan)["segments"] == {"liver": ["Leber"]}


def test_organ_that_one_case_lacks_then_not_known_there(case):
    folder, images = case
    second = shutil.copytree(folder, folder.parent / "b")
    rois = {"liver": nodule_contours(GRID), "spleen": []}
    write_rtstruct(folder / "x.dcm", images, rois)
    write_seg(second / "x.dcm", images, [nodule(), box()], labels=("liver", "spleen"))
    (one, other), _ = read(folder.parent, class_names="1:liver,2:spleen")
    assert (one.known, other.known) == ((0, 1), (0, 1, 2))
    assert one.notes == ("x.dcm: not annotated: spleen",)
    write_rtstruct(folder / "x.dcm", images, {"liver": [], "spleen": []})
    with pytest.raises(ValueError, match="nothing of liver, spleen is drawn"):
        read(folder.parent, class_names="1:liver,2:spleen")


def test_part_that_one_case_lacks_then_noted_unless_any_number_is_meant(case):
    folder, images = case
    second = shutil.copytree(folder, folder.parent / "b")
    write_seg(folder / "x.dcm", images, [nodule(), box()], labels=("Left one", "right_one"))
    write_seg(second / "x.dcm", images, [nodule()], labels=("left one",))
    options = {"class_names": "1:both", "segments": "both=left one|right one"}
    (one, other), _ = read(folder.parent, **options)
    assert (one.known, other.known, one.notes) == ((0, 1), (0, 1), ())
    note = "x.dcm: both lacks right one, which other cases have; counts as background"
    assert other.notes == (note,)
    (_, other), _ = read(folder.parent, class_names="1:both", segments="both=*one")
    assert other.notes == ()


@pytest.mark.parametrize(("objects", "lesions"), [("components", 3), ("values", 2)])
def test_lesions_by_name_then_counted(case, objects, lesions):
    folder, images = case
    write_seg(folder / "x.dcm", images, [nodule(), box()], labels=("Nodule 1", "Nodule 2"))
    options = {"kind": "instances", "objects": objects, "segments": "lesion=Nodule*"}
    (labelled,), _ = read(folder.parent, **options)
    assert len(labelled.objects) == lesions
    assert set(np.unique(labelled.label)) == {*range(lesions + 1)}
    np.testing.assert_array_equal(labelled.label > 0, nodule() | box())


def test_lesions_when_none_was_drawn_then_a_valid_case(case):
    folder, images = case
    write_rtstruct(folder / "x.dcm", images, {"lesion": []})
    (labelled,), _ = read(folder.parent, kind="instances")
    assert labelled.objects == ()
    assert labelled.facts == {"lesions": 0}


def test_names_that_are_no_class_then_refused_with_all_of_them(case):
    folder, images = case
    write_seg(folder / "x.dcm", images, [nodule(), box()])
    assert (
        "none of its segments is of the classes lesion; it has 'nodule' (SCT:27925004), 'box' "
        '(SCT:27925004); say which are meant: --segments "lesion=NAME"'
    ) in reasons(folder.parent)


def test_segments_that_overlap_then_refused_or_the_last_class_wins(case):
    folder, images = case
    larger = nodule() | np.roll(nodule(), 1, axis=2)
    write_seg(folder / "x.dcm", images, [nodule(), larger], labels=("tumour", "liver"))
    with pytest.raises(ValueError, match="segment 'tumour' .*shares 255 voxels with 'liver'"):
        read(folder.parent, class_names="1:liver,2:tumour")
    (labelled,), _ = read(folder.parent, class_names="1:liver,2:tumour", overlaps="last")
    np.testing.assert_array_equal(labelled.label, larger * 1 + nodule())


def test_table_with_two_readers_then_the_file_that_it_names(case):
    folder, images = case
    write_seg(folder / "one.dcm", images, [nodule()], labels=("lesion",))
    write_seg(folder / "two.dcm", images, [box()], labels=("lesion",))
    csv_cases(folder, ["ct,two.dcm"])
    (labelled,), _ = read(folder)
    np.testing.assert_array_equal(labelled.label, box())
    with pytest.raises(ValueError, match="label_files: chooses among the files of case folders"):
        read(folder, label_files="one*")


@pytest.mark.parametrize("named", [True, False], ids=["by name", "by value"])
def test_cropped_segments_of_3d_slicer_then_padded_only_by_name(case, named):
    folder, _ = case
    path = write_slicer(folder / "x.seg.nrrd", nodule()[:, :, 2:] * 1, cropped_affine(), KEYS)
    options = {"class_names": "1:tumour" if named else "1:liver"}
    if named:
        (labelled,), _ = read(folder.parent, **options)
        np.testing.assert_array_equal(labelled.label, nodule())
        return
    with pytest.raises(ValueError, match="must be on the grid of its image"):
        read(folder.parent, **options)
    write_slicer(path, nodule() * 1, GRID.affine, KEYS)
    (labelled,), _ = read(folder.parent, **options)
    np.testing.assert_array_equal(labelled.label, nodule())
    assert labelled.notes == (
        "x.seg.nrrd: none of its segments ('Tumour') is named like a class; read by values",
    )


TWO = {
    **KEYS,
    "Segment0_Layer": "0",
    "Segment1_ID": "b",
    "Segment1_Name": "Leber",
    "Segment1_LabelValue": "2",
    "Segment1_Layer": "0",
}


def test_names_of_3d_slicer_that_may_contradict_the_values_then_refused(case):
    folder, _ = case
    write_slicer(folder / "x.seg.nrrd", nodule() + 2 * box(), GRID.affine, TWO)
    options = {"class_names": "1:liver,2:mass"}
    assert "none of its segments is of the classes liver, mass; it has 'Tumour', 'Leber'" in (
        reasons(folder.parent, **options)
    )
    numbered = {**TWO, "Segment0_Name": "Segment_1", "Segment1_Name": "Segment_2"}
    write_slicer(folder / "x.seg.nrrd", nodule() + 2 * box(), GRID.affine, numbered)
    (labelled,), _ = read(folder.parent, **options)
    np.testing.assert_array_equal(labelled.label, nodule() + 2 * box())


def test_organ_without_voxels_then_not_known_in_3d_slicer_and_absent_in_seg(case):
    folder, images = case
    second = shutil.copytree(folder, folder.parent / "b")
    write_slicer(folder / "x.seg.nrrd", nodule() * 1, GRID.affine, TWO)
    empty = np.zeros_like(nodule())
    write_seg(second / "x.dcm", images, [nodule(), empty], labels=("Tumour", "Leber"))
    (one, other), _ = read(folder.parent, class_names="1:tumour,2:leber")
    assert (one.known, other.known) == ((0, 1), (0, 1, 2))
    assert one.notes == ("x.seg.nrrd: not annotated: leber",)
    assert other.notes == ("x.dcm: no voxel of leber, which count as absent",)


def cropped_affine():
    affine = GRID.affine.copy()
    affine[:3, 3] += 2 * affine[:3, 0]
    return affine


def test_image_that_is_no_series_then_refused(case, tmp_path):
    folder, images = case
    path = write_seg(folder / "x.dcm", images, [nodule()], labels=("lesion",))
    image = write_slicer(tmp_path / "image.nrrd", nodule() * 1, GRID.affine, {})
    with pytest.raises(ValueError, match=r"the image image\.nrrd is none; give the series that"):
        read_label(image, path, None, NameRules({1: "lesion"}, {}))


def test_ct_of_projections_with_loss_then_noted(tmp_path):
    from tests.scripts.datasets.segments.written import ct

    changes = {"ImageType": ["DERIVED", "SECONDARY", "MIP"], "LossyImageCompression": "01"}
    images = ct(tmp_path / "a" / "image", **changes)
    write_seg(tmp_path / "a" / "label.dcm", images, [nodule()], labels=("lesion",))
    (labelled,), _ = read(tmp_path)
    assert [note.split(" ")[0:3] for note in labelled.notes] == [
        ["by", "their", "ImageType"],
        ["the", "pixels", "were"],
    ]
    assert labelled.warnings == ()
