"""Convolutional RBMs: energies, the gradient of CD-1 by enumeration, and what training does."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_nets.survey.crbm import ConvolutionalRBM
from scripts.unsupervised.layerwise import train_layers


def rbm(*, kernel: int = 2, units: int = 2, **options: object) -> ConvolutionalRBM:
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, units, kernel)
    nn.init.normal_(convolution.weight, std=0.8)
    nn.init.normal_(convolution.bias, std=0.5)  # type: ignore[arg-type]
    return ConvolutionalRBM(convolution, torch.tensor([0.3]), **options)  # type: ignore[arg-type]


def binary_states(count: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=count)))


def energies(layer: ConvolutionalRBM, visible: Tensor, hidden: Tensor) -> Tensor:
    """Return -v W h - b v - c h of each pair of states, by its definition."""
    weight, bias = layer.convolution.weight.flatten(1), layer.convolution.bias
    pairs = visible @ weight.T @ hidden.T + (hidden @ bias)[None]
    return -(pairs + (visible.sum(dim=1) * layer.visible_bias)[:, None])


def test_free_energy_of_a_binary_machine_then_the_sum_over_its_hidden_states() -> None:
    layer = rbm(visible="binary", hidden="binary")
    visible, hidden = binary_states(4), binary_states(2)
    expected = -torch.logsumexp(-energies(layer, visible, hidden), dim=1)
    torch.testing.assert_close(layer.free_energy(visible.view(-1, 1, 2, 2)), expected)


def gradient(layer: ConvolutionalRBM) -> Tensor:
    parameters = [layer.convolution.weight, layer.convolution.bias, layer.visible_bias]
    return torch.cat(
        [p.grad.flatten().clone() for p in parameters if p is not None and p.grad is not None]
    )


def test_contrastive_divergence_of_a_binary_machine_then_the_enumerated_gradient() -> None:
    layer = rbm(visible="binary", hidden="binary")
    states, hidden = binary_states(4), binary_states(2)
    data = torch.tensor([[1.0, 1, 0, 0], [0, 1, 0, 1], [1, 1, 1, 0]])
    with torch.no_grad():
        up = torch.softmax(-energies(layer, data, hidden), dim=1)  # p(h | v)
        down = torch.softmax(-energies(layer, states, hidden), dim=0)  # p(v' | h)
        reconstructed = (up @ down.T).mean(dim=0)  # p(v') one step from the data
    free = layer.free_energy(states.view(-1, 1, 2, 2))
    exact = layer.free_energy(data.view(-1, 1, 2, 2)).mean() - (reconstructed * free).sum()
    exact.backward()
    expected = gradient(layer)
    layer.zero_grad()
    torch.manual_seed(1)
    layer.loss(data.repeat(20000, 1).view(-1, 1, 2, 2)).backward()
    error = (gradient(layer) - expected).norm() / expected.norm()
    assert error < 0.05
    assert expected.norm() > 0.1


def test_rectified_machine_then_the_gradient_is_that_of_mean_activations() -> None:
    layer = rbm(units=3)
    visible = torch.randn(2, 1, 4, 4)
    layer.free_energy(visible).sum().backward()
    mean = layer.expected(layer.activations(visible)).detach()
    patches = F.unfold(visible, 2)
    expected = -torch.einsum("bup,bkp->uk", mean.flatten(2), patches)
    grad = layer.convolution.weight.grad
    assert grad is not None
    torch.testing.assert_close(grad.flatten(1), expected)
    assert layer.visible_bias.grad is not None
    own = (layer.visible_bias - visible).sum()
    assert layer.visible_bias.grad.item() == pytest.approx(own.item(), rel=1e-4)


def test_restored_then_the_transposed_convolution_of_the_size_of_the_input() -> None:
    layer = rbm(kernel=3, units=2)
    hidden = torch.randn(1, 2, 4, 5)
    expected = torch.full((6, 7), 0.3)
    for unit, row, column in itertools.product(range(2), range(4), range(5)):
        kernel = layer.convolution.weight[unit, 0].detach()
        expected[row : row + 3, column : column + 3] += hidden[0, unit, row, column] * kernel
    torch.testing.assert_close(layer.restored(hidden)[0, 0], expected)


def test_hidden_units_then_drawn_about_their_activations() -> None:
    torch.manual_seed(0)
    activations = torch.full((100_000,), 3.0)
    drawn = rbm().sampled_hidden(activations)
    assert drawn.mean().item() == pytest.approx(3.0, abs=0.02)
    assert drawn.var().item() == pytest.approx(torch.sigmoid(torch.tensor(3.0)).item(), rel=0.03)
    on = rbm(hidden="binary").sampled_hidden(activations)
    assert on.mean().item() == pytest.approx(torch.sigmoid(torch.tensor(3.0)).item(), abs=0.01)
    assert set(on.unique().tolist()) <= {0.0, 1.0}


def structures(count: int) -> list[Tensor]:
    """Make batches of images (4, 1, 16, 16) of bright bars, about mean 0 and deviation 1."""
    generator = torch.Generator().manual_seed(2)
    batches = []
    for _ in range(count):
        images = torch.full((4, 1, 16, 16), -0.5)
        for image in images:
            row, column = torch.randint(14, (2,), generator=generator).tolist()
            image[0, row : row + 2] += 2
            image[0, :, column : column + 2] += 2
        batches.append(images)
    return batches


def test_training_then_restores_images_and_prefers_them_to_shuffled_ones() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 8, 5)
    nn.init.normal_(convolution.weight, std=0.01)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    bias = torch.zeros(1)
    layer = ConvolutionalRBM(convolution, bias, sparsity=0.1)
    held_back = torch.cat(structures(8)[6:])
    before = layer.restoration_error(held_back)
    train_layers([layer], structures(6), epochs=15, learning_rate=3e-3, seed=0)
    assert layer.restoration_error(held_back) < 0.5 * before
    assert bias.item() != 0  # the network's buffer is what trains
    shuffled = held_back.flatten()[torch.randperm(held_back.numel())].view_as(held_back)
    with torch.no_grad():
        assert layer.free_energy(held_back).mean() < layer.free_energy(shuffled).mean()


def test_sparsity_then_moves_the_hidden_biases_towards_the_target_alone() -> None:
    plain, sparse = rbm(), rbm(sparsity=2.0, target=0.1)
    data = torch.rand(3, 1, 5, 5)
    for layer in (plain, sparse):
        torch.manual_seed(0)
        layer.loss(data).backward()
    torch.testing.assert_close(plain.convolution.weight.grad, sparse.convolution.weight.grad)
    difference = sparse.convolution.bias.grad - plain.convolution.bias.grad  # type: ignore[operator]
    mean = sparse.encode(data).mean(dim=(0, 2, 3)).detach()
    torch.testing.assert_close(difference, 2 * (mean - 0.1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"visible": "poisson"}, "visible must be one of gaussian, relu, binary"),
        ({"hidden": "gaussian"}, "hidden one of relu, binary"),
        ({"sparsity": -1.0}, "sparsity be at least 0"),
    ],
)
def test_option_when_unknown_then_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rbm(**options)
    with pytest.raises(ValueError, match="no padding"):
        ConvolutionalRBM(nn.Conv2d(1, 1, 3, padding=1), torch.zeros(1))
