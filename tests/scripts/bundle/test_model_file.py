import json

import pytest
import torch

from custom_nets.encoders import ENCODERS
from custom_nets.unet import TransferUNet
from scripts.bundle.model_file import (
    bare,
    check_settings,
    content_of,
    read_model,
    settings_of,
    trained_network,
    trained_settings,
)
from tests.custom_nets.tiny import TinyEncoder

SETTINGS = {"input_kind": "window", "window_hu": (-1000, 400), "threshold": 0.5}


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    return TransferUNet("tiny", decoder_channels=[4] * 5, norm="group")


@pytest.fixture
def model(network, tmp_path):
    content = content_of(network.state_dict(), settings_of(network, SETTINGS), {"labels": ["ball"]})
    torch.save(content, tmp_path / "model.pt")
    return read_model(tmp_path / "model.pt")


@pytest.fixture
def train_json(tmp_path):
    network_def = {"_target_": "custom_nets.unet.TransferUNet", "encoder": "@encoder"}
    network_def |= {"weights": "@encoder_weights", "decoder_channels": [4] * 5}
    content = {"encoder": "tiny", "encoder_weights": "imagenet", "window_hu": [0, 1]}
    told = {"window_hu": "@window_hu", "input_kind": "window"}
    content |= {"network_def": network_def, "model_settings": told}
    (tmp_path / "train.json").write_text(json.dumps(content))
    return tmp_path / "train.json"


def test_file_then_plain_python_that_says_network_input_data_and_versions(model, network):
    assert model.settings["window_hu"] == [-1000, 400]
    assert model.settings["network_def"] == network.definition
    assert model.record["data"] == {"labels": ["ball"]}
    assert {"torch", "monai"} <= model.record["versions"].keys()
    json.dumps([model.settings, model.record])


def test_bare_state_dict_then_as_other_tools_load_it_and_still_says_what_it_is(
    model, network, tmp_path
):
    torch.save(bare(model, network.state_dict()), tmp_path / "bare.pt")
    state = torch.load(tmp_path / "bare.pt", weights_only=True)
    assert state.keys() == network.state_dict().keys()
    again = read_model(tmp_path / "bare.pt")
    assert (again.settings, again.record) == (model.settings, model.record)


def test_equal_settings_then_accepted(model, network):
    check_settings(model, settings_of(network, SETTINGS))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"window_hu": [0, 1]}, r"window_hu: the file has \[-1000, 400\], the config has \[0, 1\]"),
        ({"input_kind": "volume"}, "config has 'volume'; add the file of configs/data"),
        ({"lung_masking": True}, "lung_masking: not in the file, the config has True"),
    ],
    ids=["window", "kind of input", "setting that the file lacks"],
)
def test_difference_then_refused_by_name(model, network, changed, said):
    with pytest.raises(ValueError, match=said):
        check_settings(model, settings_of(network, {**SETTINGS, **changed}))


def test_several_differences_then_all_are_named(model, network):
    other = TransferUNet("tiny", decoder_channels=[4] * 5, norm="instance")
    with pytest.raises(ValueError, match=r"network_def::norm.*; window_hu: the file has"):
        check_settings(model, settings_of(other, {**SETTINGS, "window_hu": [0, 1]}))


def test_threshold_then_may_be_chosen_anew_with_a_warning(model, network, caplog):
    check_settings(model, settings_of(network, {**SETTINGS, "threshold": 0.3}))
    assert "threshold: 0.3; model.pt was trained with 0.5" in caplog.text


def test_settings_for_a_config_then_the_files_or_those_of_training_where_there_is_none(
    model, train_json
):
    assert trained_settings(model.path, train_json)["window_hu"] == [-1000, 400]
    usual = trained_settings("nowhere.pt", train_json)
    assert usual["window_hu"] == [0, 1]
    assert "weights" not in usual["network_def"]
    assert trained_network(usual).definition["encoder"] == "tiny"


def test_network_that_does_not_say_what_it_reads_then_taken_for_any_input(
    network, train_json, tmp_path
):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "bare.pt")
    for path in ("nowhere.pt", tmp_path / "bare.pt"):
        settings = trained_settings(path, train_json)
        assert "input_kind" not in settings
        assert trained_network(settings, input_kind="volume").definition["encoder"] == "tiny"


@pytest.mark.parametrize(
    "changed",
    [
        {"window_hu": [0, "$print(1)"]},
        {"window_hu": "@device"},
        {"input_kind": "%configs/data/samples.json::a"},
        {"network_def": {"_target_": "custom_nets.unet.TransferUNet", "norm": "$print(1)"}},
        {"domains": {"_target_": "os.system", "command": "ls"}},
    ],
    ids=["expression", "reference", "macro", "argument of the network", "component"],
)
def test_settings_that_a_config_would_evaluate_then_refused(network, train_json, tmp_path, changed):
    settings = settings_of(network, SETTINGS) | changed
    torch.save(content_of(network.state_dict(), settings, {}), tmp_path / "m.pt")
    with pytest.raises(ValueError, match=f"settings::{next(iter(changed))}.* would evaluate"):
        trained_settings(tmp_path / "m.pt", train_json)


def test_network_of_the_settings_then_the_one_that_was_trained(model, network):
    rebuilt = trained_network(model.settings)
    rebuilt.load_state_dict(model.weights)
    assert rebuilt.definition == network.definition
    assert trained_network(model.settings, norm="none").definition["norm"] == "none"


def test_settings_that_are_no_dictionary_then_refused(tmp_path):
    torch.save({"model": {}, "settings": "all"}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="settings is a str"):
        read_model(tmp_path / "model.pt")


def test_network_of_another_input_then_refused_before_it_is_built():
    files = {"training": "configs/data/luna16_nodule_patches.json"}
    settings = {"input_kind": "patches of a slice", "data_files": files, "network_def": {}}
    said = "on 'patches of a slice', the config gives it 'window'; add for training .* evaluated"
    with pytest.raises(ValueError, match=said):
        trained_network(settings, input_kind="window")
