import json
from random import Random

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.folder.dataset import FolderDataSet
from scripts.volumes.geometry import index_to_world
from tests.scripts.datasets.dataset_contract import DataSetContract
from tests.scripts.datasets.folders import (
    AFFINE,
    HU,
    SHAPE,
    case_folders,
    csv_cases,
    decathlon,
    image_of,
    nnunet,
    organs,
    read_all,
    two_lesions,
    write,
    write_dicom,
)


class TestFolderOfClasses(DataSetContract):
    refused = ("given",)

    @pytest.fixture
    def made(self, tmp_path):
        return FolderDataSet(), decathlon(tmp_path / "in")


class TestFolderOfLesions(DataSetContract):
    refused = ("given",)

    @pytest.fixture
    def made(self, tmp_path):
        return FolderDataSet(kind="instances"), case_folders(tmp_path / "in")


def test_test_images_without_labels_then_noted(tmp_path):
    write(decathlon(tmp_path) / "imagesTs" / "liver_5.nii.gz", HU)
    notes = FolderDataSet().at(tmp_path).find(tmp_path).notes
    assert notes[2:] == ("note: 1 images of imagesTs have no labels and are not used",)


CENTRE = index_to_world([8, 6, 5], AFFINE)  # of the lesion of one voxel


def check_place(labelled, label):
    np.testing.assert_array_equal(labelled.volume.hu, HU)
    np.testing.assert_allclose(labelled.volume.affine_lps, AFFINE, atol=1e-5)
    np.testing.assert_array_equal(labelled.label, label)
    assert labelled.label.dtype == np.uint8


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mhd", ".mha", ".nrrd"])
@pytest.mark.parametrize("orientation", ["LPS", "RAS", "LAS", "RPI", "LSA", "PIR"])
def test_read_when_stored_with_other_axes_then_hu_and_label_in_place(tmp_path, suffix, orientation):
    write(tmp_path / "a" / f"image{suffix}", HU, orientation)
    write(tmp_path / "a" / f"label{suffix}", organs(), orientation)
    _, scans, (labelled,) = read_all(tmp_path, class_names="1:liver,2:spleen")
    check_place(labelled, organs())
    assert scans[0].image_file == tmp_path / "a" / f"image{suffix}"


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR"])
def test_read_when_image_is_dicom_and_label_nifti_then_same_voxels(tmp_path, orientation):
    write_dicom(tmp_path / "a" / "image")
    write(tmp_path / "a" / "label.nii.gz", organs(), orientation)
    _, (scan,), (labelled,) = read_all(tmp_path, class_names="1:liver,2:spleen")
    check_place(labelled, organs())
    assert scan.image_file is None
    assert len(scan.files) == SHAPE[0] + 1


@pytest.mark.parametrize("make", [decathlon, nnunet], ids=["decathlon", "nnunet"])
def test_read_when_dataset_json_names_classes_then_they_are_the_classes(tmp_path, make):
    data_set, _, every = read_all(make(tmp_path))
    assert data_set.classes() == {0: "background", 1: "liver", 2: "spleen"}
    for labelled in every:
        check_place(labelled, organs())
        assert labelled.known is None
        assert labelled.objects == ()
    assert data_set.metric == "val_iou_pooled"


def test_read_when_csv_then_paths_from_its_folder(tmp_path):
    write(tmp_path / "ct" / "one.nrrd", HU, "RAS")
    write(tmp_path / "maps" / "one.nii.gz", two_lesions(), "LAS")
    csv_cases(tmp_path, ["ct/one.nrrd,maps/one.nii.gz"], name="mine.csv")
    data_set, (scan,), (labelled,) = read_all(tmp_path / "mine.csv")
    check_place(labelled, two_lesions())
    assert (scan.id, scan.patient_id) == ("one", "one")
    assert data_set.classes() == {0: "background", 1: "lesion"}
    assert "the default" in data_set.record()["classes_named_by"]
    assert data_set.record()["layout"] == "a CSV: image,label[,patient,split]"


def test_instances_then_components_are_lesions_with_place_and_size(tmp_path):
    data_set, _, every = read_all(case_folders(tmp_path), kind="instances")
    large, small = sorted(every[0].objects, key=lambda one: -one["diameter_mm"])
    assert small["centre_lps_mm"] == pytest.approx(CENTRE.tolist())
    voxel_mm3 = 0.5 * 0.75 * 2.5
    assert np.pi / 6 * small["diameter_mm"] ** 3 == pytest.approx(voxel_mm3)
    assert np.pi / 6 * large["diameter_mm"] ** 3 == pytest.approx(10 * voxel_mm3)
    np.testing.assert_array_equal(every[0].label > 0, two_lesions() > 0)
    assert every[0].label[5, 6, 8] == small["id"]
    assert every[0].lung is None
    assert data_set.metric == "val_dice_per_slice"


def test_instances_when_values_number_them_then_kept_whether_they_touch_or_not(tmp_path):
    label = two_lesions()
    label[1, 1, 5] = 9  # touches lesion 1
    label[5, 6, 8] = 200
    _, _, every = read_all(case_folders(tmp_path, label), kind="instances", objects="values")
    np.testing.assert_array_equal(every[0].label, label)
    assert [one["id"] for one in every[0].objects] == [1, 9, 200]


def test_instances_when_a_case_has_no_lesion_then_valid_and_counted(tmp_path):
    _, _, every = read_all(case_folders(tmp_path, np.zeros(SHAPE, np.uint8)), kind="instances")
    assert every[0].objects == ()
    assert every[0].facts == {"lesions": 0}


@pytest.mark.parametrize(("objects", "lesions"), [("values", 1), ("components", 2)])
def test_instances_when_a_binary_map_is_read_as_values_then_in_doubt(tmp_path, objects, lesions):
    _, _, every = read_all(case_folders(tmp_path), kind="instances", objects=objects)
    assert len(every[0].objects) == lesions
    assert len(every[0].warnings) == (objects == "values")
    assert all("one value in 2 separate components" in warning for warning in every[0].warnings)


def test_classes_when_a_map_is_empty_then_a_note_and_no_problem(tmp_path):
    _, _, every = read_all(case_folders(tmp_path, np.zeros(SHAPE, np.uint8)))
    assert every[0].notes == ("no voxel of any class in the label map",)
    assert not every[0].warnings


def test_label_when_float_with_whole_values_then_read(tmp_path):
    _, _, every = read_all(case_folders(tmp_path, two_lesions().astype(np.float32)))
    np.testing.assert_array_equal(every[0].label, two_lesions())


@pytest.mark.parametrize(
    ("value", "reason"),
    [(0.5, "whole numbers 0 to 255"), (-1, "whole numbers 0 to 255"), (256, "got 0.* to 256")],
)
def test_label_when_a_value_is_no_class_number_then_refused_by_name(tmp_path, value, reason):
    label = two_lesions().astype(np.float32)
    label[0, 0, 0] = value
    with pytest.raises(ValueError, match=rf"label\.nii\.gz: must hold {reason}|{reason}"):
        read_all(case_folders(tmp_path, label))


@pytest.mark.parametrize("kind", ["classes", "instances"])
def test_label_when_a_value_has_no_name_then_refused_by_value(tmp_path, kind):
    label = two_lesions()
    label[0, 0, :2] = (3, 7)
    reason = r"label\.nii\.gz: holds the values 3, 7, which .*\(named: 1 lesion\)"
    with pytest.raises(ValueError, match=reason):
        read_all(case_folders(tmp_path, label), kind=kind)


@pytest.mark.parametrize("kind", ["classes", "instances"])
def test_label_when_a_white_mask_then_read_as_ones_and_noted(tmp_path, kind):
    _, _, every = read_all(case_folders(tmp_path, two_lesions() * 255), kind=kind)
    np.testing.assert_array_equal(every[0].label > 0, two_lesions() > 0)
    assert every[0].label.max() == (1 if kind == "classes" else 2)
    assert every[0].notes == ("a mask of 0 and 255, read as 0 and 1",)


def test_label_when_white_beside_another_value_then_refused(tmp_path):
    label = two_lesions()
    label[0, 0, 0] = 255
    with pytest.raises(ValueError, match="holds the values 255"):
        read_all(case_folders(tmp_path, label))


def test_instances_when_more_than_a_byte_numbers_then_refused(tmp_path):
    label = np.zeros((20, 40, 40), np.uint8)
    label[::2, ::2, ::2] = 1
    write(tmp_path / "a" / "image.nii.gz", np.zeros_like(label, np.int16))
    write(tmp_path / "a" / "label.nii.gz", label)
    with pytest.raises(ValueError, match="at most 255 objects in one scan, got 4000"):
        read_all(tmp_path, kind="instances")


def test_grid_when_label_has_another_size_then_refused_with_both(tmp_path):
    case_folders(tmp_path)
    write(tmp_path / "a" / "label.nii.gz", two_lesions()[:-1])
    with pytest.raises(ValueError, match=r"image\.nii\.gz.*\(9, 7, 6\) and \(9, 7, 5\) voxels"):
        read_all(tmp_path)


@pytest.mark.parametrize("part", ["origin", "spacing"])
def test_grid_when_label_lies_elsewhere_then_refused_with_both(tmp_path, part):
    case_folders(tmp_path)
    image = image_of(two_lesions())
    if part == "origin":
        image.SetOrigin((-90, 40, -297.5))
    else:
        image.SetSpacing((0.5, 0.75, 2.0))
    sitk.WriteImage(image, str(tmp_path / "a" / "label.nii.gz"))
    both = r"-300\.0\) and .*-297\.5\)" if part == "origin" else r"2\.5\) and .*2\.0\)"
    with pytest.raises(ValueError, match=rf"must be on the grid of its image .* {part}s .*{both}"):
        read_all(tmp_path)


def test_image_when_it_has_four_axes_then_refused(tmp_path):
    case_folders(tmp_path)
    sitk.WriteImage(
        sitk.JoinSeries([image_of(HU), image_of(HU)]), str(tmp_path / "a" / "image.nii.gz")
    )
    with pytest.raises(ValueError, match="must be one 3D volume"):
        read_all(tmp_path)


def test_options_for_a_trained_network_then_its_names_unless_the_source_has_some(tmp_path):
    source, learnt = case_folders(tmp_path), ["background", "spleen", "liver"]
    options = FolderDataSet.options_for(source, learnt)
    assert FolderDataSet(**options).at(source).classes() == dict(enumerate(learnt))
    (source / "classes.json").write_text('{"1": "liver"}')
    assert FolderDataSet.options_for(source, learnt) == {}


def test_classes_when_said_twice_then_refused(tmp_path):
    decathlon(tmp_path)
    with pytest.raises(ValueError, match=r"dataset\.json and --class_names name the classes"):
        FolderDataSet(class_names="1:liver").at(tmp_path)
    (tmp_path / "classes.json").write_text(json.dumps({"1": "liver"}))
    with pytest.raises(ValueError, match=r"dataset\.json and classes\.json name the classes"):
        FolderDataSet().at(tmp_path)


def test_classes_when_dataset_json_is_not_ct_then_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="modality must be CT alone, got MRI"):
        FolderDataSet().at(decathlon(tmp_path, modality={"0": "MRI"}))


def test_instances_when_several_classes_are_named_then_refused(tmp_path):
    with pytest.raises(ValueError, match=r"dataset\.json names 1 liver, 2 spleen; prepare with"):
        FolderDataSet(kind="instances").at(decathlon(tmp_path))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"kind": "organs"}, "kind: must be one of classes, instances, got 'organs'"),
        ({"objects": "blobs"}, "objects: must be one of components, values, got 'blobs'"),
        ({"objects": "values"}, "objects: must be components for --kind classes"),
    ],
)
def test_options_when_wrong_then_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        FolderDataSet(**options)


def test_patients_when_a_table_names_them_then_theirs(tmp_path):
    case_folders(tmp_path / "ct")
    table = tmp_path / "patients.csv"
    table.write_text("case,patient_id\na,p1\nb,p1\nc,p2\n")
    _, scans, _ = read_all(tmp_path / "ct", patients=table)
    assert [scan.patient_id for scan in scans] == ["p1", "p1", "p2"]


def test_patients_when_named_twice_then_refused(tmp_path):
    case_folders(tmp_path / "ct", names=("a",))
    rows = ["ct/a/image.nii.gz,ct/a/label.nii.gz,p1"]
    csv_cases(tmp_path, rows, "image,label,patient", "mine.csv")
    data_set = FolderDataSet(patients=tmp_path / "patients.csv")
    with pytest.raises(ValueError, match="has a column patient; keep one of the two"):
        data_set.find(tmp_path / "mine.csv")


def given(tmp_path, groups, patients=None):
    patients = patients or [f"p{k}" for k in range(len(groups))]
    case_folders(tmp_path, names=[f"c{k}" for k in range(len(groups))])
    rows = [
        f"c{k}/image.nii.gz,c{k}/label.nii.gz,{patient},{group}"
        for k, (group, patient) in enumerate(zip(groups, patients, strict=True))
    ]
    csv_cases(tmp_path, rows, "image,label,patient,split", "mine.csv")
    return divide(FolderDataSet().find(tmp_path / "mine.csv").scans)


def divide(scans):
    return FolderDataSet().divide(scans, "given", test_fold=0, random=Random(0))


def test_divide_when_the_source_gives_partitions_then_those(tmp_path):
    groups = ["training", "test", "validation", "training"]
    assert list(given(tmp_path, groups).values()) == groups


def test_divide_when_no_validation_is_given_then_of_the_training_patients(tmp_path):
    parts = given(tmp_path, ["train", "train", "train", "test"], ["p", "p", "q", "r"])
    assert parts["c3_image"] == "test"
    assert parts["c0_image"] == parts["c1_image"]
    assert {parts["c0_image"], parts["c2_image"]} == {"training", "validation"}


@pytest.mark.parametrize(
    ("groups", "patients", "reason"),
    [
        (["train", "val", "test"], ["p", "q", "p"], "patient p is in two partitions"),
        (["train", "val", "train"], None, "given leaves test empty; use patient"),
        (["train", "test"], None, "given leaves validation empty; use patient"),
    ],
)
def test_divide_when_given_partitions_do_not_serve_then_refused(tmp_path, groups, patients, reason):
    with pytest.raises(ValueError, match=reason):
        given(tmp_path, groups, patients)


def test_divide_when_nothing_is_given_then_refused(tmp_path):
    _, scans, _ = read_all(case_folders(tmp_path))
    with pytest.raises(ValueError, match="names no partition for a; use patient"):
        divide(scans)
