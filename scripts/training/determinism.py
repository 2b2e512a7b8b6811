"""Randomness of every epoch as a function of (seed, epoch): resuming needs no random states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd
from monai.utils import set_determinism
from torch.utils.data import DataLoader

from scripts.training.engine_events import keep_state

TRAINING, VALIDATION, ORDER = 0, 1, 2


def epoch_seed(seed: int, epoch: int, *, stream: int = TRAINING, rank: int = 0) -> int:
    """Return a 32-bit seed that is independent of those of other epochs, streams and processes.

    Example:
        >>> epoch_seed(0, 1) == epoch_seed(0, 1), epoch_seed(0, 1) == epoch_seed(1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence((seed, epoch, stream, rank)).generate_state(1)[0])


class EpochSeed:
    """Ignite handler that makes order, augmentation and dropout functions of (seed, epoch).

    When an epoch starts it seeds Python, numpy and torch (as ``monai.utils.set_determinism`` does),
    gives the loader and its sampler their own generators, seeds every ``Randomizable`` of the data
    set, and only then creates the loader's iterator. Worker processes are seeded from that
    generator by torch, their transforms by ``monai.data.DataLoader``. The augmentation depends on
    the number of workers and processes, which draw separately; the order does not: the processes of
    a distributed run share the batches that a single process would get.

    Args:
        seed: of the run; 0 or more.
        evaluator: its loader is seeded in the same way, for validation with random numbers.

    Raises:
        ValueError: when the seed is not a whole number of at least 0.

    Example:
        >>> EpochSeed(-1)
        Traceback (most recent call last):
        ...
        ValueError: seed: must be a whole number of at least 0, got -1
    """

    def __init__(self, seed: int, *, evaluator: Engine | None = None) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f"seed: must be a whole number of at least 0, got {seed!r}")
        self.seed = seed
        self.evaluator = evaluator

    def attach(self, engine: Engine) -> None:
        """Seed every epoch of a trainer."""
        keep_state(engine, "seed", None, settings={"seed": self.seed})
        engine.add_event_handler(Events.EPOCH_STARTED, self._training_epoch)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.EPOCH_STARTED, self._validation_epoch)

    def _training_epoch(self, trainer: Engine) -> None:
        seed = epoch_seed(self.seed, trainer.state.epoch, rank=_rank())
        set_determinism(seed)
        order = epoch_seed(self.seed, trainer.state.epoch, stream=ORDER)
        seed_loader(trainer.state.dataloader, seed, order_seed=order)
        # Ignite creates the first iterator after this event and later ones when a batch is missing;
        # set_data makes every epoch start at the first sample, after the seeding.
        trainer.set_data(trainer.state.dataloader)

    def _validation_epoch(self, evaluator: Engine) -> None:
        """Seed the loader only: ignite creates a new iterator for each validation."""
        epoch = evaluator.state.epoch
        seed = epoch_seed(self.seed, epoch, stream=VALIDATION, rank=_rank())
        seed_loader(evaluator.state.dataloader, seed, order_seed=epoch_seed(self.seed, epoch))


def seed_loader(loader: Any, seed: int, *, order_seed: int) -> None:
    """Make a data loader's next iterator a function of the seed.

    Args:
        loader: a DataLoader; other iterables are left alone, as they have nothing to seed.
        seed: of workers and transforms, different in every process.
        order_seed: of the sampler, the same in all processes.

    Raises:
        ValueError: for persistent workers, whose transforms keep their random states.
    """
    if not isinstance(loader, DataLoader):
        return
    if loader.persistent_workers:
        raise ValueError(
            "persistent_workers: must be false, such workers keep random states from epoch to "
            "epoch, and a resumed run would not repeat them"
        )
    loader.generator = torch.Generator().manual_seed(seed)
    for sampler in _samplers(loader):
        if hasattr(sampler, "set_epoch"):  # torch's DistributedSampler seeds with the sum of both
            sampler.seed = order_seed
            sampler.set_epoch(0)
        if hasattr(sampler, "generator"):
            sampler.generator = torch.Generator().manual_seed(order_seed)
    set_rnd(loader.dataset, seed)


def _samplers(loader: DataLoader[Any]) -> Iterator[Any]:
    yield loader.sampler
    if loader.batch_sampler is not None:
        yield loader.batch_sampler
        yield getattr(loader.batch_sampler, "sampler", None)


def _rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
