"""One domain of a network for several, as the model file of its bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from custom_nets.encoders import ENCODERS
from custom_nets.survey.multi_domain import MultiDomainNetwork
from custom_nets.unet import TransferUNet
from scripts.bundle.model_file import content_of, read_model, settings_of, settings_of_config
from scripts.packaging.domain_model import write_domain
from scripts.training.weights.trained_weights import TrainedWeights
from tests.bundles.config_files import ROOT
from tests.custom_nets.tiny import TinyEncoder

LUNG, LIVER = (f"bundles/{name}_ct_segmentation" for name in ("lung_nodule", "liver"))


@pytest.fixture
def trained(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    domains = {"nodules": 1, "organs": 4}
    network = MultiDomainNetwork("tiny", domains=domains, decoder_channels=(8,) * 5).eval()
    settings = settings_of(network, {"input_kind": "domains", "in_channels": 3})
    data = {"cases": ["a"], "salt": "b"}
    torch.save(content_of(network.state_dict(), settings, data), tmp_path / "model.pt")
    return network, str(tmp_path / "model.pt")


def test_domain_then_a_model_that_the_bundle_takes(trained, tmp_path):
    network, path = trained
    write_domain(path, "nodules", LUNG, str(tmp_path / "nodules.pt"))
    single = TransferUNet("tiny", decoder_channels=(8,) * 5)
    usual = settings_of_config(Path(LUNG, "configs", "train.json"))
    asked = {name: value for name, value in usual.items() if name != "network_def"}
    TrainedWeights(single, tmp_path / "nodules.pt", settings=asked).load()
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(single.eval()(image), network(image)[:, :1])
    assert read_model(tmp_path / "nodules.pt").record["data"]["cases"] == ["a"]


def test_domain_with_the_bundle_of_another_then_refused(trained, tmp_path):
    with pytest.raises(ValueError, match="has 4 outputs, the domain nodules has 1"):
        write_domain(trained[1], "nodules", LIVER, str(tmp_path / "x.pt"))
    with pytest.raises(ValueError, match="domain must be among nodules, organs"):
        write_domain(trained[1], "bones", LUNG, str(tmp_path / "x.pt"))


def test_file_of_another_network_then_refused(trained, tmp_path):
    single = TransferUNet("tiny", decoder_channels=(8,) * 5)
    torch.save(content_of(single.state_dict(), settings_of(single, {}), {}), tmp_path / "single.pt")
    with pytest.raises(ValueError, match="must be of a MultiDomainNetwork, got .*TransferUNet"):
        write_domain(str(tmp_path / "single.pt"), "nodules", LUNG, str(tmp_path / "x.pt"))
