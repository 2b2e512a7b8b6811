"""Layers trained one at a time: who moves, what each one sees, and what the seed decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scripts.unsupervised.layerwise import encodings, train_layers


class Linear(nn.Module):
    """Auto-encoder with a norm, and dropout in training mode."""

    def __init__(self, inputs: int, outputs: int, seen: list[Tensor] | None = None) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs))
        self.dropout = nn.Dropout(0.2)
        self.decoder = nn.Linear(outputs, inputs)
        self.seen = seen

    def encode(self, x: Tensor) -> Tensor:
        encoded: Tensor = self.dropout(self.encoder(x))
        return encoded

    def loss(self, x: Tensor) -> Tensor:
        if self.seen is not None:
            self.seen.append(x)
        return (self.decoder(self.encode(x)) - x).square().mean()


def stack(seed: int = 0) -> list[Linear]:
    torch.manual_seed(seed)
    return [Linear(6, 4), Linear(4, 3), Linear(3, 2)]


def batches() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(8, 6, generator=generator) for _ in range(3)]


def trained(layers: list[Linear], **options: Any) -> list[list[float]]:
    return train_layers(
        layers, batches(), **{"epochs": 3, "learning_rate": 0.01, "seed": 2, **options}
    )


def states(layer: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in layer.state_dict().values()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_layers_when_the_next_is_trained_then_those_before_stay_bit_equal() -> None:
    layers, kept = stack(), []
    trained(layers, after_layer=lambda number: kept.append([states(one) for one in layers]))
    first, second, third = kept
    assert same(first[0], third[0])
    assert same(second[1], third[1])
    start = [states(one) for one in stack()]
    assert same(first[1], start[1])  # a layer is as it was built until its turn
    assert all(not same(third[i], start[i]) for i in range(3))


def test_layer_then_it_sees_the_encodings_of_those_before_in_evaluation_mode() -> None:
    seen: list[Tensor] = []
    layers = [Linear(6, 4), Linear(4, 3, seen)]
    trained(layers, epochs=1)
    with torch.no_grad():
        expected = [layers[0].encode(batch) for batch in batches()]
    assert same(seen, expected)
    assert not any(tensor.requires_grad for tensor in seen)


def test_losses_then_one_for_each_epoch_and_falling() -> None:
    history = trained(stack(), epochs=30)
    assert [len(losses) for losses in history] == [30, 30, 30]
    assert all(losses[-1] < 0.7 * losses[0] for losses in history)


def test_training_when_the_seed_is_the_same_then_bit_equal_and_the_generator_is_kept() -> None:
    one, other, third = stack(), stack(), stack()
    torch.manual_seed(5)
    trained(one)
    torch.rand(7)
    before = torch.get_rng_state()
    trained(other)
    assert torch.equal(torch.get_rng_state(), before)
    trained(third, seed=3)
    assert all(same(states(a), states(b)) for a, b in zip(one, other, strict=True))
    assert not same(states(one[0]), states(third[0]))


def test_layers_when_trained_then_in_evaluation_mode() -> None:
    layers = stack()
    trained(layers)
    assert not any(module.training for layer in layers for module in layer.modules())


def test_encodings_then_in_the_order_of_the_batches() -> None:
    layers = [layer.eval() for layer in stack()]
    found = list(encodings(layers[:2], batches()))
    assert torch.equal(found[2], layers[1].encode(layers[0].encode(batches()[2])))


class Exploding(Linear):
    def loss(self, x: Tensor) -> Tensor:
        return super().loss(x) / 0


def frozen() -> Linear:
    return Linear(6, 4).requires_grad_(False)


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        (stack, {"epochs": 0}, "epochs: must be a whole number, at least 1, got 0"),
        (stack, {"seed": -1}, "seed: must be a whole number, at least 0"),
        (stack, {"learning_rate": 0.0}, "learning_rate: must be a number above 0, got 0.0"),
        (list, {}, "layers: must be at least one, got none"),
        (lambda: [frozen()], {}, "layer 1 has no parameter that trains"),
        (lambda: [Exploding(6, 4)], {}, "loss: is inf in layer 1 of 1, epoch 1 of 3, batch 1"),
    ],
)
def test_training_when_something_is_wrong_then_one_line_says_what(
    layers: Callable[[], list[Linear]], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        trained(layers(), **options)


def test_training_when_batches_are_an_iterator_or_empty_then_refused() -> None:
    options: dict[str, Any] = {"epochs": 2, "learning_rate": 0.1, "seed": 0}
    with pytest.raises(ValueError, match="got an iterator, which ends after the first"):
        train_layers(stack(), iter(batches()), **options)
    with pytest.raises(ValueError, match="batches: must be at least one, got none in layer 1"):
        train_layers(stack(), [], **options)


def test_training_when_a_loss_is_not_finite_then_the_weights_are_unchanged() -> None:
    layer = Exploding(6, 4)
    before = [parameter.clone() for parameter in layer.parameters()]
    with pytest.raises(ValueError, match="loss"):
        trained([layer])
    assert same(before, list(layer.parameters()))
