"""The networks of one or several files of weights, which must belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scripts.bundle.training_scans import TrainingScans
from scripts.training.weights.trained_weights import TrainedWeights


@dataclass(frozen=True)
class LoadedNetworks:
    """Networks with their weights.

    Attributes:
        networks: one for each file, in evaluation mode.
        sha256: of the weights of each, and of the earlier networks whose maps it reads.
        trained_on: the scans of each, and of these earlier networks.
        notes: on the files, for the reader of the results.
    """

    networks: tuple[torch.nn.Module, ...]
    sha256: frozenset[str]
    trained_on: tuple[TrainingScans, ...]
    notes: tuple[str, ...]


def load_networks(
    network: torch.nn.Module, files: Sequence[Path], *, threshold: float | None, **options: Any
) -> LoadedNetworks:
    """Load each file into a network of its own.

    The config takes the settings of the first file. All files must have the same, but for the
    threshold: that of the first is used for the mean of the probabilities, and a note names the
    others.

    Args:
        network: of the config, with any weights.
        files: of trained weights.
        threshold: that is used; None if there is none, or the user has set it.
        options: of :class:`TrainedWeights`.

    Raises:
        FileNotFoundError, ValueError: see :meth:`TrainedWeights.load`; also for a file with the
            same weights as another one.
    """
    networks = (network, *(deepcopy(network) for _ in files[1:]))
    scans: list[TrainingScans] = []
    notes: list[str] = []
    known: dict[str, Path] = {}
    earlier: set[str] = set()
    for each, path in zip(networks, files, strict=True):
        weights = TrainedWeights(each, path, **options)
        with _as_the_first(files[0], is_first=each is network):
            weights.load()
        if weights.sha256 in known:  # it would agree with itself, and count twice
            raise ValueError(
                f"ckpt_path: {path} and {known[weights.sha256]} hold the same weights; name each "
                "network once"
            )
        known[weights.sha256] = path
        each.eval()
        earlier |= set(weights.earlier_sha256)
        scans += [weights.scans, *weights.earlier_scans]
        notes += weights.notes
        stored = weights.stored.get("threshold")
        if threshold is not None and stored is not None and stored != threshold:
            used = f"threshold {threshold:g} of {files[0].name} is used"
            notes.append(f"{used}; {path.name} was trained with {stored:g}")
    return LoadedNetworks(networks, frozenset({*known, *earlier}), tuple(scans), tuple(notes))


@contextmanager
def _as_the_first(first: Path, *, is_first: bool) -> Iterator[None]:
    """Say of a file that does not fit the config that its settings must be those of the first."""
    try:
        yield
    except ValueError as error:
        if is_first:
            raise
        raise ValueError(
            f"{error}; the config has those of {first}, and all files of --ckpt_path must have the "
            "same"
        ) from error
