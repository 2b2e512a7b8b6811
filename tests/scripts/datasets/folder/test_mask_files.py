"""A mask for each class, as TotalSegmentator has them: from the layout to the label map."""

from __future__ import annotations

import json
from random import Random

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.folder.dataset import FolderDataSet
from scripts.datasets.folder.layouts import list_cases, recognise
from scripts.preparation.cases import CaseTask, SliceOptions, find_prepared, prepare_case
from tests.scripts.datasets.dataset_contract import DataSetContract
from tests.scripts.datasets.folders import (
    AFFINE,
    HU,
    SHAPE,
    csv_cases,
    image_of,
    organs,
    read_all,
    two_lesions,
    write,
)

LIVER = organs() == 1
LEFT = organs() == 2
RIGHT = np.zeros(SHAPE, bool)
RIGHT[4:, :2, 7:] = True
MASKS = {"liver": LIVER, "kidney_left": LEFT, "kidney_right": RIGHT, "aorta": np.zeros(SHAPE, bool)}
NAMED = {"class_names": "1:liver,2:kidney", "segments": "kidney=kidney_left|kidney_right"}
EXPECTED = LIVER * 1 + (LEFT | RIGHT) * 2


def subjects(folder, *, names=("s0000", "s0001", "s0002"), orientation="RAS", **masks):
    """Write subjects as TotalSegmentator's training data have them; a mask of None is left out."""
    for name in names:
        write(folder / name / "ct.nii.gz", HU, orientation)
        for structure, mask in {**MASKS, **masks}.items():
            if mask is not None:
                path = folder / name / "segmentations" / f"{structure}.nii.gz"
                write(path, mask.astype(np.uint8), orientation)
    return folder


class TestFolderOfMasks(DataSetContract):
    refused = ("given",)

    @pytest.fixture
    def made(self, tmp_path):
        return FolderDataSet(**NAMED), subjects(tmp_path / "in")


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR"])
def test_masks_then_classes_by_file_name_in_place(tmp_path, orientation):
    data_set, scans, every = read_all(subjects(tmp_path, orientation=orientation), **NAMED)
    assert [scan.id for scan in scans] == ["s0000", "s0001", "s0002"]
    for labelled in every:
        np.testing.assert_array_equal(labelled.volume.hu, HU)
        np.testing.assert_allclose(labelled.volume.affine_lps, AFFINE, atol=1e-5)
        np.testing.assert_array_equal(labelled.label, EXPECTED)
        assert labelled.known == (0, 1, 2)
        assert labelled.notes == ("segmentations: segments of no class: 'aorta'",)
    assert [path.name for path in scans[0].files] == [
        *("ct.nii.gz", "liver.nii.gz", "kidney_left.nii.gz", "kidney_right.nii.gz")
    ]
    assert data_set.record()["layout"].startswith("TotalSegmentator: CASE/ct")


def test_image_on_other_axes_than_its_masks_then_still_in_place(tmp_path):
    subjects(tmp_path, names=["a"], orientation="LPS")
    write(tmp_path / "a" / "ct.nii.gz", HU, "PIR")
    _, _, (labelled,) = read_all(tmp_path, **NAMED)
    np.testing.assert_array_equal(labelled.label, EXPECTED)


def test_masks_of_a_table_and_in_a_folder_called_label_then_read(tmp_path):
    subjects(tmp_path / "in", names=["a"])
    csv_cases(tmp_path / "in", ["a/ct.nii.gz,a/segmentations"], name="mine.csv")
    _, _, (labelled,) = read_all(tmp_path / "in" / "mine.csv", **NAMED)
    np.testing.assert_array_equal(labelled.label, EXPECTED)
    case = tmp_path / "in" / "a"
    (case / "segmentations").rename(case / "label")
    (case / "ct.nii.gz").rename(case / "image.nii.gz")
    _, _, (labelled,) = read_all(tmp_path / "in", **NAMED)
    np.testing.assert_array_equal(labelled.label, EXPECTED)


def test_classes_when_nothing_names_them_then_refused_with_the_masks(tmp_path):
    reason = "--class_names 1:liver,2:spleen; .* has aorta, kidney_left, kidney_right, liver$"
    with pytest.raises(ValueError, match=reason):
        FolderDataSet().at(subjects(tmp_path))
    (tmp_path / "classes.json").write_text(json.dumps({"1": "liver"}))
    _, _, every = read_all(tmp_path)
    np.testing.assert_array_equal(every[0].label, LIVER)


def test_class_without_a_mask_in_any_case_then_refused_with_the_option(tmp_path):
    data_set = FolderDataSet(class_names="1:liver,2:kidney").at(subjects(tmp_path))
    with pytest.raises(ValueError, match='for kidney; their .*--segments "kidney=NAME|NAME"'):
        data_set.find(tmp_path)


def test_mask_that_one_case_lacks_then_the_class_is_not_known_there(tmp_path):
    subjects(tmp_path, names=["a"])
    subjects(tmp_path, names=["b"], liver=None)
    _, _, (whole, lacking) = read_all(tmp_path, **NAMED)
    assert (whole.known, lacking.known) == ((0, 1, 2), (0, 2))
    assert "segmentations: not annotated: liver" in lacking.notes
    np.testing.assert_array_equal(lacking.label, EXPECTED * (EXPECTED == 2))


def test_part_of_a_class_that_one_case_lacks_then_the_class_is_not_known_there(tmp_path):
    subjects(tmp_path, names=["a"])
    subjects(tmp_path, names=["b"], kidney_right=None)
    data_set, (_, scan), (whole, lacking) = read_all(tmp_path, **NAMED)
    assert (whole.known, lacking.known) == ((0, 1, 2), (0, 1))
    assert (
        "segmentations: kidney lacks kidney right, which other cases have; an empty mask would say "
        "that it is absent"
    ) in lacking.notes
    np.testing.assert_array_equal(lacking.label, LIVER)
    assert data_set.depends_on(scan)["missing"] == {"kidney": ("kidney right",)}
    only = {"class_names": "1:kidney", "segments": NAMED["segments"]}
    with pytest.raises(ValueError, match="shows no class whole: segmentations: kidney lacks"):
        read_all(tmp_path, **only)


def test_empty_mask_then_absent_and_known(tmp_path):
    subjects(tmp_path, names=["a"], liver=np.zeros(SHAPE, bool))
    _, _, (labelled,) = read_all(tmp_path, **NAMED)
    assert labelled.known == (0, 1, 2)
    assert "segmentations: no voxel of liver, which count as absent" in labelled.notes


def test_masks_of_lesions_then_counted_and_fewer_in_a_case_are_no_fault(tmp_path):
    lesions = {"tumour_1": LIVER, "tumour_2": LEFT}
    subjects(tmp_path, names=["a"], **lesions)
    subjects(tmp_path, names=["b"], tumour_1=LIVER)
    options = {"kind": "instances", "class_names": "1:tumour", "segments": "tumour=tumour_*"}
    _, _, every = read_all(tmp_path, **options)
    assert [len(labelled.objects) for labelled in every] == [3, 2]
    _, _, every = read_all(tmp_path, **options, objects="values")
    np.testing.assert_array_equal(every[0].label, LIVER * 1 + LEFT * 2)


def test_masks_of_two_classes_that_overlap_then_refused_or_the_last_wins(tmp_path):
    subjects(tmp_path, names=["a"], kidney_left=LEFT | LIVER)
    with pytest.raises(ValueError, match="segment 'kidney_left' shares 11 voxels with 'liver'"):
        read_all(tmp_path, **NAMED)
    _, _, (labelled,) = read_all(tmp_path, **NAMED, overlaps="last")
    np.testing.assert_array_equal(labelled.label, (LIVER | LEFT | RIGHT) * 2)


def shifted(path, mask):
    image = image_of(mask.astype(np.uint8))
    image.SetOrigin((-90, 40, -297.5))
    sitk.WriteImage(image, str(path))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            shifted,
            r"must be on the grid of its image ct\.nii\.gz: voxels lie up to 2\.500 mm apart",
        ),
        (
            lambda path, mask: write(path, mask[:-1] * 1.0),
            r"sizes differ: \(9, 7, 6\) and \(9, 7, 5",
        ),
        (lambda path, mask: write(path, organs()), r"0 and one value above it, got 1, 2 beside 0"),
        (lambda path, mask: write(path, mask * -1.0), "one value above it, got -1.0 beside 0"),
        (lambda path, mask: path.write_bytes(b"cut"), "not a readable NIfTI"),
    ],
    ids=["shifted", "smaller", "label map", "negative", "damaged"],
)
def test_mask_that_does_not_fit_then_refused_by_name(tmp_path, change, reason):
    subjects(tmp_path, names=["a"])
    change(tmp_path / "a" / "segmentations" / "liver.nii.gz", LIVER)
    with pytest.raises(ValueError, match=rf"liver\.nii\.gz.*{reason}"):
        read_all(tmp_path, **NAMED)


def test_mask_of_255_or_of_floats_then_read(tmp_path):
    subjects(tmp_path, names=["a"])
    write(tmp_path / "a" / "segmentations" / "liver.nii.gz", LIVER.astype(np.float32))
    write(tmp_path / "a" / "segmentations" / "kidney_left.nii.gz", (LEFT * 255).astype(np.uint8))
    _, _, (labelled,) = read_all(tmp_path, **NAMED)
    np.testing.assert_array_equal(labelled.label, EXPECTED)


def test_two_masks_of_one_name_then_a_problem_of_that_case(tmp_path):
    subjects(tmp_path, names=["a", "b"])
    write(tmp_path / "a" / "segmentations" / "liver.nii", LIVER.astype(np.uint8))
    (problem,) = FolderDataSet(**NAMED).at(tmp_path).find(tmp_path).problems
    assert problem.scan_id == "a"
    assert "several files have the name liver" in problem.reason


def test_subject_without_ct_or_masks_then_reported_with_what_it_holds(tmp_path):
    subjects(tmp_path)
    (tmp_path / "s0001" / "ct.nii.gz").unlink()
    (tmp_path / "s0002" / "segmentations").rename(tmp_path / "s0002" / "masks")
    cases, problems = list_cases(recognise(tmp_path))
    assert [case.id for case in cases] == ["s0000"]
    assert "must hold one ct.* and a folder segmentations with masks, it holds segmentations/" in (
        str(problems[0])
    )
    assert "it holds ct.nii.gz, masks/" in str(problems[1])


def test_partitions_of_meta_csv_then_those_of_split_given(tmp_path):
    subjects(tmp_path)
    rows = ["image_id;age;split", "s0000;61;train", "s0001;;val", "s0002;49;test", "s0003;1;test"]
    (tmp_path / "meta.csv").write_text("\ufeff" + "\n".join(rows) + "\n", encoding="utf-8")
    data_set, scans, _ = read_all(tmp_path, **NAMED)
    divided = data_set.divide(scans, "given", test_fold=0, random=Random(0))
    assert divided == {"s0000": "training", "s0001": "validation", "s0002": "test"}
    (tmp_path / "meta.csv").write_text("image_id;split\ns0000;third\n")
    with pytest.raises(ValueError, match=r"meta\.csv row 2: split must be one of .*'third'"):
        data_set.find(tmp_path)


def test_masks_that_change_places_then_prepared_again(tmp_path):
    source = subjects(tmp_path / "in", names=["a"])
    data_set, (scan,), _ = read_all(source, class_names="1:liver,2:kidney_left")
    task = CaseTask(data_set, scan, tmp_path / "out", SliceOptions("all"))
    assert prepare_case(task).problem is None
    assert find_prepared(task) is not None
    masks = source / "a" / "segmentations"
    (masks / "liver.nii.gz").rename(masks / "kept")
    (masks / "kidney_left.nii.gz").rename(masks / "liver.nii.gz")
    (masks / "kept").rename(masks / "kidney_left.nii.gz")
    assert find_prepared(task) is None


def test_label_map_beside_a_folder_of_masks_then_two_layouts_are_refused(tmp_path):
    subjects(tmp_path, names=["a"])
    write(tmp_path / "b" / "image.nii.gz", HU)
    write(tmp_path / "b" / "label.nii.gz", two_lesions())
    with pytest.raises(ValueError, match="and as TotalSegmentator"):
        recognise(tmp_path)


def test_file_of_segments_that_changes_then_prepared_again(tmp_path):
    source, named = subjects(tmp_path / "in", names=["a"]), tmp_path / "named.json"
    named.write_text('{"kidney": "kidney_left"}')
    options = {"class_names": "1:liver,2:kidney", "segments": str(named)}
    data_set, (scan,), _ = read_all(source, **options)
    task = CaseTask(data_set, scan, tmp_path / "out", SliceOptions("all"))
    assert prepare_case(task).problem is None
    assert find_prepared(task) is not None
    named.write_text('{"kidney": ["kidney_left", "kidney_right"]}')
    assert find_prepared(task) is None


def test_record_of_segments_then_an_option_again(tmp_path):
    source = subjects(tmp_path)
    data_set, _, _ = read_all(source, **NAMED)
    recorded = data_set.record()["segments"]
    again, _, (labelled, *_) = read_all(source, class_names="1:liver,2:kidney", segments=recorded)
    assert again.record()["segments"] == recorded
    np.testing.assert_array_equal(labelled.label, EXPECTED)
