import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from custom_nets.definition import build_network
from custom_nets.survey.stacked_autoencoder import (
    SparseAutoEncoder,
    StackedAutoEncoder,
    reconstruction_error,
    sparsity_divergence,
)

PATCHES, WIDTHS = 20, (12, 7, 5)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return StackedAutoEncoder(PATCHES, WIDTHS)


@pytest.fixture
def patches():
    return torch.randn(9, PATCHES, generator=torch.Generator().manual_seed(1))


def by_hand(state, x):
    """Features and reconstruction from the tensors alone."""
    for k in range(3):
        x = torch.sigmoid(
            F.linear(x, state[f"layers.{k}.encoder.weight"], state[f"layers.{k}.encoder.bias"])
        )
    features = x
    for k in (2, 1, 0):
        x = F.linear(x, state[f"layers.{k}.decoder.weight"], state[f"layers.{k}.decoder.bias"])
        x = torch.sigmoid(x) if k else x
    return features, x


def test_forward_then_equal_to_the_formula_written_out(network, patches):
    features, output = by_hand(network.state_dict(), patches)
    assert_close(network.encode(patches), features, atol=1e-5, rtol=0)
    assert_close(network(patches), output, atol=1e-5, rtol=0)
    assert_close(network.loss(patches), ((output - patches) ** 2).sum() / 2 / len(patches))


def test_parameters_then_as_many_as_counted_by_hand(network):
    encoders = 20 * 12 + 12 + 12 * 7 + 7 + 7 * 5 + 5
    decoders = 12 * 20 + 20 + 7 * 12 + 12 + 5 * 7 + 7
    assert sum(p.numel() for p in network.parameters()) == encoders + decoders


def test_loss_of_a_layer_then_its_error_in_variances_and_the_weighted_divergence(patches):
    layer = SparseAutoEncoder(PATCHES, 6, linear_output=True, sparsity=0.1, sparsity_weight=2.0)
    x = 3 * patches
    hidden = torch.sigmoid(layer.encoder(x))
    variance = ((x - x.mean(0)) ** 2).mean()
    error = ((layer.decoder(hidden) - x) ** 2).sum(1).mean() / 2 / variance
    m = hidden.mean(0)
    divergence = (0.1 * torch.log(0.1 / m) + 0.9 * torch.log(0.9 / (1 - m))).sum()
    assert_close(layer.loss(x), error + 2 * divergence)


def test_divergence_then_gradient_as_by_finite_differences():
    features = torch.rand(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    features.requires_grad_()
    sparsity_divergence(features, 0.05).backward()
    step = 1e-6
    for index in ((0, 0), (3, 2), (4, 3)):
        change = torch.zeros_like(features)
        change[index] = step
        with torch.no_grad():
            above, below = (sparsity_divergence(features + s * change, 0.05) for s in (1, -1))
        assert_close(features.grad[index], (above - below) / (2 * step), rtol=1e-5, atol=1e-8)


def test_divergence_then_least_at_the_target_and_above_0_on_either_side():
    values = [sparsity_divergence(torch.full((3, 2), m), 0.05).item() for m in (0.05, 0.01, 0.3)]
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert min(values[1:]) > 0.02


def test_units_that_are_never_or_always_active_then_a_finite_divergence():
    for value in (0.0, 1.0):
        assert torch.isfinite(sparsity_divergence(torch.full((3, 2), value), 0.05))


def test_sparsity_then_units_less_active_after_training(patches):
    def activity(weight):
        torch.manual_seed(0)
        layer = SparseAutoEncoder(PATCHES, 8, linear_output=True, sparsity_weight=weight)
        optimizer = torch.optim.Adam(layer.parameters(), 0.02)
        for _ in range(150):
            optimizer.zero_grad()
            layer.loss(patches).backward()
            optimizer.step()
        return layer.encode(patches).mean().item()

    assert activity(10.0) < 0.15 < 0.3 < activity(0.0)


def test_constant_input_then_a_finite_loss_and_features(network):
    constant = torch.full((4, PATCHES), 5.0)
    assert torch.isfinite(network.layers[0].loss(constant))
    assert torch.isfinite(network.encode(constant)).all()


def test_definition_then_builds_the_network_again(network, patches):
    again = build_network(network.definition)
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(patches), network(patches))


def test_error_then_half_the_squares_of_a_sample():
    assert reconstruction_error(torch.zeros(2, 3), torch.full((2, 3), 2.0)).item() == 6


def test_patches_of_another_length_then_refused(network):
    with pytest.raises(ValueError, match="patches must be .N, 20.; got .2, 19."):
        network.encode(torch.rand(2, 19))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": ()}, "widths: must name at least one layer"),
        ({"widths": (4, 0)}, "widths: must be at least 1, got 0"),
        ({"sparsity": 1.0}, "sparsity, sparsity_weight"),
        ({"sparsity_weight": -1.0}, "sparsity, sparsity_weight"),
    ],
)
def test_number_out_of_range_then_refused(options, message):
    with pytest.raises(ValueError, match=message):
        StackedAutoEncoder(PATCHES, **{"widths": WIDTHS, **options})
