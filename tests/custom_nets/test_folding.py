"""Folded norms: the same logits, in fewer steps; what cannot be folded is refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from custom_nets.cross_modal import CrossModalUNet
from custom_nets.fcn import TransferFCN
from custom_nets.folding import FoldedCopy, fold_norms
from custom_nets.freezing import Freezable, FreezableBatchNorm2d
from custom_nets.unet import TransferUNet

SLIM = (32, 16, 16, 8, 8)
NETWORKS: dict[str, tuple[Callable[[], Freezable], int, int]] = {
    # the maker, norms that can be folded, norms that stay
    "vgg16": (lambda: TransferUNet("vgg16", in_channels=1, decoder_channels=SLIM), 10, 0),
    "resnet34": (lambda: TransferUNet("resnet34", in_channels=1, decoder_channels=SLIM), 46, 0),
    "inception": (lambda: TransferUNet("inception_v3", in_channels=1), 104, 0),
    # each of its 58 layers has one before and one after its first convolution
    "densenet": (lambda: TransferUNet("densenet121", decoder_channels=SLIM), 69, 62),
    "vgg11_bn": (lambda: TransferUNet("vgg11_bn", in_channels=1, decoder_channels=SLIM), 18, 0),
    # its decoder has ten; each depthwise convolution is folded, those of the gates have no norm
    "mobilenet": (lambda: TransferUNet("mobilenet_v3_small", decoder_channels=SLIM), 44, 0),
    "efficientnet": (lambda: TransferFCN("efficientnet_b0", in_channels=1), 49, 0),
    "convnext": (lambda: TransferUNet("convnext_tiny", decoder_channels=SLIM), 10, 0),
    "fcn": (lambda: TransferFCN("resnet34", in_channels=1), 36, 0),
    "two encoders": (lambda: CrossModalUNet(in_channels=1, decoder_channels=SLIM), 82, 0),
    "group norm": (lambda: TransferUNet("resnet34", norm="group"), 36, 0),
}


class Crossed(Freezable):
    """Registers a norm after one convolution and calls it after another."""

    def __init__(self) -> None:
        super().__init__()
        self.in_channels = 1
        self.first = nn.Conv2d(1, 4, 1)
        self.norm = FreezableBatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 1)
        self.name_parts({"decoder": {"decoder": ["first", "norm", "second"]}})

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, 4, H, W)."""
        return self.norm(self.second(self.first(x)))  # type: ignore[no-any-return]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def norms_of(network: nn.Module) -> list[FreezableBatchNorm2d]:
    return [m for m in network.modules() if isinstance(m, FreezableBatchNorm2d)]


def trained_looking(network: Freezable) -> Freezable:
    """Give the norms statistics and weights that change what passes."""
    for norm in norms_of(network):
        for values in (norm.running_mean, norm.bias.data):
            values.normal_(0, 0.1)
        for values in (norm.running_var, norm.weight.data):
            values.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_logits_stay_those_of_the_network(name: str) -> None:
    make, folded, left = NETWORKS[name]
    network = trained_looking(make())
    image = torch.rand(2, network.in_channels, 64, 70)
    with torch.no_grad():
        before = network(image)
        assert fold_norms(network) == folded
        after = network(image)
    assert len(norms_of(network)) == left
    assert float((after - before).abs().max()) < 1e-4 * float(before.abs().max())


def test_norms_that_moved_nothing_would_not_show_a_mistake() -> None:
    network = trained_looking(NETWORKS["resnet34"][0]())
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        before = network(image)
        for norm in norms_of(network):
            norm.running_var.fill_(1)
        after = network(image)
    assert float((after - before).abs().max()) > 1e-2 * float(before.abs().max())


def test_a_network_in_training_is_refused() -> None:
    with pytest.raises(ValueError, match="got training mode; call eval"):
        fold_norms(TransferUNet("resnet34", decoder_channels=SLIM))


def test_a_network_that_calls_its_modules_in_another_order_is_refused_and_left_alone() -> None:
    network = trained_looking(Crossed())
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError, match="set fold_norms to false"):
        fold_norms(network)
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(value, weights[key]) for key, value in network.state_dict().items())


def test_a_network_that_does_not_state_its_channels_is_refused() -> None:
    network = trained_looking(Crossed())
    del network.in_channels
    with pytest.raises(ValueError, match="must state the channels of its images in in_channels"):
        fold_norms(network)


def test_random_numbers_of_the_run_are_not_touched() -> None:
    network = trained_looking(NETWORKS["resnet34"][0]())
    state = torch.get_rng_state()
    fold_norms(network)
    assert torch.equal(state, torch.get_rng_state())


def test_folded_copy_then_own_network_unchanged_and_copied_once():
    network = trained_looking(NETWORKS["fcn"][0]()).eval()
    before = len(norms_of(network))
    copies = FoldedCopy()
    copy = copies.of(network)
    assert copy is copies.of(network) is not network
    assert len(norms_of(network)) == before > len(norms_of(copy))
    image = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        logits = network(image)
        assert (copy(image) - logits).abs().max() < 1e-4 * logits.abs().max()
        next(network.parameters()).mul_(2)
    assert copies.of(network) is not copy


def test_folded_copy_when_there_is_nothing_to_change_then_the_network_itself():
    folded = trained_looking(NETWORKS["fcn"][0]()).eval().to(memory_format=torch.channels_last)
    fold_norms(folded)
    training = NETWORKS["fcn"][0]().train()
    other = nn.Conv2d(1, 1, 1)
    for network in (folded, training, other):
        assert FoldedCopy().of(network) is network
