import json
from functools import partial

import pytest
import torch

from custom_nets.plain import PlainNetwork
from custom_nets.survey.voxresnet import VoxResNet
from scripts.packaging.network_format import channel_names, described, spatial_dims
from tests.scripts.packaging.packages import LUNG

METADATA = json.loads((LUNG / "configs" / "metadata.json").read_text())
WINDOWS = {"window_hu": [-1000, 400], "second_window_hu": "@other", "other": [-160, 240]}


def input_of(network, inference):
    return described(METADATA, network, inference)["network_data_format"]["inputs"]["image"]


def test_network_of_three_slices_then_the_metadata_of_the_bundle():
    network = torch.nn.Conv2d(3, 1, 1)
    assert spatial_dims(network) == 2
    assert described(METADATA, network, {"window_hu": [-1000, 400]}) == METADATA


@pytest.mark.parametrize("channels", [1, 4])
def test_network_of_other_slices_then_its_channels_are_named(channels):
    found = input_of(torch.nn.Conv2d(channels, 1, 1), {})
    assert found["num_channels"] == len(found["channel_def"]) == channels
    last = {1: "slice", 4: "probability of nodule, by an earlier network"}[channels]
    assert found["channel_def"][str(channels - 1)] == last
    assert found["spatial_shape"] == ["*", "*"]


@pytest.mark.parametrize(
    ("inference", "names"),
    [
        (WINDOWS, ["slice above, -1000 to 400 HU", "slice below, -160 to 240 HU"]),
        (
            {"input_kind": "window and lung field of each slice"},
            ["slice above", "lung field of the slice"],
        ),
    ],
)
def test_network_of_two_pictures_of_a_slice_then_the_second_follows_the_first(inference, names):
    found = input_of(torch.nn.Conv2d(6, 1, 1), inference)
    assert found["num_channels"] == 6
    assert [found["channel_def"][channel] for channel in "23"] == names


def test_network_of_volumes_then_patches_windows_and_maps():
    network = VoxResNet(3, 1, widths=(1, 1))
    made = described(METADATA, network, {**WINDOWS, "volume_patch_size": [48, 48, 16]})
    formats = made["network_data_format"]
    assert formats["inputs"]["image"]["channel_def"] == {
        "0": "volume, -1000 to 400 HU",
        "1": "volume, -160 to 240 HU",
        "2": "probability of nodule, by an earlier network",
    }
    for one in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        assert (one["spatial_shape"], one["spatial_dims"]) == ([48, 48, 16], 3)
        assert one["is_patch_data"]
    assert "VoxResNet on patches of volumes of 3 channels" in made["description"]
    assert METADATA["network_data_format"]["inputs"]["image"]["spatial_shape"] == ["*", "*"]


def test_channels_that_nobody_names_then_left_to_the_check_of_the_ports():
    assert input_of(torch.nn.Conv2d(9, 1, 1), {})["num_channels"] == 3


@pytest.mark.parametrize(("outputs", "names"), [(1, ["nodule"]), (2, ["background", "nodule"])])
def test_network_inside_another_then_its_outputs_are_named(outputs, names):
    inference = {"class_names": ["background", "nodule"]}
    inner = partial(VoxResNet, 1, outputs, widths=(1, 1))
    wrapped = PlainNetwork(inner, in_channels=1, spatial_dims=3)
    assert channel_names(inference, wrapped) == channel_names(inference, inner()) == names
    assert channel_names({}, wrapped) is None
