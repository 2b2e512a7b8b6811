"""Pseudo-labels: which voxels get one, and how they are stored."""

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose

from scripts.datasets.datalist import load_datalist
from scripts.datasets.stored_slices import LoadSlicesd
from scripts.retraining.self_training.division import divide
from scripts.retraining.self_training.pseudo_labels import (
    UNKNOWN_VALUE,
    PseudoLabels,
    middle_row,
    write_pseudo_labels,
)
from scripts.transforms.partial_labels import UNKNOWN_VOXEL
from tests.bundles.config_files import LUNG, ROOT
from tests.scripts.retraining.few_patients import SIZE, SLICES, lesion_volumes, write_patients

ORGANS = (
    ROOT / "bundles" / "liver_ct_segmentation" / "configs" / "train.json",
    ROOT / "configs" / "data" / "ircadb_volumes.json",
)


def test_lesion_then_known_where_the_network_is_sure_of_either():
    probabilities = torch.tensor([[[0.0, 0.08, 0.12, 0.5, 0.88, 0.92, 1.0]]])
    expected = [0, 0, UNKNOWN_VALUE, UNKNOWN_VALUE, UNKNOWN_VALUE, 1, 1]
    assert PseudoLabels().label(probabilities).tolist() == [expected]
    expected = [0, 0, 0, UNKNOWN_VALUE, 1, 1, 1]
    assert PseudoLabels(0.8).label(probabilities).tolist() == [expected]


def test_organ_then_the_class_that_the_network_is_sure_of():
    probabilities = torch.tensor([[0.95, 0.5, 0.02], [0.03, 0.45, 0.03], [0.02, 0.05, 0.95]])
    label = PseudoLabels(known=(True, True, True)).label(probabilities.view(3, 1, 3))
    assert label.tolist() == [[0, UNKNOWN_VALUE, 2]]


def test_organ_when_no_labelled_patient_has_it_then_part_of_the_background():
    probabilities = torch.tensor([[0.5, 0.02], [0.05, 0.95], [0.45, 0.03]]).view(3, 1, 2)
    assert PseudoLabels(known=(True, True, False)).label(probabilities).tolist() == [[0, 1]]


@pytest.mark.parametrize("sure", [0.5, 1, "0.9", 1.2])
def test_probability_when_not_between_then_refused(sure):
    with pytest.raises(ValueError, match="sure: must be above 0.5 and below 1"):
        PseudoLabels(sure)


def test_classes_of_a_data_set_then_those_of_the_labelled_patients(tmp_path):
    datalist = write_patients(tmp_path, classes=True)
    assert PseudoLabels.of(divide(datalist, ["A"]), 0.9).known == (True, True, True, True)
    assert PseudoLabels.of(divide(datalist, ["B", "C"]), 0.9).known == (True, True, True, False)


def test_lesions_of_a_data_set_then_without_classes(tmp_path):
    assert PseudoLabels.of(divide(write_patients(tmp_path), ["A"]), 0.8) == PseudoLabels(0.8)


def test_stored_labels_then_loaded_as_training_samples_with_unknown_voxels(tmp_path):
    division = divide(write_patients(tmp_path / "prepared"), ["A", "B"])
    images = division.images()
    images.pop(1)  # a slice that is no sample
    maps = [(one, torch.full((1, SIZE, SIZE), 0.5)) for one in images]
    for number, (_, probabilities) in enumerate(maps):
        probabilities[0, number] = 0.97
        probabilities[0, -1] = 0.01
    entries = write_pseudo_labels(iter(maps), tmp_path / "labels", PseudoLabels())
    assert [one["patient_id"] for one in entries] == ["C", "C", "D", "D", "D"]
    assert len({one["label"] for one in entries}) == 2
    for number, entry in enumerate(entries):
        assert entry["label_kind"] == "pseudo"
        label = LoadSlicesd("label")(entry)["label"][0]
        assert (label[number] == 1).all()
        assert (label[-1] == 0).all()
        assert (label == UNKNOWN_VOXEL).sum() == SIZE * (SIZE - 2)
    stack = np.load(entries[0]["label"])
    assert stack.shape == np.load(entries[0]["image"]).shape
    assert (stack[1] == UNKNOWN_VALUE).all()  # the slice that is no sample


@pytest.mark.parametrize("classes", [False, True], ids=["lesions", "organs"])
def test_stored_volume_then_a_training_sample_on_its_grid_with_unknown_voxels(tmp_path, classes):
    datalist = write_patients(tmp_path / "prepared", classes=classes, volumes=True)
    division = divide(datalist, ["A", "B"], prefix="volumes/")
    probabilities = torch.full((4 if classes else 1, SIZE, SIZE, SLICES), 0.02 if classes else 0.5)
    probabilities[-1, 3] = 0.97  # x = 3
    probabilities[0, 5] = 0.97 if classes else 0.01
    how = PseudoLabels.of(division, 0.9)
    given = write_pseudo_labels(
        ((one, probabilities) for one in division.images()), tmp_path / "labels", how
    )
    written = division.write(tmp_path / "out", [*division.entries(["A"]), *given], {})
    entry = load_datalist(written, "volumes/training")[-1]  # which compares the grids
    lesions = (LUNG / "train.json", lesion_volumes(tmp_path / "volumes.json"))
    files = [str(file) for file in (ORGANS if classes else lesions)]
    parser = ConfigParser(ConfigParser.load_config_files(files))
    parser["lung_masking"] = False
    sample = Compose(parser.get_parsed_content("sample_transforms"))(entry)
    label = sample["label"][0].as_tensor()  # (Y, X, Z): H to posterior, W to the left
    assert (label[:, 3] == (3 if classes else 1)).all()
    assert (label[:, 5] == 0).all()
    assert (label == UNKNOWN_VOXEL).sum() == SIZE * (SIZE - 2) * SLICES


def test_entry_of_organs_then_with_the_classes_that_can_be_known():
    how = PseudoLabels(known=(True, False))
    entry = how.entry({"image": "a"}, "b")
    assert entry["class_known"] == [True, False]
    assert entry["unknown_value"] == UNKNOWN_VALUE


def test_middle_row_then_that_of_the_slice_itself():
    assert [middle_row({"rows": rows}) for rows in ([0, 0, 1], [4, 5, 6], [7])] == [0, 5, 7]
