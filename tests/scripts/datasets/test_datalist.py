import json
import shutil

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import DataLoader, Dataset, MetaTensor, list_data_collate
from monai.transforms import Compose, RandFlipd

from scripts.bundle.model_file import ModelFile
from scripts.bundle.training_scans import TrainingScans, hashed_case
from scripts.datasets.datalist import (
    LoadSlicesd,
    check_labels,
    identities,
    load_datalist,
    training_data,
    training_mean,
)
from tests.scripts.datasets.prepared import AFFINE, write_prepared


@pytest.fixture
def datalist(tmp_path):
    return write_prepared(tmp_path / "prepared")


def test_sample_then_slice_with_its_neighbours_in_hu(datalist):
    first = load_datalist(datalist, "training")[0]
    loaded = LoadSlicesd()(first)
    stack = np.load(first["image"])
    assert loaded["image"].dtype == torch.float32
    np.testing.assert_array_equal(loaded["image"], stack[:3])
    np.testing.assert_array_equal(loaded["label"][0], np.load(first["label"])[1])
    assert loaded["label"].unique().tolist() == [0, 7]
    assert loaded["lung"].shape == (1, 6, 8)
    assert set(loaded) == {"image", "label", "lung", "case"}


def test_volumes_when_one_is_in_two_partitions_then_refused(datalist):
    content = json.loads(datalist.read_text())
    entry = {"series_uid": "1.9", "image": "a.mhd", "label": "b.nii.gz"}
    content["volumes"] = {"training": [entry], "validation": [], "test": [entry]}
    datalist.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"1 volumes .* the first: 1\.9 in test and training"):
        load_datalist(datalist, "volumes/test")


def test_volumes_when_a_label_was_shifted_then_refused_before_it_is_read(datalist):
    assert len(load_datalist(datalist, "volumes/training")) == 1
    label = sitk.ReadImage(datalist.parent / "a.nii.gz")
    label.SetOrigin([mm + 60 for mm in label.GetOrigin()])
    sitk.WriteImage(label, datalist.parent / "a.nii.gz")
    with pytest.raises(ValueError, match=r"training: a: label .*a\.nii\.gz is not .* 60\.000 mm"):
        load_datalist(datalist, "volumes/training")


def test_volumes_when_a_nodule_lies_outside_then_refused(datalist):
    content = json.loads(datalist.read_text())
    nodule = {"id": 3, "diameter_mm": 5.0, "centre_lps_mm": [500, 0, 0]}
    content["volumes"]["training"][0]["nodules"] = [nodule]
    datalist.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="a: nodule 3 at .* lies outside the volume"):
        load_datalist(datalist, "volumes/training")


def test_edge_slice_then_repeated(datalist):
    second = load_datalist(datalist, "training")[1]
    image = LoadSlicesd()(second)["image"]
    assert torch.equal(image[0], image[1])
    assert not torch.equal(image[1], image[2])


def test_identities_when_label_voxels_or_the_split_change_then_that_one_differs(datalist):
    samples = load_datalist(datalist, "training")
    before = identities({"training": samples})
    label = np.load(samples[0]["label"])
    label[1, 0, 0] += 1
    np.save(samples[0]["label"], label)
    changed = identities({"training": samples})
    assert changed["labels"] != before["labels"]
    assert changed["slices"] == before["slices"]
    assert identities({"validation": samples})["slices"] != before["slices"]


def test_identities_of_whole_volumes_then_of_their_label_files(tmp_path):
    (tmp_path / "label.nii").write_bytes(b"a")
    sample = {"image": "image.nii", "label": str(tmp_path / "label.nii")}
    before = identities({"training": [sample]})
    (tmp_path / "label.nii").write_bytes(b"b")
    assert identities({"training": [sample]})["labels"] != before["labels"]


def test_without_neighbours_then_the_slice_alone(datalist):
    first = load_datalist(datalist, "training")[0]
    image = LoadSlicesd(neighbours=False)(first)["image"]
    np.testing.assert_array_equal(image, np.load(first["image"])[1:2])


def test_affine_then_leads_from_array_index_to_the_patient_in_ras(datalist):
    first = load_datalist(datalist, "training")[0]
    image = LoadSlicesd("image")(first)["image"]
    h, w = 2, 3
    lps = np.array(AFFINE) @ [w, h, first["slice"], 1]
    ras = image.affine.numpy() @ [h, w, 0, 1]
    np.testing.assert_allclose(ras, lps * [-1, -1, 1, 1])
    assert image.affine.shape == (4, 4)


def test_samples_then_collate_and_transform_and_name_their_case(datalist):
    samples = load_datalist(datalist, "training")
    transform = Compose([LoadSlicesd(), RandFlipd(("image", "label", "lung"), prob=1)])
    (batch,) = DataLoader(Dataset(samples, transform), batch_size=2)
    assert batch["image"].shape == (2, 3, 6, 8)
    assert isinstance(batch["image"], MetaTensor)
    assert batch["case"].tolist() == [0, 1]
    assert [samples[i]["slice"] for i in batch["case"]] == [61, 60]


def test_folder_moved_as_a_whole_then_still_read(datalist, tmp_path):
    shutil.move(datalist.parent, tmp_path / "elsewhere")
    (first, _) = load_datalist(tmp_path / "elsewhere" / "datalist.json", "training")
    assert LoadSlicesd()(first)["image"].shape == (3, 6, 8)


def test_datalist_moved_without_its_arrays_then_refused(datalist, tmp_path):
    shutil.copy(datalist, tmp_path / "alone.json")
    with pytest.raises(FileNotFoundError, match=r"3 of the 3 files listed in training.*image.npy"):
        load_datalist(tmp_path / "alone.json", "training")
    with pytest.raises(FileNotFoundError, match="2 of the 2 files"):
        load_datalist(tmp_path / "alone.json", "volumes/training")


def test_volumes_then_plain_absolute_paths(datalist):
    (volume,) = load_datalist(datalist, "volumes/training")
    assert volume["image"] == str(datalist.parent / "a.mhd")
    assert volume["case"] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "must be JSON"),
        ("[]", "must be a JSON object, got a list"),
        ('{"training": []}', "got training"),
        ('{"training": [{"image": "x"}], "validation": [], "test": []}', r"\[0\] lacks label"),
    ],
    ids=["no JSON", "a list", "a section missing", "plain volumes"],
)
def test_datalist_of_another_shape_then_refused(tmp_path, content, message):
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_datalist(tmp_path / "d.json", "training")


def test_no_datalist_or_unknown_section_then_says_what_to_do(datalist, tmp_path):
    with pytest.raises(FileNotFoundError, match="prepare DATASET` writes it"):
        load_datalist(tmp_path / "none.json", "training")
    with pytest.raises(ValueError, match="section: must be one of training, validation, test"):
        load_datalist(datalist, "train")


def test_datalist_without_volumes_then_says_how_to_get_them(datalist):
    content = json.loads(datalist.read_text())
    del content["volumes"]
    datalist.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"prepare luna16\) with --volumes true"):
        load_datalist(datalist, "volumes/training")


def test_array_cut_short_or_with_fewer_rows_then_named(datalist):
    (first, _) = load_datalist(datalist, "training")
    np.save(first["lung"], np.ones((1, 6, 8), np.uint8))
    with pytest.raises(ValueError, match=r"lung.npy: must be .* rows \[1\], got shape \(1, 6, 8\)"):
        LoadSlicesd("lung").__call__(first)
    with open(first["image"], "r+b") as file:
        file.truncate(200)
    with pytest.raises(ValueError, match="image.npy: damaged"):
        LoadSlicesd("image").__call__(first)


def test_key_that_is_not_prepared_then_refused():
    with pytest.raises(ValueError, match="keys: must be of image, label, lung, got"):
        LoadSlicesd(("image", "mask"))


def test_samples_without_lungs_but_with_known_classes_then_loaded_and_collated(tmp_path):
    path = write_prepared(tmp_path)
    content = json.loads(path.read_text())
    for number, sample in enumerate(content["training"]):
        del sample["lung"]
        sample["class_known"] = [True, number == 0]
    path.write_text(json.dumps(content))
    samples = load_datalist(path, "training")
    batch = list_data_collate([LoadSlicesd(("image", "label"))(sample) for sample in samples])
    assert set(batch) == {"image", "label", "case", "class_known"}
    assert batch["class_known"].tolist() == [[True, True], [True, False]]


def test_lung_when_the_scans_have_none_then_said_how_to_train_without(tmp_path):
    path = write_prepared(tmp_path)
    sample = load_datalist(path, "training")[0]
    del sample["lung"]
    with pytest.raises(
        ValueError, match="lung: scan .* without one; train .* --lung_masking False"
    ):
        LoadSlicesd()(sample)


MEAN = {"hu": -460.0, "windowed": 0.19, "window_hu": [-150.0, 250.0], "outside_window": "clip"}


@pytest.fixture
def write(tmp_path):
    def write(**content):
        sections = {"training": [], "validation": [], "test": []}
        path = tmp_path / "datalist.json"
        path.write_text(json.dumps({**sections, **content}))
        return path

    return write


def test_mean_then_is_that_of_the_windowed_images(write):
    assert training_mean(write(training_mean=MEAN), [-150, 250]) == 0.19


@pytest.mark.parametrize(
    ("window", "outside"), [([-200, 250], "clip"), ([-150, 250], "zero")], ids=["window", "outside"]
)
def test_mean_of_another_window_then_is_refused(write, window, outside):
    with pytest.raises(ValueError, match=r"mean after the window \[-150.0, 250.0, 'clip'\]"):
        training_mean(write(training_mean=MEAN), window, outside_window=outside)


def test_datalist_without_a_mean_then_is_refused(write):
    with pytest.raises(ValueError, match="no mean of the training images; prepare again"):
        training_mean(write(), [-150, 250])


def test_training_data_when_the_config_names_other_classes_then_refused(tmp_path):
    path = write_prepared(tmp_path)
    content = {**json.loads(path.read_text()), "classes": {"0": "background", "1": "spleen"}}
    path.write_text(json.dumps(content))
    samples = load_datalist(path, "training")
    assert training_data(path, samples, ["background", "spleen"]) == training_data(path, samples)
    with pytest.raises(ValueError, match=r"has \['background', 'spleen'\], the config .*'liver'"):
        training_data(path, samples, ["background", "liver"])


def test_labels_of_another_kind_then_refused_with_the_way_out(tmp_path):
    path = write_prepared(tmp_path)
    content = {**json.loads(path.read_text()), "name": "mine", "kind": "classes"}
    path.write_text(json.dumps(content))
    check_labels(path, kind="classes")
    check_labels(path)
    with pytest.raises(ValueError, match="labels of kind classes, this bundle takes instances"):
        check_labels(path, kind="instances")
    with pytest.raises(ValueError, match="this bundle takes instances"):
        training_data(path, load_datalist(path, "training"), kind="instances")


def test_training_data_then_labels_and_hashed_cases_without_any_name(tmp_path):
    samples = [{"series_uid": uid, "label_kind": "ball"} for uid in ("1.2", "1.3", "1.2")]
    data = training_data(tmp_path / "none.json", samples)
    assert (data["labels"], data["samples"], len(data["cases"])) == (["ball"], 3, 2)
    assert hashed_case("1.3", data["salt"]) in data["cases"]
    assert hashed_case("1.4", data["salt"]) not in data["cases"]
    assert "1.2" not in str(data["cases"])
    assert training_data(tmp_path / "none.json", samples[1:]) == data | {"samples": 2}


def test_training_data_then_validation_and_test_cases_and_data_set_without_folders(tmp_path):
    path = tmp_path / "datalist.json"
    entries = {
        name: [{"series_uid": uid, "patient_id": uid[0], "slice": 0} for uid in uids]
        for name, uids in {
            "training": ["a1", "a2"],
            "validation": ["b"],
            "test": ["c", "d"],
        }.items()
    }
    entries["test"][0]["scan_uid"] = "1.2.3"
    known = {"label": "readers", "min_readers": 2, "readers_xml": "/home/me", "split": {}}
    path.write_text(json.dumps({"name": "luna16", **entries, "provenance": known}))
    data = training_data(path, entries["training"])
    scans = TrainingScans.of(ModelFile(path, {}, {}, {"data": data}))
    asked = dict.fromkeys(("a1", "b"), (scans.includes, scans.was_selected_by, scans.set_aside))
    assert [each(["a1"]) for each in asked["a1"]] == [True, False, False]
    assert [each(["b"]) for each in asked["b"]] == [False, True, False]
    asked_for = [scans.set_aside([name]) for name in ("d", "1.2.3", "e")]
    assert asked_for == [True, True, False]
    assert data["partitions"]["training"] == {"samples": 2, "cases": 2, "patients": 1}
    assert (scans.test_cases, data["partitions"]["test"]["patients"]) == (2, 2)
    assert data["data_set"] == {"name": "luna16", "label": "readers", "min_readers": 2}
