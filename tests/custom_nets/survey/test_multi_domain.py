"""One network for several domains: what is shared, and the network of each domain."""

from __future__ import annotations

import io

import pytest
import torch
import torch.nn.functional as F

from custom_nets.definition import build_network
from custom_nets.encoders import ENCODERS
from custom_nets.survey.multi_domain import MultiDomainNetwork, channels_of
from custom_nets.unet import TransferUNet
from tests.custom_nets.tiny import TinyEncoder

DOMAINS = {"nodules": 1, "organs": 4}
WIDTHS = (8, 8, 8, 8, 8)


@pytest.fixture
def network(monkeypatch):
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    torch.manual_seed(0)
    return MultiDomainNetwork("tiny", domains=DOMAINS, decoder_channels=WIDTHS).eval()


def test_output_then_the_heads_side_by_side_on_the_same_features(network):
    image = torch.rand(2, 3, 40, 50)
    state = network.state_dict()
    with torch.no_grad():
        features, found = network.trunk(image), network(image)
    heads = [
        F.conv2d(features, state[f"heads.{name}.weight"], state[f"heads.{name}.bias"])
        for name in DOMAINS
    ]
    assert features.shape == (2, 8, 40, 50)
    torch.testing.assert_close(found, torch.cat(heads, dim=1))


def test_parameters_then_those_of_a_unet_and_a_head_for_each_domain(network):
    single = TransferUNet("tiny", decoder_channels=WIDTHS, out_channels=1)
    count = sum(p.numel() for p in single.parameters()) - (8 + 1)
    assert sum(p.numel() for p in network.parameters()) == count + (8 + 1) + 4 * (8 + 1)


@pytest.mark.parametrize("domain", DOMAINS)
def test_network_of_one_domain_then_the_same_logits(network, domain):
    single = network.for_domain(domain)
    assert isinstance(single, TransferUNet)
    image = torch.rand(1, 3, 33, 64)
    with torch.no_grad():
        torch.testing.assert_close(single(image), network(image)[:, channels_of(DOMAINS)[domain]])
    single.decoder.head.weight.data.zero_()
    assert network.heads[domain].weight.abs().sum() > 0, "a copy"


def test_parts_then_as_in_a_unet_and_the_heads_belong_to_the_decoder(network):
    single = TransferUNet("tiny", decoder_channels=WIDTHS)
    assert network.block_names == single.block_names
    network.set_trainable(["decoder"])
    released = {name for name, p in network.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in released} == {"trunk", "heads"}
    assert not any(name.startswith("trunk.encoder") for name in released)


def test_definition_then_rebuilds_and_refuses_other_domains(network):
    again = build_network(network.definition)
    again.load_state_dict(network.state_dict())
    other = MultiDomainNetwork("tiny", domains={"a": 1, "b": 4}, decoder_channels=WIDTHS)
    with pytest.raises(ValueError, match="domains"):
        other.load_state_dict(network.state_dict())


def test_torchscript_then_the_same(network):
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(network), stream)
    stream.seek(0)
    image = torch.rand(1, 3, 32, 40)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(stream)(image), network(image))


@pytest.mark.parametrize("domains", [{"nodules": 1}, {"nodules": 1, "organs": 0}])
def test_domains_that_are_none_then_refused(network, domains):
    with pytest.raises(ValueError, match="domains must be two or more"):
        MultiDomainNetwork("tiny", domains=domains)


def test_unknown_domain_then_refused(network):
    with pytest.raises(ValueError, match="domain must be among nodules, organs; got 'liver'"):
        network.for_domain("liver")
