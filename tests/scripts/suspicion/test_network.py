"""What networks compute of a nodule."""

import numpy as np
import pytest
import torch

from scripts.suspicion.network import Network, component_at, least_seen
from tests.scripts.suspicion.networks import write_classifier_of_crops, write_unet


def test_features_then_channels_inside_the_dilated_mask_mean_and_highest(
    nodules, tiny_encoder, tmp_path
):
    network = Network.of_model(write_unet(tmp_path / "m.pt", tiny_encoder))
    nodule = nodules[0]
    found = network.features(nodule)
    channels = sum(network.network.encoder.block_channels[3:])
    assert found.shape == (2 * channels,)
    assert (found[channels:] >= found[:channels] - 1e-6).all()
    moved = nodule.with_mask(np.roll(nodule.mask, 8, axis=2))
    assert np.abs(network.features(moved) - found).max() > 1e-6
    slices = nodule.mask.any(axis=(1, 2))
    far = nodule.hu.copy()
    far[: slices.argmax() - 2] = 3000  # beyond the neighbours of the nodule's slices
    np.testing.assert_allclose(network.features(type(nodule)(**{**vars(nodule), "hu": far})), found)


def test_inputs_then_every_slice_with_its_neighbours_in_the_window(tiny_encoder, tmp_path):
    network = Network.of_model(write_unet(tmp_path / "m.pt", tiny_encoder))
    hu = np.array([-1000, -300, 400], np.int16)[:, None, None] * np.ones((3, 4, 4), np.int16)
    inputs = network.inputs(hu)
    assert inputs.shape == (3, 3, 4, 4)
    assert inputs[:, :, 0, 0].tolist() == [[0, 0, 0.5], [0, 0.5, 1], [0.5, 1, 1]]


def test_segmented_then_one_component_above_the_threshold(nodules, tiny_encoder, tmp_path):
    network = Network.of_model(write_unet(tmp_path / "m.pt", tiny_encoder))
    nodule = nodules[0]
    with torch.no_grad():
        logits = network.network(network.inputs(nodule.hu))[:, 0].numpy()
    expected = component_at(1 / (1 + np.exp(-logits)) >= 0.5, nodule.mask)
    np.testing.assert_array_equal(network.segmented(nodule), expected)


def test_encoder_without_training_then_features_but_no_masks(nodules, tiny_encoder):
    network = Network.of_encoder("none", tiny_encoder)
    assert network.features(nodules[0]).size
    assert not network.has_seen([nodules[0].scan_id])
    with pytest.raises(ValueError, match="predicts no masks"):
        network.segmented(nodules[0])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"lung_masking": True}, "without lung masking"), ({"out_channels": 2}, "for one class")],
)
def test_model_when_trained_otherwise_then_refused(tiny_encoder, tmp_path, settings, reason):
    path = write_unet(tmp_path / "m.pt", tiny_encoder, **settings)
    with pytest.raises(ValueError, match=reason):
        Network.of_model(path)


def test_model_when_no_u_net_then_refused(tiny_encoder, tmp_path):
    path = write_classifier_of_crops(tmp_path / "m.pt", tiny_encoder)
    with pytest.raises(ValueError, match="must be a U-Net"):
        Network.of_model(path)


def test_component_then_the_one_that_overlaps_most_or_none():
    mask = np.array([[[1, 1, 0, 1, 1, 1]]], bool)
    place = np.array([[[0, 1, 1, 1, 1, 0]]], bool)
    assert component_at(mask, place).tolist() == [[[False, False, False, True, True, True]]]
    assert not component_at(mask, np.array([[[0, 0, 1, 0, 0, 0]]], bool)).any()


def test_least_seen_then_the_network_of_the_fewest_patients(tiny_encoder, tmp_path):
    files = {"all": ["s1", "s2"], "one": ["s2"]}
    networks = [
        Network.of_model(write_unet(tmp_path / f"{name}.pt", tiny_encoder, seen=seen))
        for name, seen in files.items()
    ]
    chosen, known = least_seen(networks, {"p1": ["s1"], "p2": ["s0", "s2"]})
    assert chosen.name.startswith("one.pt")
    assert known == ["p2"]
    assert least_seen(networks, {"p1": ["s1"]})[1] == []
