"""The sum of the domains' losses, and what it does not train."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from custom_nets.encoders import ENCODERS
from custom_nets.survey.multi_domain import MultiDomainNetwork
from scripts.training.domain_loss import SumOverDomains
from scripts.training.losses import MarginalCrossEntropy, loss_of_known
from scripts.transforms.domains import DomainLabeld
from scripts.transforms.partial_labels import UNKNOWN_VOXEL
from tests.custom_nets.tiny import TinyEncoder

DOMAINS = {"nodules": 1, "organs": 3}


def labels_of(*domains):
    """Labels of samples of these domains: one nodule voxel, or background, liver, bone in turn."""
    nodule, organs = torch.zeros(1, 32, 32), torch.zeros(3, 32, 32)
    nodule[0, 4, 4] = 1
    for k in range(3):
        organs[k, k::3] = 1
    own = {"nodules": nodule, "organs": organs}
    convert = DomainLabeld("label", DOMAINS)
    return torch.stack([convert({"label": own[d], "domain": d})["label"] for d in domains])


@pytest.fixture
def loss():
    return SumOverDomains(
        DOMAINS, {"nodules": nn.BCEWithLogitsLoss(), "organs": MarginalCrossEntropy()}
    )


def test_batch_of_both_then_the_sum_of_their_own_losses(loss):
    logits = torch.randn(3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = labels_of("organs", "nodules", "organs")
    nodules = nn.BCEWithLogitsLoss()(logits[1:2, :1], labels[1:2, :1])
    organs = MarginalCrossEntropy()(logits[[0, 2], 1:], labels[[0, 2], 1:])
    torch.testing.assert_close(loss(logits, labels), nodules + organs)


def test_nodules_with_unknown_voxels_then_the_loss_of_their_known_ones_and_of_the_organs(loss):
    logits = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = labels_of("nodules", "organs")
    nodules = nn.BCEWithLogitsLoss(reduction="sum")(logits[:1, :1, :30], labels[:1, :1, :30])
    labels[0, 0, 30:] = UNKNOWN_VOXEL
    organs = MarginalCrossEntropy()(logits[1:, 1:], labels[1:, 1:])
    known = loss_of_known(loss, [{"unknown_value": 255, "domain": "nodules"}])
    torch.testing.assert_close(known(logits, labels), nodules / 32**2 + organs)


@pytest.mark.parametrize(("trained", "other"), [("nodules", "organs"), ("organs", "nodules")])
def test_batch_of_one_domain_then_the_gradient_of_the_other_head_is_exactly_zero(
    monkeypatch, loss, trained, other
):
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    network = MultiDomainNetwork("tiny", domains=DOMAINS, decoder_channels=(8,) * 5)
    loss(network(torch.rand(2, 3, 32, 32)), labels_of(trained, trained)).backward()
    assert all(not p.grad.any() for p in network.heads[other].parameters())
    assert all(p.grad.any() for p in network.heads[trained].parameters())
    assert network.trunk.encoder.blocks[0][0].weight.grad.any(), "shared layers learn from both"


def test_losses_of_other_domains_then_refused():
    with pytest.raises(ValueError, match="losses: must be one for each of nodules, organs"):
        SumOverDomains(DOMAINS, {"nodules": nn.BCEWithLogitsLoss()})
