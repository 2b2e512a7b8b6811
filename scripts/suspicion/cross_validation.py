"""Nested cross-validation by patient: every nodule is scored by a classifier of other patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.datasets.shares import leaks
from scripts.preparation.splits import assign_folds
from scripts.running.progress import Progress
from scripts.suspicion.figures import Scored
from scripts.suspicion.logistic import Logistic, choose_strength, fit
from scripts.volumes.geometry import Floats

COMPONENTS = 32  # of a group with more features, such as those of a network
INNER_FOLDS = 5


@dataclass(frozen=True)
class Design:
    """Who is tested when.

    Attributes:
        labels: (nodules,), true for suspicious.
        patients: (nodules,).
        folds: (nodules,), the fold that tests each nodule; one fold for each patient.
        seed: of the inner folds.
    """

    labels: NDArray[np.bool_]
    patients: NDArray[np.str_]
    folds: NDArray[np.int64]
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that no patient is on both sides of a fold.

        Raises:
            ValueError: naming the patients.
        """
        for fold in np.unique(self.folds):
            sides = {"test": self.folds == fold, "training": self.folds != fold}
            lists = {
                name: [{"patient_id": patient} for patient in self.patients[chosen]]
                for name, chosen in sides.items()
            }
            if both := leaks(lists):
                raise ValueError(f"folds: patients {', '.join(both)} are in several folds")

    @property
    def numbers(self) -> list[int]:
        """The outer folds."""
        return [int(number) for number in np.unique(self.folds)]

    def shuffled(self, seed: int) -> Design:
        """Return the design with labels that have nothing to do with the nodules."""
        labels = np.random.default_rng(seed).permutation(self.labels)
        return Design(labels, self.patients, self.folds, self.seed)

    def scored(self, scores: Floats) -> Scored:
        """Return the nodules with their scores."""
        return Scored(self.labels, scores, self.patients, self.folds)


def patient_folds(
    patients: Sequence[str], everyone: Sequence[str], *, folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the test fold of each nodule, as ``prepare --split fold`` assigns its patient.

    Args:
        patients: of the nodules.
        everyone: all patients of the source, also those without a nodule that is used; a network
            trained with ``--split fold`` and the same seed then fits the folds.
        folds: number of folds.
        seed: of the assignment.

    Raises:
        ValueError: for fewer patients than folds.
    """
    fold_of: dict[str, int] = {}
    for fold in range(folds):
        assigned = assign_folds(set(everyone), folds=folds, test_fold=fold, seed=seed)
        fold_of |= {name: fold for name, part in assigned.items() if part == "test"}
    return np.array([fold_of[patient] for patient in patients])


Tables = Sequence[Floats]


def cross_validate(
    design: Design, tables: Tables | Mapping[int, Tables], *, title: str = ""
) -> Floats:
    """Return the out-of-fold probability of each nodule.

    The penalty is chosen by inner folds of the training patients; scaling and principal components
    are those of the training nodules.

    Args:
        design: labels and folds.
        tables: one (nodules, F) for each group of features; or, by outer fold, where features
            depend on it (those of a network that must not have been trained on the test patients).
        title: of the progress over the outer folds; without one it is not shown.
    """
    scores = np.full(len(design.labels), np.nan)
    for fold in Progress(design.numbers, desc=title, unit="fold", disable=not title):
        own = tables[fold] if isinstance(tables, Mapping) else tables
        test = design.folds == fold
        train = ~test
        model = train_classifier(
            [table[train] for table in own],
            design.labels[train],
            design.patients[train],
            seed=design.seed + 1,
        )
        scores[test] = model.probabilities([table[test] for table in own])
    return scores


def train_classifier(
    tables: Tables, labels: NDArray[np.bool_], patients: NDArray[np.str_], *, seed: int
) -> Logistic:
    """Train on some nodules, with the penalty chosen by folds of their patients.

    Raises:
        ValueError: for fewer than two patients, or labels that are all equal; where each class is
            that of one patient, so that no fold leaves both to train on.
    """
    people = np.unique(patients)
    folds = patient_folds(
        list(patients), list(people), folds=min(INNER_FOLDS, len(people)), seed=seed
    )
    tests = [folds == number for number in np.unique(folds)]
    usable = [test for test in tests if len(np.unique(labels[~test])) == 2]
    if labels.any() and not labels.all() and not usable:
        raise ValueError(
            f"patients: {' and '.join(people)} are the only ones to train on, each with nodules of "
            "one class, so that the penalty cannot be chosen by folds; give more patients, or more "
            "--folds, which leave more of them to train on"
        )
    strength = choose_strength(tables, labels, usable, components=COMPONENTS)
    return fit(tables, labels, strength, components=COMPONENTS)
