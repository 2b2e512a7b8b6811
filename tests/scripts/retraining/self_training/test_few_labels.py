"""The comparison of few, given and all labels: its figures, and what it must not look at."""

import dataclasses

import numpy as np
import pytest

from scripts.retraining.self_training.co_training import CoTraining
from scripts.retraining.self_training.few_labels import (
    ALL,
    FEW,
    SELF,
    draw_labelled,
    figures_of,
    given_labels,
    run_trials,
    scored_rows,
)
from scripts.retraining.self_training.gains import verdict
from scripts.suspicion.cross_validation import Design
from scripts.suspicion.figures import auc
from tests.scripts.retraining.simulated import noise, simulated


def design_of(labels, seed=0):
    """Five items of each patient, in two folds."""
    patient = np.arange(len(labels)) // 5
    patients, folds = np.array([f"P{number}" for number in patient]), patient % 2
    return Design(labels, patients, folds, seed)


@pytest.fixture(scope="module")
def comparisons():
    """100 labelled of the 1,000 training items of each fold; three simulations."""
    made = []
    for seed in range(3):
        features, labels = simulated(2000, seed=seed)
        design = design_of(labels)
        trials = run_trials(design, features, labelled=100, draws=1, method=CoTraining())
        made.append((design, trials))
    return made


@pytest.fixture
def comparison(comparisons):
    return comparisons[0]


@pytest.fixture(scope="module")
def figures(comparisons):
    return figures_of(scored_rows(*comparisons[1]), seed=0)


def accuracies(design, trials):
    rows = scored_rows(design, trials)
    return [((one.scores > 0.5) == one.labels).mean() for one in rows.values()]


def test_self_training_then_two_points_above_few_labels_and_near_all(comparisons):
    each = [accuracies(*comparison) for comparison in comparisons]
    few, helped, whole = np.mean(each, axis=0)
    assert helped >= few + 0.02
    assert helped >= whole - 0.05


def test_gain_then_the_difference_of_the_accuracies_and_shown_by_its_interval(comparisons, figures):
    few, helped, whole = accuracies(*comparisons[1])
    assert [figures[row]["accuracy"].value for row in (FEW, SELF, ALL)] == pytest.approx(
        [few, helped, whole]
    )
    assert figures[SELF]["accuracy_gain"].value == pytest.approx(helped - few)
    assert verdict(figures[SELF]["accuracy_gain"]) == "helped"
    assert "accuracy_gain" not in figures[FEW]


def test_given_labels_then_compared_with_the_withheld_ones(comparison):
    design, trials = comparison
    worth = given_labels(design, trials, seed=0)
    right = [(t.given == design.labels[t.unlabelled]).mean() for t in trials]
    assert worth["given"].value == pytest.approx(np.average(right, weights=[900, 900]), abs=1e-3)
    assert worth["given"].value >= 0.8
    assert worth["predicted"].value < worth["given"].value
    assert worth["agreed"].n < worth["given"].n == sum(len(t.unlabelled) for t in trials)


def test_features_when_noise_then_no_gain_is_reported():
    features, labels = noise(600, seed=5)
    design = design_of(labels)
    trials = run_trials(design, features, labelled=60, draws=2, method=CoTraining())
    figures = figures_of(scored_rows(design, trials), seed=0)[SELF]
    assert verdict(figures["accuracy_gain"]).startswith("did not help")
    assert verdict(figures["auc_gain"]).startswith("did not help")


def test_withheld_and_test_labels_when_others_then_given_labels_and_scores_are_the_same():
    features, labels = simulated(240, seed=0)
    design = design_of(labels)
    chosen = draw_labelled(design, 0, labelled=40, seed=0)
    other = dataclasses.replace(design, labels=np.where(chosen, labels, ~labels))
    first, second = (
        run_trials(one, features, labelled=40, draws=1, method=CoTraining())[0]
        for one in (design, other)
    )
    assert (first.labelled == np.flatnonzero(chosen)).all()
    assert (first.given == second.given).all()
    assert (first.scores[:2] == second.scores[:2]).all()  # few, and self-training
    assert (first.scores[2] != second.scores[2]).any()  # all labels are those of its name


def test_labelled_ones_when_drawn_then_whole_patients_outside_the_fold():
    _, labels = simulated(240, seed=0)
    design = design_of(labels)
    drawn = [draw_labelled(design, 1, labelled=31, seed=seed) for seed in range(2)]
    for chosen in drawn:
        assert chosen.sum() == 35
        assert not chosen[design.folds == 1].any()
        assert not set(design.patients[chosen]) & set(design.patients[~chosen])
    assert (drawn[0] != drawn[1]).any()


def test_labelled_ones_when_all_then_refused():
    _, labels = simulated(40, seed=0)
    with pytest.raises(ValueError, match="labelled: must be below 20, the training nodules of"):
        draw_labelled(design_of(labels), 0, labelled=20, seed=0)


def test_labelled_ones_when_whole_patients_leave_none_then_refused():
    features, labels = simulated(60, seed=0)
    with pytest.raises(ValueError, match="labelled: 29 take all patients of the training of fold"):
        run_trials(design_of(labels), features, labelled=29, draws=1, method=CoTraining())


def test_scored_rows_when_several_draws_then_each_is_compared_within_itself(comparison):
    design, trials = comparison
    rows = scored_rows(design, [trials[0], trials[0]])
    assert len(rows[FEW].labels) == 2 * len(trials[0].test)
    assert set(rows[FEW].folds) == {0, 1}
    once, twice = auc(scored_rows(design, trials[:1])[SELF]), auc(rows[SELF])
    assert twice.value == pytest.approx(once.value)
    assert twice.interval_95 == pytest.approx(once.interval_95)  # no more patients than before


def test_draw_with_too_few_of_a_class_then_refused_with_its_numbers():
    features, _ = noise(40, seed=0)
    rare = np.isin(np.arange(40), [0, 10, 5, 6, 15])  # two in one fold, three in the other
    message = r"labelled: draw 0 of fold 0 has \d suspicious and \d+ unsuspicious .* at least 4"
    with pytest.raises(ValueError, match=message):
        run_trials(design_of(rare), features, labelled=10, draws=1, method=CoTraining())
