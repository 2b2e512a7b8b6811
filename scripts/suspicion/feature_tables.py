"""Features of all nodules as tables; slow ones are kept in the output and computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.running.progress import Progress
from scripts.running.workers import work_through
from scripts.storage.files import atomic_path
from scripts.suspicion.network import Network
from scripts.suspicion.radiomics import radiomics
from scripts.suspicion.rated_nodules import Nodule
from scripts.volumes.geometry import Floats

FOLDER = "computed"
VERSION = 1  # of the features: increased when the same nodule gets other values

Row = dict[str, float]


def digest_of(nodules: Sequence[Nodule]) -> str:
    """Hash everything of the nodules that features depend on."""
    digest = hashlib.sha256(f"{VERSION}".encode())
    for nodule in nodules:
        digest.update(f"{nodule.id}{nodule.hu.shape}{nodule.spacing_mm}".encode())
        digest.update(nodule.hu.tobytes())
        digest.update(np.packbits(nodule.mask).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Store:
    """Arrays of earlier runs, by the hash of what they were computed from.

    Args:
        output: folder of the command.
    """

    output: Path

    def array(self, parts: Sequence[str], compute: Callable[[], NDArray[np.generic]]) -> Floats:
        """Return the array of these parts, computed unless an earlier run has kept it."""
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]
        path = self.output / FOLDER / f"{key}.npy"
        if not path.is_file():
            computed = compute()
            with atomic_path(path) as part:
                np.save(part, computed, allow_pickle=False)
        return np.asarray(np.load(path, allow_pickle=False))


def radiomics_rows(nodules: Sequence[Nodule], *, jobs: int = 1) -> list[Row | None]:
    """Measure every nodule by its mask; None for one that is too small to be measured."""
    numbered = list(enumerate(nodules))
    found = work_through(_measured, numbered, jobs)
    rows = dict(Progress(found, desc="radiomics", total=len(numbered), unit="nodule"))
    return [rows[number] for number, _ in numbered]


def _measured(task: tuple[int, Nodule]) -> tuple[int, Row | None]:
    number, nodule = task
    try:
        return number, radiomics(nodule.hu, nodule.mask, nodule.spacing_mm)
    except ValueError:  # too small
        return number, None


def network_table(network: Network, nodules: Sequence[Nodule], store: Store) -> Floats:
    """Return the features (nodules, F) that a network's encoder computes of each nodule."""

    def compute() -> Floats:
        shown = Progress(nodules, desc=f"features of {network.name}", unit="nodule")
        return np.array([network.features(nodule) for nodule in shown], np.float32)

    return store.array(["features", network.name, digest_of(nodules)], compute).astype(np.float64)


def predicted_nodules(chosen: Sequence[tuple[Network, Nodule]], store: Store) -> list[Nodule]:
    """Return the nodules with the outlines that their networks predict, possibly empty ones."""

    def compute() -> NDArray[np.uint8]:
        shown = Progress(chosen, desc="predicted outlines", unit="nodule")
        masks = [network.segmented(nodule).ravel() for network, nodule in shown]
        return np.packbits(np.concatenate(masks))

    nodules = [nodule for _, nodule in chosen]
    names = [network.name for network, _ in chosen]
    packed = store.array(["outlines", *names, digest_of(nodules)], compute)
    sizes = [nodule.mask.size for nodule in nodules]
    bits = np.unpackbits(packed.astype(np.uint8), count=sum(sizes)).astype(bool)
    parts = np.split(bits, np.cumsum(sizes)[:-1])
    return [n.with_mask(p.reshape(n.mask.shape)) for n, p in zip(nodules, parts, strict=True)]
