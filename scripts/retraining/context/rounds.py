"""One round of auto-context: networks of all folds are trained, and their maps are written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.bundle.recipe import Recipe
from scripts.bundle.training_scans import case_id
from scripts.datasets.datalist import lists_of, with_lists
from scripts.datasets.stored_slices import CONTEXT
from scripts.retraining.context.fold_networks import (
    Content,
    Entry,
    FoldNetwork,
    fold_networks,
    training_task,
)
from scripts.retraining.context.probability_maps import MapWriter
from scripts.running.progress import Progress
from scripts.storage.files import write_json
from scripts.study.workshop import TaskError, Workshop

DATALIST = "datalist.json"


@dataclass(frozen=True)
class Round:
    """Networks are trained, and their maps become an input of the next.

    Args:
        number: from 1.
        recipe: of its networks.
        folder: of its datalists and maps.
        seed: of folds and trainings.
        folds: of the training patients.
    """

    number: int
    recipe: Recipe
    folder: Path
    seed: int
    folds: int


def run_round(one: Round, content: Content, workshop: Workshop) -> dict[str, Any]:
    """Train the networks of a round and return the datalist with their maps.

    Args:
        one: the round.
        content: a datalist with absolute paths; with maps of an earlier round from the second on.
        workshop: of the trainings.

    Raises:
        ValueError: for too few patients, a datalist without the samples that the networks read, or
            patients on both sides of its split.
        SystemExit: 1 when a training fails, with its reason.
    """
    networks = fold_networks(content, one.folds, seed=one.seed)
    models = [_trained(one, network, workshop) for network in networks]
    made: dict[tuple[str, str], list[Entry]] = {}
    for network, model in zip(networks, models, strict=True):
        writer = MapWriter(one.recipe, model)
        for prefix, partition, entries in lists_of(content):
            if prefix == writer.prefix:
                place = made.setdefault((prefix, partition), list(entries))
                _replace(place, network, partition, writer, one.folder / "maps" / partition)
    if not any(made.values()):
        raise ValueError("datalist: has no samples of the kind that the config reads (volumes?)")
    earlier = content.get(CONTEXT, [])
    described = [*earlier, _described(one, networks, models)]
    return {**with_lists(content, made), CONTEXT: described}


def _trained(one: Round, network: FoldNetwork, workshop: Workshop) -> Path:
    """Train a network, unless that is done; return its model file."""
    data = one.folder / network.name
    write_json(data / DATALIST, network.content)
    name = f"round {one.number} {network.name}"
    task = training_task(one.recipe, name, data, seed=one.seed)
    try:
        workshop.do(task)
    except TaskError as error:
        log = task.folder(workshop.work) / "log.txt"
        raise SystemExit(f"error: {error}; its log: {log}") from error
    return task.out(workshop.work) / "model.pt"


def _replace(
    entries: list[Entry], network: FoldNetwork, partition: str, writer: MapWriter, folder: Path
) -> None:
    """Replace the entries that a network predicts by those with its maps, scan by scan."""
    scans: dict[str, list[int]] = {}
    for index, entry in enumerate(entries):
        if network.is_for(partition, entry):
            scans.setdefault(case_id(entry), []).append(index)
    writer.check_unseen([entries[index] for numbers in scans.values() for index in numbers])
    for scan, numbers in Progress(scans.items(), desc=f"maps: {network.name}, {partition}"):
        written = writer.write([entries[index] for index in numbers], folder / folder_name(scan))
        for index, entry in zip(numbers, written, strict=True):
            entries[index] = entry


def folder_name(scan: str) -> str:
    """Return the name of the folder of a scan's maps: its id, or a hash of one that is a path.

    A scan without a name has the path of its image as id, beside which nothing must be written.

    Example:
        >>> folder_name("P 2"), folder_name("/data/P 2/image.nii.gz")
        ('P 2', '19109a7924f09726')
    """
    plain = scan not in (".", "..") and not set(scan) & {"/", "\\"}
    return scan if plain else hashlib.sha256(os.fsencode(scan)).hexdigest()[:16]


def _described(
    one: Round, networks: Sequence[FoldNetwork], models: Sequence[Path]
) -> Mapping[str, Any]:
    """Return how the maps of a round were made, for the datalist."""
    pairs = list(zip(networks, models, strict=True))
    return {
        "round": one.number,
        "folds": one.folds,
        "models": {network.name: str(model) for network, model in pairs},
        "fold_of_patient": {
            patient: network.name
            for network, _ in pairs
            for patient in sorted(network.predicts or ())
        },
    }
