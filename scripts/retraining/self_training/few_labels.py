"""What labels given by co-training are worth: few labels, few and given ones, and all labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scripts.evaluation.figures.intervals import Figure, mean
from scripts.retraining.self_training.co_training import LEAST_LABELLED, CoTraining
from scripts.suspicion.cross_validation import Design, train_classifier
from scripts.suspicion.figures import Scored, auc, auc_gain
from scripts.suspicion.logistic import Logistic
from scripts.volumes.geometry import Floats

FEW, SELF, ALL = "few labels", "few labels and self-training", "all labels"
ROWS = (FEW, SELF, ALL)
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Trial:
    """One choice of the labelled nodules, with what was trained on them.

    Attributes:
        labelled: indices of the nodules whose label was used, of whole patients.
        unlabelled: indices of the other training nodules, whose labels were withheld.
        test: indices of the nodules of the fold.
        given: (unlabelled,), labels given by co-training.
        rounds: (unlabelled,), see :class:`~scripts.retraining.self_training.co_training.Given`.
        predicted: (unlabelled,), labels that the classifier of few labels would have given.
        scores: (3, test), probabilities by the classifiers of :data:`ROWS`.
    """

    labelled: NDArray[np.int_]
    unlabelled: NDArray[np.int_]
    test: NDArray[np.int_]
    given: Flags
    rounds: NDArray[np.int_]
    predicted: Flags
    scores: Floats


def draw_labelled(design: Design, fold: int, *, labelled: int, seed: int) -> Flags:
    """Draw training patients at random until they have so many nodules.

    The last patient may add a few more, as a patient is labelled as a whole.

    Returns:
        (nodules,), true for a labelled one; none of the fold's.

    Raises:
        ValueError: when the fold has no more training nodules than that, or none of them would be
            left without a label.
    """
    training = design.folds != fold
    if labelled >= training.sum():
        raise ValueError(
            f"labelled: must be below {training.sum()}, the training nodules of fold {fold}, got "
            f"{labelled}"
        )
    people, counts = np.unique(design.patients[training], return_counts=True)
    order = np.random.default_rng([seed, fold]).permutation(len(people))
    enough = 1 + int(np.searchsorted(counts[order].cumsum(), labelled))
    if enough >= len(people):
        raise ValueError(
            f"labelled: {labelled} take all patients of the training of fold {fold}, as a patient "
            "is labelled as a whole; label fewer nodules"
        )
    return np.asarray(training & np.isin(design.patients, people[order[:enough]]))


def run_trials(
    design: Design, table: Floats, *, labelled: int, draws: int, method: CoTraining
) -> list[Trial]:
    """Train with few, given and all labels, on several draws of the labelled patients of each fold.

    All rows use the same classifier: logistic regression, with the penalty chosen by folds of its
    training patients.

    Args:
        design: labels and test folds of the nodules.
        table: features (nodules, F).
        labelled: number of labelled nodules, see :func:`draw_labelled`.
        draws: for each fold.
        method: gives the labels; the draw's number is added to its seed.

    Raises:
        ValueError: for too many labelled nodules, or too few of a class.
    """
    trials = []
    for fold in design.numbers:
        whole = _train(design, table, np.flatnonzero(design.folds != fold), design.labels)
        for number in range(draws):
            chosen = draw_labelled(design, fold, labelled=labelled, seed=design.seed + number)
            _check_both(design.labels[chosen], fold, number)
            drawn = replace(method, seed=method.seed + number)
            trials.append(_trial(design, table, fold, chosen, drawn, whole))
    return trials


def _check_both(labels: Flags, fold: int, draw: int) -> None:
    """Refuse a draw with too few nodules of a class to give labels by.

    Raises:
        ValueError: naming the draw and its numbers.
    """
    positive = int(labels.sum())
    if min(positive, len(labels) - positive) < LEAST_LABELLED:
        raise ValueError(
            f"labelled: draw {draw} of fold {fold} has {positive} suspicious and "
            f"{len(labels) - positive} unsuspicious nodules, and must have at least "
            f"{LEAST_LABELLED} of each; label more, or draw with another seed"
        )


def _trial(
    design: Design, table: Floats, fold: int, chosen: Flags, method: CoTraining, whole: Logistic
) -> Trial:
    labelled, test = np.flatnonzero(chosen), np.flatnonzero(design.folds == fold)
    unlabelled = np.flatnonzero(~chosen & (design.folds != fold))
    given = method.give(table[labelled], design.labels[labelled], table[unlabelled])
    mixed = np.zeros_like(design.labels)  # withheld and test labels are not in here
    mixed[labelled], mixed[unlabelled] = design.labels[labelled], given.labels
    few = _train(design, table, labelled, mixed)
    helped = _train(design, table, np.concatenate([labelled, unlabelled]), mixed)
    scores = np.array([model.probabilities([table[test]]) for model in (few, helped, whole)])
    predicted = few.probabilities([table[unlabelled]]) > 0.5
    return Trial(labelled, unlabelled, test, given.labels, given.rounds, predicted, scores)


def _train(design: Design, table: Floats, items: NDArray[np.int_], labels: Flags) -> Logistic:
    """Train on some nodules, whose order does not matter, with these labels."""
    items = np.sort(items)
    return train_classifier(
        [table[items]], labels[items], design.patients[items], seed=design.seed + 1
    )


def scored_rows(design: Design, trials: Sequence[Trial]) -> dict[str, Scored]:
    """Return the test nodules of all trials with the probabilities of each row.

    Each trial counts as a fold of its own, whose scores are not compared with those of others; a
    patient stays one patient in all of them.
    """
    tested = np.concatenate([trial.test for trial in trials])
    numbers = np.repeat(np.arange(len(trials)), [len(trial.test) for trial in trials])
    return {
        row: Scored(
            design.labels[tested],
            np.concatenate([trial.scores[place] for trial in trials]),
            design.patients[tested],
            numbers,
        )
        for place, row in enumerate(ROWS)
    }


def figures_of(rows: Mapping[str, Scored], *, seed: int) -> dict[str, dict[str, Figure]]:
    """Return accuracy and AUC of each row, and their gains over few labels, with intervals."""
    figures: dict[str, dict[str, Figure]] = {}
    right = {name: _right(scored) for name, scored in rows.items()}
    for name, scored in rows.items():
        people = scored.patients.tolist()
        figures[name] = {
            "accuracy": mean(right[name].tolist(), people, seed=seed),
            "auc": auc(scored, seed=seed),
        }
        if name != FEW:
            gain = right[name].astype(float) - right[FEW]
            figures[name] |= {
                "accuracy_gain": mean(gain.tolist(), people, seed=seed),
                "auc_gain": auc_gain(scored, rows[FEW], seed=seed),
            }
    return figures


def _right(scored: Scored) -> Flags:
    return np.asarray((scored.scores > 0.5) == scored.labels)


def given_labels(design: Design, trials: Sequence[Trial], *, seed: int) -> dict[str, Figure]:
    """Compare the given labels with the withheld ones: the share that is right.

    Returns:
        ``given``, ``agreed`` (those on which both classifiers agreed), and ``predicted`` (what the
        classifier of few labels would have given to the same nodules).
    """
    items = np.concatenate([trial.unlabelled for trial in trials])
    given, agreed, predicted = (
        np.concatenate(parts)
        for parts in zip(
            *((trial.given, trial.rounds > 0, trial.predicted) for trial in trials), strict=True
        )
    )
    truth, people = design.labels[items], design.patients[items]
    everyone = np.ones_like(agreed)
    chosen = {"given": (given, everyone), "agreed": (given, agreed)}
    chosen["predicted"] = (predicted, everyone)
    return {
        name: mean((labels == truth)[used].tolist(), people[used].tolist(), seed=seed)
        for name, (labels, used) in chosen.items()
    }
