"""Two pictures of a slice, each through its own encoder, trained and evaluated by config alone."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from monai.transforms import Compose

from scripts.bundle.model_file import ModelFile, check_settings
from scripts.datasets.datalist import load_datalist
from tests.bundles.bundle_commands import CONFIGS, SMALL, run_here
from tests.bundles.config_files import LUNG, parser_of
from tests.custom_nets.tiny import TinyEncoder

pytestmark = [
    pytest.mark.usefixtures("_at_root"),
    pytest.mark.filterwarnings("ignore:Num foregrounds 0:UserWarning"),
]
NETWORK = "configs/networks/cross_modal.json"
PICTURES = ["luna16_two_windows", "luna16_window_and_lung"]


def neighbours_of(volume, number, in_channels):
    reach = range(-(in_channels // 2), in_channels // 2 + 1)
    inside = [min(max(number + step, 0), volume.shape[-1] - 1) for step in reach]
    return volume[0].numpy()[..., inside].transpose(2, 0, 1)


def sample_of(cohort, data, **overrides):
    files = [LUNG / "train.json", NETWORK, f"configs/data/{data}.json"]
    transforms = parser_of(*files, **overrides).get_parsed_content("sample_transforms")
    section = load_datalist(cohort / "prepared" / "datalist.json", "training")
    return Compose(transforms)(section[0])


@pytest.mark.parametrize("in_channels", [1, 3])
def test_two_windows_then_both_in_one_image_each_with_its_own_scale(cohort, in_channels):
    asked = {"in_channels": in_channels, "lung_masking": False, "outside_window": "clip"}
    first, second = sample_of(cohort, PICTURES[0], **asked)["image"].split(in_channels)
    hu = first * 1400 - 1000
    # where neither window clips, one follows from the other
    inside = (second > 0) & (second < 1)
    assert inside.any()
    torch.testing.assert_close(second[inside], ((hu + 160) / 400)[inside], atol=1e-4, rtol=0)
    assert first.min() >= 0
    assert second.max() <= 1


@pytest.mark.parametrize("in_channels", [1, 3])
def test_window_and_lung_then_the_lung_field_is_the_second_half(cohort, in_channels):
    item = sample_of(cohort, PICTURES[1], in_channels=in_channels, lung_masking=False)
    assert item["image"].dtype == torch.float32
    second = item["image"][in_channels:].as_tensor()
    assert torch.equal(second, item["lung"].as_tensor().float())
    assert 0 < second.mean() < 1


def test_lung_channels_of_earlier_versions_then_refused_with_what_to_do(tmp_path):
    config = parser_of(LUNG / "train.json", NETWORK, f"configs/data/{PICTURES[1]}.json")
    settings = {"network_def": None, **config.get_parsed_content("model_settings")}
    earlier = {**settings, "input_kind": "window and lung field"}
    model = ModelFile(tmp_path / "model.pt", {}, earlier)
    with pytest.raises(ValueError, match=r"input_kind: .*; earlier versions gave every slice the "):
        check_settings(model, settings)
    check_settings(dataclasses.replace(model, settings=settings), settings)


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
@pytest.mark.parametrize("in_channels", [1, 3])
@pytest.mark.parametrize("data", PICTURES)
def test_ct_then_its_slices_have_the_input_of_the_training(cohort, data, in_channels):
    section = load_datalist(cohort / "prepared" / "datalist.json", "training")
    asked = {"in_channels": in_channels, "lung_masking": False}
    expected = sample_of(cohort, data, **asked)["image"].as_tensor()
    files = [LUNG / "inference.json", f"configs/data/{data.replace('luna16', 'ct')}.json"]
    (ct,) = (cohort / "phantoms").glob(f"subset*/{section[0]['series_uid']}.mhd")
    steps = parser_of(*files, **asked, crop=False, ckpt_path="none")
    item, number = (
        steps.get_parsed_content("preprocessing")({"image": str(ct)}),
        section[0]["slice"],
    )
    found = item["image"].as_tensor()[..., number]
    if "lung" in data:  # found in the CT; the prepared one is the phantom's own
        lung = torch.from_numpy(neighbours_of(item["lung"], number, in_channels)).float()
        assert (lung != expected[in_channels:]).float().mean() < 0.01
        expected[in_channels:] = lung
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("data", ["luna16_slices", *PICTURES])
def test_lung_masking_then_each_neighbour_black_outside_its_own_lung(cohort, tmp_path, data):
    files = [LUNG / "train.json", NETWORK, f"configs/data/{data}.json"]
    sample = dict(load_datalist(cohort / "prepared" / "datalist.json", "training")[0])
    lung = np.load(sample["lung"])
    for row, shift in zip(sample["rows"], (-9, 0, 9), strict=True):  # as three other shapes
        lung[row] = np.roll(lung[row], shift, axis=0)
    np.save(tmp_path / "lung.npy", lung)
    sample["lung"] = str(tmp_path / "lung.npy")
    masked, whole = (
        Compose(
            parser_of(
                *files, in_channels=3, lung_masking=asked, outside_window="clip"
            ).get_parsed_content("sample_transforms")
        )(sample)["image"][:3]
        for asked in (True, False)
    )
    own = torch.from_numpy(lung[sample["rows"]] > 0)
    torch.testing.assert_close(masked.as_tensor(), torch.where(own, whole, 0.0).as_tensor())


@pytest.mark.parametrize("data", PICTURES)
def test_sample_then_else_as_of_one_picture(cohort, data):
    alone, both = (sample_of(cohort, name) for name in ("luna16_slices", data))
    assert alone.keys() == both.keys()
    for key in ("label", "instances", "lung"):
        assert torch.equal(alone[key], both[key])
    assert torch.equal(alone["image"], both["image"][: len(alone["image"])])


@pytest.mark.parametrize("data", PICTURES)
def test_frozen_blocks_of_both_encoders_then_bit_equal_after_training_by_config(
    cohort, tiny_encoder, tmp_path, data
):
    started = TinyEncoder()
    torch.save(started.state_dict(), tmp_path / "encoder.pt")
    narrow = {"encoder": tiny_encoder, "decoder_channels": [4] * 5}
    asked = {**SMALL, **narrow, "dataset_dir": str(cohort / "prepared"), "num_workers": 0}
    asked |= {"encoder_weights": str(tmp_path / "encoder.pt"), "output_dir": str(tmp_path / "run")}
    overlays = [NETWORK, "configs/runtime/small.json", f"configs/data/{data}.json"]
    files = [f"{CONFIGS}/train.json", *overlays, "configs/strategies/shallow.json"]
    run_here("training", files, {**asked, "batch_size": 11})  # two iterations
    model = torch.load(tmp_path / "run" / "model.pt", weights_only=True)["model"]
    for block, layers in started.parts.items():
        paths = [path for layer in layers.values() for path in layer]
        keys = [key for key in started.state_dict() if key.rpartition(".")[0] in paths]
        for encoder in ("first", "second"):
            pairs = [(model[f"{encoder}.{key}"], started.state_dict()[key]) for key in keys]
            same = [torch.equal(a, b) for a, b in pairs]
            assert all(same) == (block != "block5"), (encoder, block)
    keys = ["blocks.4.0.weight"]
    assert not any(torch.equal(model[f"first.{k}"], model[f"second.{k}"]) for k in keys)
    asked = {"dataset_dir": str(cohort / "prepared"), "num_workers": 0, "pictures": 1}
    asked |= {"ckpt_path": str(tmp_path / "run" / "model.pt"), "output_dir": str(tmp_path / "eval")}
    run_here("evaluating", [f"{CONFIGS}/evaluate.json", f"configs/data/{data}.json"], asked)
    summary = json.loads((tmp_path / "eval" / "summary.json").read_text())
    assert summary["counts"]["slices"] == 1
