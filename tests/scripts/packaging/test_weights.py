import io

import pytest
import torch

from scripts.bundle.model_file import content_of, read_model
from scripts.packaging.weights import check_ports, trained_network, weights_file

CONFIG = {
    "out": 3,
    "model_settings": {"window_hu": [-1000, 400]},
    "network_def": {
        "_target_": "torch.nn.Conv2d",
        **{"in_channels": 2, "out_channels": "@out", "kernel_size": 1},
    },
}


@pytest.fixture
def trained(tmp_path):
    network = torch.nn.Conv2d(2, 3, 1)
    settings = {"network_def": None, "window_hu": [-1000, 400]}
    torch.save(content_of(network.state_dict(), settings, {"seed": 3}), tmp_path / "model.pt")
    return network, tmp_path / "model.pt"


def test_network_of_a_config_then_with_the_trained_weights_and_in_eval_mode(trained):
    network, path = trained
    made = trained_network(CONFIG, path)
    assert not made.training
    assert all(torch.equal(made.state_dict()[k], v) for k, v in network.state_dict().items())


def test_weights_of_another_network_then_refused(trained):
    with pytest.raises(ValueError, match="network"):
        trained_network({**CONFIG, "out": 4}, trained[1])


def test_config_whose_network_does_not_exist_then_named_by_its_id(trained):
    with pytest.raises(ValueError, match=r"network_def: _target_: torch\.nn\.Conv-2d does not"):
        trained_network({**CONFIG, "network_def": {"_target_": "torch.nn.Conv-2d"}}, trained[1])


def test_config_with_another_window_then_refused_by_name(trained):
    with pytest.raises(ValueError, match=r"window_hu: the file has \[-1000, 400\], the config has"):
        trained_network({**CONFIG, "model_settings": {"window_hu": [-500, 100]}}, trained[1])


def test_file_that_does_not_say_how_it_was_trained_then_only_on_request(trained, tmp_path):
    torch.save(trained[0].state_dict(), tmp_path / "foreign.pt")
    with pytest.raises(ValueError, match="window_hu cannot be checked"):
        trained_network(CONFIG, tmp_path / "foreign.pt")
    made = trained_network(CONFIG, tmp_path / "foreign.pt", unchecked_model=True)
    assert torch.equal(made.weight, trained[0].weight)


def test_weights_file_then_bare_loadable_equal_bytes_and_with_its_settings(trained, tmp_path):
    network, path = trained
    content = weights_file(network, read_model(path))
    assert content == weights_file(network, read_model(path))
    loaded = torch.load(io.BytesIO(content), weights_only=True)
    assert loaded.keys() == network.state_dict().keys()
    (tmp_path / "packaged.pt").write_bytes(content)
    assert read_model(tmp_path / "packaged.pt").settings == read_model(path).settings


def ports(inputs, outputs):
    return {
        "network_data_format": {
            "inputs": {"image": {"num_channels": inputs}},
            "outputs": {"pred": {"num_channels": outputs}},
        }
    }


def test_metadata_with_the_networks_channels_then_taken(trained):
    check_ports(trained[0], ports(2, 3))


@pytest.mark.parametrize(("inputs", "outputs", "name"), [(1, 3, "1 input"), (2, 1, "1 output")])
def test_metadata_with_other_channels_then_refused(trained, inputs, outputs, name):
    with pytest.raises(ValueError, match=f"{name} channels"):
        check_ports(trained[0], ports(inputs, outputs))
