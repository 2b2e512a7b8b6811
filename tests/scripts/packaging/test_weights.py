import io

import pytest
import torch

from scripts.packaging.weights import check_ports, trained_network, weights_file

CONFIG = {
    "out": 3,
    "network_def": {
        "_target_": "torch.nn.Conv2d",
        **{"in_channels": 2, "out_channels": "@out", "kernel_size": 1},
    },
}


@pytest.fixture
def trained(tmp_path):
    network = torch.nn.Conv2d(2, 3, 1)
    torch.save({"model": network.state_dict(), "epoch": 1}, tmp_path / "model.pt")
    return network, tmp_path / "model.pt"


def test_network_of_a_config_then_with_the_trained_weights_and_in_eval_mode(trained):
    network, path = trained
    made = trained_network(CONFIG, path)
    assert not made.training
    assert all(torch.equal(made.state_dict()[k], v) for k, v in network.state_dict().items())


def test_weights_of_another_network_then_refused(trained):
    with pytest.raises(ValueError, match="network"):
        trained_network({**CONFIG, "out": 4}, trained[1])


def test_weights_file_then_bare_loadable_and_equal_bytes(trained):
    network, _ = trained
    content = weights_file(network)
    assert content == weights_file(network)
    loaded = torch.load(io.BytesIO(content), weights_only=True)
    assert loaded.keys() == network.state_dict().keys()


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
