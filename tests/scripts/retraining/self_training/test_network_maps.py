"""Probability maps of slices and volumes: the network's own, in their order, without labels."""

import json

import pytest
import torch

from custom_nets.unet import TransferUNet
from scripts.datasets.stored_slices import read_rows
from scripts.retraining.self_training.division import divide
from scripts.retraining.self_training.network_maps import NetworkMaps
from tests.bundles.config_files import LUNG, ROOT
from tests.bundles.model_files import write_model
from tests.scripts.retraining.few_patients import SIZE, SLICES, lesion_volumes, write_patients

LIVER = ROOT / "bundles" / "liver_ct_segmentation"
SMALL = {"decoder_channels": [8, 8, 8, 8, 8], "num_workers": 0, "encoder": "tiny"}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "small.json").write_text(json.dumps({**SMALL, "lung_masking": False}))
    return [LUNG / "train.json", tmp_path / "small.json"]


def tiny_network(out_channels):
    torch.manual_seed(0)
    return TransferUNet(
        "tiny",
        in_channels=3,
        out_channels=out_channels,
        weights="none",
        decoder_channels=[8, 8, 8, 8, 8],
    ).eval()


def test_maps_then_the_networks_own_for_each_slice_with_its_neighbours(
    tiny_encoder, files, tmp_path
):
    division = divide(write_patients(tmp_path / "prepared", unlabelled="CDT"), ["A", "B"])
    network = tiny_network(1)
    model = write_model(tmp_path / "model.pt", network, LUNG, {"lung_masking": False})
    images = division.images()
    found = list(NetworkMaps(files).probabilities(model, images))
    assert [entry for entry, _ in found] == images
    for entry, probabilities in found:
        assert probabilities.shape == (1, SIZE, SIZE)
        hu = torch.from_numpy(read_rows(entry["image"], entry["rows"], "float32"))
        windowed = ((hu + 1000) / 1400)[None]
        windowed = torch.where((windowed < 0) | (windowed > 1), 0.0, windowed)
        with torch.no_grad():
            expected = network(windowed)[0].sigmoid()
        torch.testing.assert_close(probabilities, expected, atol=1e-5, rtol=0)


def test_maps_of_organs_then_probabilities_of_all_classes(tiny_encoder, tmp_path):
    division = divide(write_patients(tmp_path / "prepared", classes=True, unlabelled="BCD"), ["A"])
    (tmp_path / "small.json").write_text(json.dumps(SMALL))
    maps = NetworkMaps([LIVER / "configs" / "train.json", tmp_path / "small.json"])
    assert maps.key_metric == "val_iou_pooled"
    model = write_model(tmp_path / "model.pt", tiny_network(4), LIVER / "configs")
    for _, probabilities in maps.probabilities(model, division.images()):
        assert probabilities.shape == (4, SIZE, SIZE)
        torch.testing.assert_close(probabilities.sum(dim=0), torch.ones(SIZE, SIZE))


def test_figure_of_the_validation_then_that_of_the_config(files):
    assert NetworkMaps(files).key_metric == "val_dice_per_slice"


def test_maps_of_volumes_then_the_networks_own_in_the_order_of_the_patient(
    tiny_encoder, files, tmp_path
):
    datalist = write_patients(tmp_path / "prepared", unlabelled="CDT", volumes=True)
    slices, whole = (divide(datalist, ["A", "B"], prefix=prefix) for prefix in ("", "volumes/"))
    network = tiny_network(1)
    model = write_model(tmp_path / "model.pt", network, LUNG, {"lung_masking": False})
    maps = NetworkMaps([*files, lesion_volumes(tmp_path / "volumes.json")])
    images = whole.images()
    found = list(maps.probabilities(model, images))
    assert [entry for entry, _ in found] == images
    of_slices = [one for _, one in NetworkMaps(files).probabilities(model, slices.images())]
    for number, (_, probabilities) in enumerate(found):  # (1, X, Y, Z); slices are (1, Y, X)
        assert probabilities.shape == (1, SIZE, SIZE, SLICES)
        for row in range(SLICES):
            expected = of_slices[number * SLICES + row].transpose(1, 2)
            torch.testing.assert_close(probabilities[..., row], expected, atol=1e-4, rtol=0)


def test_file_without_settings_then_refused(tiny_encoder, files, tmp_path):
    torch.save(tiny_network(1).state_dict(), tmp_path / "bare.pt")
    (tmp_path / "prepared").mkdir()
    images = divide(write_patients(tmp_path / "data"), ["A"]).images()
    with pytest.raises(ValueError, match="model: .* does not say of which network it is"):
        list(NetworkMaps(files).probabilities(tmp_path / "bare.pt", images))
