"""Networks trained without some of the patients, so that these can be predicted by one of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from scripts.bundle.compose import compose
from scripts.bundle.config_files import files_below
from scripts.bundle.recipe import Recipe
from scripts.bundle.training_scans import case_id
from scripts.datasets.datalist import content_sha256, lists_of, with_lists
from scripts.study.workshop import Task

Entry = Mapping[str, Any]
Content = Mapping[str, Any]


@dataclass(frozen=True)
class FoldNetwork:
    """A network of a division of the training patients into folds.

    Args:
        name: for messages and folders: ``fold0``, ``fold1`` ..., or ``all`` patients.
        content: its datalist.
        predicts: training patients that it predicts; None for the cases of validation and test.
    """

    name: str
    content: Content
    predicts: frozenset[str] | None

    def is_for(self, partition: str, entry: Entry) -> bool:
        """Return whether this network predicts a case of a partition."""
        if self.predicts is None:
            return partition != "training"
        return partition == "training" and patient_of(entry) in self.predicts


def patient_of(entry: Entry) -> str:
    """Return the patient of a sample; a scan without one counts as a patient."""
    return str(entry.get("patient_id", case_id(entry)))


def assign_folds(patients: Collection[str], count: int, *, seed: int) -> list[frozenset[str]]:
    """Divide patients into folds whose sizes differ by one at most.

    Raises:
        ValueError: for fewer than two folds, or fewer patients than folds.

    Example:
        >>> [sorted(fold) for fold in assign_folds(["a", "b", "c"], 2, seed=0)]
        [['a', 'b'], ['c']]
    """
    order = sorted(set(patients))
    if not 2 <= count <= len(order):
        raise ValueError(
            f"context_folds: must be from 2 to the number of training patients, {len(order)}, got "
            f"{count}: each patient's map comes from a network trained on other patients"
        )
    Random(seed).shuffle(order)
    return [frozenset(order[number::count]) for number in range(count)]


def fold_networks(content: Content, count: int, *, seed: int) -> list[FoldNetwork]:
    """Divide the training patients of a datalist; one more network is trained on all of them.

    The networks of the folds predict the training patients, each those of its own fold, on which
    it is not trained. The network of all patients predicts validation and test. All of them choose
    their best weights by the same validation patients.

    Args:
        content: a datalist with absolute paths.
        count: number of folds.
        seed: of the division.

    Raises:
        ValueError: see :func:`assign_folds`.
    """
    training = [entries for _, partition, entries in lists_of(content) if partition == "training"]
    patients = {patient_of(entry) for entries in training for entry in entries}
    folds = assign_folds(patients, count, seed=seed)
    networks = [
        FoldNetwork(f"fold{number}", without(content, fold), fold)
        for number, fold in enumerate(folds)
    ]
    return [*networks, FoldNetwork("all", content, None)]


def without(content: Content, patients: Collection[str]) -> dict[str, Any]:
    """Return a datalist whose training partition lacks some patients."""
    return with_lists(
        content,
        {
            (prefix, partition): [one for one in entries if patient_of(one) not in patients]
            for prefix, partition, entries in lists_of(content)
            if partition == "training"
        },
    )


def training_task(recipe: Recipe, name: str, data: Path, *, seed: int) -> Task:
    """Make the step that trains a network on a datalist; ``out/model.pt`` is the result.

    Args:
        recipe: bundle, and the files that are laid over its train.json.
        name: displayed name.
        data: folder of ``datalist.json``.
        seed: of the training.
    """
    files = [f"{recipe.bundle}/configs/train.json", *recipe.overlays]
    words = recipe.command("training", "train", dataset_dir=data, output_dir="<out>", seed=seed)
    made_of = {
        "config": compose(files, files_below()).complete(),
        "datalist": content_sha256(data / "datalist.json"),
    }
    return Task("trainings", name, tuple(words), made_of=made_of, resumable=True)
