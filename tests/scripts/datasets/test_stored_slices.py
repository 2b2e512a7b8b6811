import json

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, list_data_collate
from monai.transforms import Compose, RandFlipd

from scripts.datasets.datalist import load_datalist
from scripts.datasets.stored_slices import LoadSlicesd
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
    np.testing.assert_array_equal(loaded["lung"], np.load(first["lung"])[:3])
    assert set(loaded) == {"image", "label", "lung", "case"}


def test_edge_slice_then_repeated(datalist):
    second = load_datalist(datalist, "training")[1]
    image = LoadSlicesd()(second)["image"]
    assert torch.equal(image[0], image[1])
    assert not torch.equal(image[1], image[2])


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


def test_array_cut_short_or_with_fewer_rows_then_named(datalist):
    (first, _) = load_datalist(datalist, "training")
    np.save(first["lung"], np.ones((1, 6, 8), np.uint8))
    with pytest.raises(ValueError, match=r"lung.npy: must be .* rows .*, got shape \(1, 6, 8\)"):
        LoadSlicesd("lung").__call__(first)
    with open(first["image"], "r+b") as file:
        file.truncate(200)
    with pytest.raises(ValueError, match="image.npy: damaged"):
        LoadSlicesd("image").__call__(first)


def test_key_that_is_not_prepared_then_refused():
    with pytest.raises(ValueError, match="keys: must be of image, label, lung, context, got"):
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
        ValueError,
        match=r"lung: scan .* without one; train .* --lung_masking False; where .* an input of its "
        r"own \(luna16_window_and_lung\.json\), prepare data that have one",
    ):
        LoadSlicesd()(sample)


def test_label_with_a_value_for_unknown_then_these_voxels_are_unknown(datalist):
    first = load_datalist(datalist, "training")[0]
    stored = np.load(first["label"])[1].astype(int)
    label = LoadSlicesd("label")({**first, "unknown_value": 7})["label"]
    assert label.dtype == torch.int16
    np.testing.assert_array_equal(label[0], np.where(stored == 7, -1, stored))
    assert LoadSlicesd("label")(first)["label"].dtype == torch.uint8


def test_context_when_no_maps_were_made_then_their_command_named(datalist):
    with pytest.raises(ValueError, match="context: scan a was .* scripts context_maps"):
        LoadSlicesd(["image", "context"])(load_datalist(datalist, "training")[0])
