"""Order, augmentation and dropout of an epoch, whatever happened in the epochs before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import monai.utils
import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset, DataLoader, Dataset
from monai.transforms import Compose, RandGaussianNoised
from torch.utils.data import RandomSampler, WeightedRandomSampler

from scripts.training.determinism import EpochSeed, epoch_seed
from tests.scripts.training.tiny_training import augmentation, samples

# Python 3.12 warns wherever a loader forks its workers beside any thread.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* multi-threaded:DeprecationWarning")

Seen = list[tuple[list[int], torch.Tensor, float, float]]


@pytest.fixture(autouse=True)
def _random_states_afterwards() -> Iterator[None]:
    """Leave other tests the random states and cuDNN flags that they had."""
    yield
    monai.utils.set_determinism(None)


def loader(workers: int = 0, dataset: type[Dataset] = Dataset, **settings: Any) -> DataLoader:
    shuffle = {} if "sampler" in settings else {"shuffle": True}
    extra = {"progress": False} if dataset is CacheDataset else {}
    data = dataset(samples(6, 1), augmentation(), **extra)
    return DataLoader(data, batch_size=2, num_workers=workers, **shuffle, **settings)


def epochs(
    data: DataLoader, *, seed: int = 3, start: int = 0, stop: int = 3, length: int | None = None
) -> list[Seen]:
    """Cases, images, torch's and numpy's own numbers in each batch of epochs start+1 .. stop."""
    seen: list[Seen] = []

    def step(engine: Engine, batch: dict[str, Any]) -> None:
        # numpy's global state is what is looked at here
        drawn = float(torch.rand(())), float(np.random.rand())  # noqa: NPY002
        image = batch["image"].as_subclass(torch.Tensor).clone()
        seen[-1].append((batch["case"].tolist(), image, *drawn))

    engine = Engine(step)
    engine.add_event_handler(Events.EPOCH_STARTED, lambda: seen.append([]))
    EpochSeed(seed).attach(engine)
    length = length or len(data)
    engine.load_state_dict({"epoch": start, "max_epochs": stop, "epoch_length": length})
    engine.run(data)
    return seen


def same(one: list[Seen], other: list[Seen]) -> bool:
    return len(one) == len(other) and all(
        len(a) == len(b)
        and all(
            x[0] == y[0] and torch.equal(x[1], y[1]) and x[2:] == y[2:]
            for x, y in zip(a, b, strict=True)
        )
        for a, b in zip(one, other, strict=True)
    )


MAKERS: dict[str, Callable[[], DataLoader]] = {
    "no workers": lambda: loader(0),
    "two workers": lambda: loader(2),
    "cached data": lambda: loader(0, CacheDataset),
    "cached data and two workers": lambda: loader(2, CacheDataset),
    "weighted sampler": lambda: loader(0, sampler=WeightedRandomSampler([1.0] * 6, 6)),
    "sampler with replacement": lambda: loader(0, sampler=RandomSampler(range(6), True)),
    "generator of its own": lambda: loader(0, generator=torch.Generator().manual_seed(8)),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_epochs_when_a_run_goes_on_later_then_they_equal_those_of_one_run(
    make: Callable[[], DataLoader],
) -> None:
    whole = epochs(make())
    torch.rand(5)
    assert same(whole[1:], epochs(make(), start=1))
    assert not same(whole[:1], whole[1:2])


def test_epochs_when_the_loader_is_longer_than_an_epoch_then_each_starts_anew() -> None:
    whole = epochs(loader(), length=2)
    assert same(whole[2:], epochs(loader(), start=2, length=2))


def test_order_when_workers_differ_then_it_is_the_same() -> None:
    one, other = epochs(loader(0)), epochs(loader(2))
    assert [[b[0] for b in epoch] for epoch in one] == [[b[0] for b in epoch] for epoch in other]


def test_epochs_when_the_seed_differs_then_order_and_augmentation_differ() -> None:
    one, other = epochs(loader(), seed=1), epochs(loader(), seed=2)
    assert [b[0] for b in one[0]] != [b[0] for b in other[0]]
    assert not torch.equal(one[0][0][1], other[0][0][1])


def test_validation_when_it_draws_random_numbers_then_they_depend_on_the_epoch_alone() -> None:
    def validate(first: int) -> dict[int, torch.Tensor]:
        seen: dict[int, torch.Tensor] = {}
        noise = Compose([RandGaussianNoised("image", prob=1.0)])
        evaluator = Engine(lambda engine, batch: batch["image"].as_subclass(torch.Tensor).clone())
        data = DataLoader(Dataset(samples(2, 1), noise), batch_size=2)
        trainer = Engine(lambda engine, batch: None)
        EpochSeed(3, evaluator=evaluator).attach(trainer)

        @trainer.on(Events.EPOCH_COMPLETED)
        def _run() -> None:
            epoch = trainer.state.epoch
            evaluator.state.max_epochs, evaluator.state.epoch = epoch, epoch - 1
            evaluator.state.epoch_length = 1
            evaluator.state.iteration = 0
            evaluator.run(data, max_epochs=epoch)
            seen[epoch] = evaluator.state.output

        trainer.load_state_dict({"epoch": first, "max_epochs": 3, "epoch_length": 3})
        trainer.run(loader())
        return seen

    whole, later = validate(0), validate(1)
    assert torch.equal(whole[3], later[3])
    assert not torch.equal(whole[2], whole[3])


def test_workers_when_they_persist_then_they_are_refused() -> None:
    with pytest.raises(ValueError, match="persistent_workers: must be false"):
        epochs(loader(2, persistent_workers=True))


@pytest.mark.parametrize("seed", [-1, True, 0.5, None, "1"])
def test_seed_when_it_is_no_count_then_it_is_refused(seed: Any) -> None:
    with pytest.raises(ValueError, match="seed: must be a whole number of at least 0, got"):
        EpochSeed(seed)


def test_epoch_seed_when_any_part_differs_then_it_differs() -> None:
    seeds = {
        epoch_seed(seed, epoch, stream=stream, rank=rank)
        for seed in range(3)
        for epoch in range(3)
        for stream in range(2)
        for rank in range(2)
    }
    assert len(seeds) == 36
